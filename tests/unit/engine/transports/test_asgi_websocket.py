"""The WebSocket transport over ASGI, with a server that is the test."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kit.waiting import eventually
from tradecast.background.tasks import cancel_and_wait
from tradecast.engine.connection import TRANSPORT_CLOSE, TRANSPORT_ERROR, Connection
from tradecast.engine.message import Message
from tradecast.engine.transports import asgi_websocket as module
from tradecast.engine.transports.asgi_websocket import AsgiWebSocket
from unit.engine.hosts import FakeHost


class Case:
    """A WebSocket that is served."""

    def __init__(self, **limits: int) -> None:
        self.host = FakeHost(**limits)
        self.transport = AsgiWebSocket(self.host)
        self.connection = Connection(self.host, "sid", self.transport)
        self.transport.receiver = self.connection
        self.sent: list[Any] = []
        self.takes = asyncio.Event()
        self.takes.set()
        self._incoming: asyncio.Queue[Any] = asyncio.Queue()
        self.running = asyncio.create_task(self.transport.run(self._incoming.get, self._send))

    async def _send(self, event: Any) -> None:
        await self.takes.wait()
        self.sent.append(event)

    def receive(self, packet: str | bytes) -> None:
        self._incoming.put_nowait({"type": "websocket.receive", "text" if isinstance(packet, str) else "bytes": packet})

    def disconnect(self) -> None:
        self._incoming.put_nowait({"type": "websocket.disconnect", "code": 1000})

    @property
    def packets(self) -> list[Any]:
        """What was sent, packet by packet; the code of a close."""
        return [one.get("text", one.get("bytes", one.get("code"))) for one in self.sent]

    @property
    def reasons(self) -> list[str]:
        """Why the connection ended."""
        return [reason for _, reason in self.host.gone]


async def test_packets_pass_both_ways_in_order() -> None:
    case = Case()
    case.connection.deliver(Message(["a", b"\x01"]))
    case.connection.deliver(Message(["b"]))
    for packet in ("4x", b"y", "4z"):
        case.receive(packet)
    await eventually(lambda: case.packets == ["4a", b"\x01", "4b"] and case.host.handled == ["x", b"y", "z"])
    case.disconnect()
    await asyncio.wait_for(case.running, 20)
    assert case.reasons == [TRANSPORT_CLOSE]


async def test_what_waits_goes_before_the_close_and_nothing_behind_it() -> None:
    case = Case()
    case.connection.deliver(Message(["a"]))
    case.connection.end("server disconnect", 1001)
    case.transport.send(Message(["b"]))
    await eventually(lambda: case.packets == ["4a", 1001])
    case.receive("4late")
    case.disconnect()
    await asyncio.wait_for(case.running, 20)
    assert (case.host.handled, case.reasons) == ([], ["server disconnect"])


async def test_while_the_http_server_takes_no_more_newer_quotes_replace_older_ones() -> None:
    case = Case()
    case.takes.clear()
    case.connection.deliver(Message(["first"]))
    await eventually(lambda: case.transport.is_backed_up)
    for n in range(3):
        quote = Message([f"AAPL {n}"])
        quote.key, quote.rooms = "AAPL", ("watchlist:AAPL",)
        case.connection.deliver(quote)
        trade = Message([f"trade {n}"])
        trade.rooms = ("trades:u",)
        case.connection.deliver(trade)
    gone = Message(["gone"])
    gone.rooms = ("portfolio:u",)
    case.connection.deliver(gone)
    case.transport.discard(("portfolio:u",), ("trades:u",))
    assert case.host.backlog.count().messages == 4
    case.takes.set()
    await eventually(lambda: case.packets == ["4first", "4trade 0", "4trade 1", "4trade 2", "4AAPL 2"])
    await eventually(lambda: not case.transport.is_backed_up)
    assert case.host.backlog.count().messages == 0
    case.disconnect()
    await asyncio.wait_for(case.running, 20)


async def test_a_client_that_keeps_up_gets_every_quote_and_volatile_messages() -> None:
    case = Case()
    for n in range(3):
        quote = Message([f"{n}"])
        quote.key = "AAPL"
        case.connection.deliver(quote)
    volatile = Message(["tick"])
    volatile.is_volatile = True
    case.connection.deliver(volatile)
    await eventually(lambda: case.packets == ["40", "41", "42", "4tick"])
    case.disconnect()
    await asyncio.wait_for(case.running, 20)


async def test_slow_client_is_cut_off() -> None:
    case = Case()
    case.takes.clear()
    case.connection.deliver(Message(["first"]))
    await eventually(lambda: case.transport.is_backed_up)
    case.connection.deliver(Message(["second"]))
    case.transport.cut_off("slow")
    await asyncio.wait_for(case.running, 20)
    assert case.reasons == [TRANSPORT_ERROR]
    assert case.host.notes.told == [("too slow", "slow")]
    assert case.host.backlog.count().messages == 0


async def test_client_that_does_not_answer_the_close_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GOODBYE", 0.05)
    case = Case()
    case.connection.end("server disconnect")
    await asyncio.wait_for(case.running, 20)


async def test_abort_ends_it_at_once() -> None:
    case = Case()
    case.connection.abort(TRANSPORT_ERROR)
    await asyncio.wait_for(case.running, 20)
    assert case.sent == []


@pytest.mark.parametrize("packet", ["x", "", "4" * 2000, b"x" * 2000])
async def test_what_is_malformed_or_too_large_ends_it(packet: str | bytes) -> None:
    case = Case(max_size=1000)
    case.receive("4before")
    case.receive(packet)
    case.receive("4after")
    await eventually(lambda: case.packets == [1000])
    case.disconnect()
    await asyncio.wait_for(case.running, 20)
    assert case.host.handled == ["before"]
    assert case.reasons == [TRANSPORT_ERROR]
    assert case.host.notes.told == [("malformed",)]


@pytest.mark.parametrize(("limits", "size"), [({"messages": 3}, 1), ({"size": 1000}, 400)])
async def test_client_that_does_not_read_is_cut_off(limits: dict[str, int], size: int) -> None:
    case = Case(**limits)
    case.takes.clear()
    case.connection.deliver(Message(["first"]))
    await eventually(lambda: not case.transport._waiting)  # the server holds it
    for _ in range(3):
        case.connection.deliver(Message(["x" * size]))
    assert case.reasons == []
    case.connection.deliver(Message(["x"]))
    assert case.reasons == [TRANSPORT_ERROR]
    assert case.host.notes.told == [("too slow", "queue_full")]
    case.takes.set()
    await asyncio.wait_for(case.running, 20)


@pytest.mark.parametrize("way", ["abort", "end"])
async def test_client_that_stopped_reading_is_let_go(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    monkeypatch.setattr(module, "GOODBYE", 0.05)
    case = Case()
    case.takes.clear()
    case.connection.deliver(Message(["a"]))
    await eventually(lambda: not case.transport._waiting)
    case.connection.abort(TRANSPORT_ERROR) if way == "abort" else case.connection.end("server disconnect")
    done, _ = await asyncio.wait([case.running], timeout=20)
    await cancel_and_wait(case.running)
    assert done


async def test_it_is_not_read_while_it_is_paused() -> None:
    case = Case()
    case.receive("4a")
    await eventually(lambda: case.host.handled == ["a"])
    case.transport.pause_reading()
    case.receive("4b")
    case.receive("4c")
    await asyncio.sleep(0.05)  # what must not happen has no event
    assert case.host.handled in (["a"], ["a", "b"]), "one may have been on its way"
    case.transport.resume_reading()
    await eventually(lambda: case.host.handled == ["a", "b", "c"])
    case.disconnect()
    await asyncio.wait_for(case.running, 20)


async def test_cancelled_server_ends_the_connection() -> None:
    case = Case()
    await asyncio.sleep(0)
    await cancel_and_wait(case.running, patience=20)  # a second cancellation would end what the first one begins
    assert case.reasons == [TRANSPORT_CLOSE]
