"""The Engine.IO server: connections from their handshake to their end."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tradecast.engine.connection import SERVER_DISCONNECT
from tradecast.engine.message import Message
from tradecast.engine.server import EngineServer
from tradecast.engine.transports.backlog import SlowReason
from tradecast.engine.transports.outbox import Outbox
from unit.engine.hosts import FakeTransport
from unit.engine.http.test_request import request


class Case:
    """An engine, and what its handlers were called with."""

    def __init__(self) -> None:
        self.engine = EngineServer(max_http_buffer_size=1_000, first_message_limit=100, environs=False)
        self.calls: list[tuple[Any, ...]] = []
        for event in ("connect", "message", "disconnect"):
            self.engine.on(event, self._note(event))

    def _note(self, event: str) -> Any:
        def note(sid: str, what: Any) -> None:
            self.calls.append((event, sid, what))

        return note


@pytest.fixture
async def case() -> Case:
    return Case()


async def test_a_connection_from_its_handshake_to_its_end(case: Case) -> None:
    asked, transport = request(), FakeTransport()
    connection = case.engine.open(asked, transport)
    sid = connection.sid
    opening = json.loads(str(transport.sent[0])[1:])
    assert (opening["sid"], opening["pingInterval"], opening["maxPayload"]) == (sid, 25_000, 1_000)
    connection.receive("4a")
    assert (case.engine.count, case.engine.transport_of(sid)) == (1, "websocket")
    case.engine.close_transport(sid)
    assert case.engine.sockets == {}
    assert case.calls == [("connect", sid, asked), ("message", sid, "a")], "not in the middle of a delivery"
    await asyncio.sleep(0)
    assert case.calls[2:] == [("disconnect", sid, SERVER_DISCONNECT)]
    assert case.engine.transport_of(sid) is None


async def test_a_message_goes_to_those_who_are_there(case: Case) -> None:
    transports = [FakeTransport() for _ in range(3)]
    sids = [case.engine.open(request(), transport).sid for transport in transports]
    case.engine.abort_transport(sids[2])
    assert case.engine.deliver([*sids, "nobody"], Message(["a"])) == 2
    assert [transport.sent[-1] == "4a" for transport in transports] == [True, True, False]
    assert transports[2].closed == 0


async def test_large_messages_are_for_those_who_are_trusted(case: Case) -> None:
    connection = case.engine.open(request(), FakeTransport())
    assert connection.message_limit == 100
    case.engine.trust(connection.sid)
    case.engine.trust("nobody")
    assert connection.message_limit == 1_000


async def test_all_are_closed_when_it_ends(case: Case) -> None:
    transports = [FakeTransport() for _ in range(3)]
    for transport in transports:
        case.engine.open(request(), transport)
    await case.engine.close_all(0)
    assert [transport.gone for transport in transports] == [True] * 3
    assert [event for event, *_ in case.calls] == ["connect"] * 3 + ["disconnect"] * 3


class Waiter:
    """Notes who is drained."""

    def __init__(self) -> None:
        self.drained: list[str] = []

    def on_drained(self, eio_sid: str) -> None:
        self.drained.append(eio_sid)


async def test_message_with_a_window_waits_for_others_of_its_client(case: Case) -> None:
    transports = [FakeTransport() for _ in range(2)]
    sids = [case.engine.open(request(), transport).sid for transport in transports]
    message = Message(["a"])
    message.window = 0.05
    assert case.engine.deliver([*sids, "nobody"], message) == 2
    assert [transport.in_window for transport in transports] == [["4a"], ["4a"]]
    case.engine.deliver(sids, Message(["b"]))
    assert [transport.in_window for transport in transports] == [["4a"], ["4a"]]


async def test_whether_a_client_takes_more_and_what_it_must_not_get(case: Case) -> None:
    transport = FakeTransport()
    sid = case.engine.open(request(), transport).sid
    assert not case.engine.is_backed_up(sid)
    transport.is_backed_up = True
    assert case.engine.is_backed_up(sid)
    assert not case.engine.is_backed_up("nobody")
    case.engine.discard(sid, ("a",), ("b",))
    case.engine.discard("nobody", ("a",), ("b",))
    assert transport.discarded == [(["a"], ["b"])]


async def test_who_waits_for_a_client_to_be_drained_is_notified_once(case: Case) -> None:
    transport, waiter = FakeTransport(), Waiter()
    sid = case.engine.open(request(), transport).sid
    case.engine.notify_drained("nobody", waiter)
    case.engine.notify_drained(sid, waiter)
    assert waiter.drained == [], "not in the middle of what the caller does"
    await asyncio.sleep(0)
    assert waiter.drained == [sid]
    transport.is_backed_up = True
    case.engine.notify_drained(sid, waiter)
    await asyncio.sleep(0)
    assert waiter.drained == [sid]
    case.engine.close_transport(sid)
    case.engine.backlog.drained(SlowTransport(), sid)
    await asyncio.sleep(0)
    assert waiter.drained == [sid], "the client is gone"


class SlowTransport:
    """One for which messages wait."""

    name = "websocket"
    outbox: Outbox | None = None

    def cut_off(self, reason: SlowReason) -> None:
        """As of `BackedUp`."""
