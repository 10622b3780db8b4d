"""What is kept of each transport, and the bounds on transports."""

from __future__ import annotations

import asyncio

import pytest

from kit.clock import HandClock, leap
from kit.waiting import eventually
from tradecast.delivery.errors import ConnectRefused
from tradecast.engine.http.addresses import Network
from tradecast.gateway.application import Options
from tradecast.gateway.bounds import unconnected
from tradecast.gateway.bounds.packet_allowances import BURST, PacketAllowances
from tradecast.gateway.server import SocketServer
from tradecast.packets.rooms import LocalManager
from unit.gateway.cases import App, Case, Client, Parts


async def test_client_that_is_refused_again_and_again_is_closed(case: Case) -> None:
    case.app.refusal = ConnectRefused("AUTH_REQUIRED", "Log in")
    client = case.client()
    for _ in range(5):
        client.send("0")
        await client.next()
        assert client.transport.closed is None
    client.send("0")
    await eventually(lambda: client.transport.closed == 1008)
    assert case.app.of("limit") == [("connects",)]


async def test_refused_client_is_closed_with_the_time_of_all_who_do_not_connect() -> None:
    app, manager = App(), LocalManager()
    app.refusal = ConnectRefused("AUTH_REQUIRED", "Log in")
    server = SocketServer(app, manager, Options(["websocket"], connect_timeout=60), Parts(app, manager))
    client = Client(server)
    client.send("0")
    await client.next()
    leap(60)
    await eventually(lambda: client.transport.gone)
    await server.shutdown()


async def test_room_is_made_of_those_who_belong_to_nobody(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unconnected, "GRACE", 0.0)
    member, silent = case.client(), case.client()
    await member.join()
    assert case.transports.make_room()
    assert silent.transport.closed == 0
    assert not case.transports.make_room()
    assert member.transport.closed is None
    assert case.app.of("limit") == [("without_connect",)]


async def test_transport_without_a_namespace_is_closed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    app, manager = App(), LocalManager()
    server = SocketServer(app, manager, Options(["websocket"], connect_timeout=0.05), Parts(app, manager))
    client = Client(server)
    await eventually(lambda: client.transport.gone)
    await server.shutdown()


@pytest.mark.parametrize(
    "packet",
    ['2["e"]', '21["e"]', "31[]", "399[]", "1/custom,", "0/other,", '2["e",' + "[" * 2_000 + "]" * 2_001],
)
async def test_transport_that_sends_far_too_many_packets_is_closed(case: Case, packet: str) -> None:
    case.transports.allowances = PacketAllowances(clock=HandClock())  # none come back while they are sent
    client, other = case.client(), case.client()
    await client.join()
    await other.join()
    closed = []
    for _ in range(2):
        client.send(*[packet] * BURST)
        closed.append(client.transport.closed)
    assert closed == [None, 1008]
    assert case.app.of("limit") == [("packets",)]
    assert len(case.app.of("event")) <= BURST
    other.send('21["e"]')
    assert other.got == ["31[]"]
    await eventually(lambda: len(case.app.of("disconnected")) == 1)
    assert len(case.transports.allowances) == 1


async def test_client_that_sends_nothing_costs_nothing(case: Case) -> None:
    client = case.client()
    await client.join()
    client.connection.receive("3")
    assert len(case.transports.allowances) == 0
    client.send('2["e"]')
    assert len(case.transports.allowances) == 1
    client.connection.lost("transport close")
    await eventually(lambda: len(case.transports.allowances) == 0)


async def test_an_address_has_so_many_clients_that_are_not_authenticated() -> None:
    case = Case(most_per_address=3)
    await case.hub.start()
    here, there = Network(4, 0x08080808), Network(4, 0x09090909)
    first, _, third = (case.client("8.8.8.8") for _ in range(3))
    case.client("9.9.9.9")
    case.client("10.0.0.1")
    assert not case.transports.has_room_for(here)
    assert case.transports.has_room_for(there)
    await first.join()
    assert case.transports.has_room_for(here), "who is authenticated is not counted"
    case.client("8.8.8.8")
    assert not case.transports.has_room_for(here)
    third.connection.abort("transport close")
    await eventually(lambda: case.transports.has_room_for(here))
    case.app.authenticated = False
    anonymous = case.client("8.8.8.8")
    await anonymous.join()
    assert not case.transports.has_room_for(here), "who is anonymous is counted"
    await case.hub.close()
    await case.server.shutdown()


async def test_a_full_address_makes_room_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(most_per_address=2)
    there, here = case.client("9.9.9.9"), Network(4, 0x08080808)
    oldest, joined = case.client("8.8.8.8"), case.client("8.8.8.8")
    case.app.authenticated = False
    await case.hub.start()
    await joined.join()
    assert not case.transports.has_room_for(here)
    loop = asyncio.get_running_loop()
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now + 6)
    assert case.transports.has_room_for(here)
    assert oldest.connection.closed
    assert case.app.of("limit") == [("address",)]
    assert not joined.connection.closed
    assert not there.connection.closed
    case.client("8.8.8.8")
    assert not case.transports.has_room_for(here), "nobody of that address can be spared"
    await case.hub.close()
    await case.server.shutdown()


async def test_what_is_kept_of_a_handshake_is_let_go_when_its_client_is_in(case: Case) -> None:
    client = case.client(cookie="sid=secret")
    case.app.refusal = ConnectRefused("AUTH_REQUIRED", "Log in")
    client.send("0")
    await client.next()
    case.app.refusal = None
    await client.join()
    await client.join("/custom")
    assert case.app.kept == ["sid=secret", "sid=secret", None]
    assert not case.transports.notes


async def test_it_is_let_go_with_its_transport(case: Case) -> None:
    client = case.client(cookie="sid=secret")
    assert list(case.transports.notes.values()) == ["sid=secret"]
    client.connection.abort("transport close")
    await eventually(lambda: not case.transports.notes)


@pytest.mark.parametrize("authenticated", [True, False])
async def test_who_is_in_may_send_large_messages(case: Case, authenticated: bool) -> None:
    case.app.authenticated = authenticated
    client = case.client()
    assert client.connection.message_limit == 500
    await client.join()
    assert client.connection.message_limit == 1000
