"""What becomes of a client's CONNECT."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from kit.waiting import eventually
from tradecast.delivery.errors import ConnectRefused, TryAgain
from unit.gateway.cases import Case


@pytest.mark.parametrize("at_once", [False, True])
async def test_client_that_is_accepted_gets_its_sid(case: Case, at_once: bool) -> None:
    case.app.connects_at_once = at_once
    client = case.client()
    client.send('0{"token":1}')
    assert bool(client.got) is at_once
    (packet,) = await client.next()
    sid = json.loads(packet[1:])["sid"]
    assert sid != client.connection.sid, "the one is a credential, the other is not"
    assert case.app.told == [("connecting", "/", {"token": 1}, "websocket"), ("connected", sid)]


async def test_nothing_is_sent_between_the_answer_and_the_application(case: Case) -> None:
    seen: list[list[Any]] = []
    client = case.client()
    case.app.welcome = lambda sid: seen.append(list(client.got))
    await client.join()
    assert len(seen[0]) == 1


async def test_events_wait_for_the_connection_and_for_the_welcome(case: Case) -> None:
    case.app.hold, go_on = asyncio.Event(), asyncio.Event()
    welcomed: list[str] = []

    async def welcome(sid: str) -> None:
        await go_on.wait()
        welcomed.append(sid)

    case.app.welcome = welcome
    client = case.client()
    client.send("0", '2["e",1]', '21["e",2]')
    await eventually(lambda: case.app.of("connecting"))
    case.app.hold.set()
    await client.next()
    assert case.app.of("event") == []
    go_on.set()
    await client.next()
    assert case.app.told[-2:] == [("event", "e", 1), ("event", "e", 2)]
    assert len(welcomed) == 1


@pytest.mark.parametrize("at_once", [False, True])
async def test_refusal_is_sent_and_leaves_the_transport_open(case: Case, at_once: bool) -> None:
    """Clients of 3.x and 4.0 to 4.3 take a transport that closes for a lost connection, and would be back at once."""
    case.app.connects_at_once = at_once
    case.app.refusal = ConnectRefused("AUTH_REQUIRED", "Log in")
    client = case.client()
    client.send("0")
    (packet,) = await client.next()
    assert json.loads(packet[1:]) == {"message": "Log in", "data": {"code": "AUTH_REQUIRED", "message": "Log in"}}
    assert packet[0] == "4"
    assert client.transport.closed is None
    case.app.refusal = None
    await client.join()
    assert len(case.app.of("connecting")) == 2, "it is looked at anew"
    assert len(case.transports.unconnected) == 0


async def test_refusal_that_will_pass_closes_without_a_word(case: Case) -> None:
    case.app.refusal = TryAgain()
    client = case.client()
    client.send("0")
    await eventually(lambda: client.transport.gone)
    assert client.got == []


async def test_unknown_namespace_is_refused(case: Case) -> None:
    client = case.client()
    await client.join()
    client.send("0/other,", "0/custom?token=1,")
    assert (await client.next())[0] == '4/other,{"message":"Invalid namespace"}'
    assert not client.connection.closed


@pytest.mark.parametrize("namespace", ["", "/custom,"])
async def test_second_connect_closes_the_transport_as_in_node(case: Case, namespace: str) -> None:
    """A client that asks again has lost its place: told so, a stock client stays away while the server counts it."""
    client = case.client()
    await client.join(namespace.rstrip(",") or "/")
    client.send(f"0{namespace}")
    assert client.transport.gone
    assert client.got == []


async def test_long_namespace_is_not_echoed(case: Case) -> None:
    client = case.client()
    client.send("0/" + "a" * 500)
    assert (client.got, client.transport.closed) == ([], 1000)


async def test_transport_that_ends_while_it_is_decided_about_leaves_nothing(case: Case) -> None:
    case.app.hold = asyncio.Event()
    client = case.client()
    client.send("0")
    await eventually(lambda: case.app.of("connecting"))
    client.connection.lost("transport close")
    case.app.hold.set()
    await eventually(lambda: not case.server.eio._working)
    assert case.app.of("connected") == []
    assert list(case.manager.get_namespaces()) == []
    assert len(case.transports.unconnected) == 0
    assert dict(case.manager.room_sizes()) == {}
