"""A server as connections and transports see it, and a transport that notes what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from typing import Any

from tradecast.engine.connection import Connection
from tradecast.engine.message import Message
from tradecast.engine.observer import Observer
from tradecast.engine.timers import TimerWheel
from tradecast.engine.transports.backlog import Backlog, SlowReason
from tradecast.engine.transports.base import Closing, Limits, TransportName
from tradecast.engine.transports.windows import Flushable, Windows
from tradecast.engine.turns import Turns


class Notes(Observer):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, ...]] = []

    def client_too_slow(self, sid: str, reason: SlowReason) -> None:
        self.told.append(("too slow", reason))

    def limit_exceeded(self, limit: str) -> None:
        self.told.append(("limit", limit))

    def packet_malformed(self) -> None:
        self.told.append(("malformed",))

    def message_compressed(self, before: int, after: int) -> None:
        self.told.append(("compressed", str(before), str(after)))

    def heartbeat_sent(self, sid: str) -> None:
        self.told.append(("sent", sid))

    def heartbeat_answered(self, sid: str) -> None:
        self.told.append(("answered", sid))


class FakeHost:
    """What connections and transports need of a server.

    Attributes:
        notes: What the observer was told.
        handled: Messages that the handler was called with.
        handler: What a message's handler returns.
        gone: Connections that have ended, by sid, with their reasons.
        to_flush: Transports that want to be flushed at the end of the turn.
        leaving: Transports that are on their way out.
        working: Tasks of connections that wait for a handler.
    """

    def __init__(self, *, messages: int = 100, size: int = 1_000_000, max_size: int = 1_000_000) -> None:
        self.ping_interval = 25.0
        self.ping_timeout = 20.0
        self.wheel = TimerWheel(20, 25)
        self.notes = Notes()
        self.observer: Observer = self.notes
        self.limits = Limits(messages, size)
        self.backlog = Backlog(self.limits.patience)
        self.windows = Windows()
        self.turns = Turns()
        self.max_http_buffer_size = self.first_message_limit = max_size
        self.handled: list[str | bytes] = []
        self.handler: Callable[[str | bytes], Awaitable[object] | None] = lambda data: None
        self.gone: list[tuple[str, str]] = []
        self.to_flush: list[Flushable] = []
        self.leaving: set[Closing] = set()
        self.working: dict[Connection, asyncio.Task[None]] = {}

    def call_message_handler(self, sid: str, data: str | bytes) -> Awaitable[object] | None:
        self.handled.append(data)
        return self.handler(data)

    def begin_work(self, connection: Connection, work: Coroutine[Any, Any, None]) -> None:
        assert connection not in self.working
        self.working[connection] = asyncio.ensure_future(work)

    def end_work(self, connection: Connection) -> None:
        del self.working[connection]

    def call_soon(self, callback: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_soon(callback)

    def forget(self, connection: Connection, reason: str) -> None:
        self.gone.append((connection.sid, reason))

    def flush_soon(self, transport: Flushable) -> None:
        self.to_flush.append(transport)

    def flush(self) -> None:
        """The turn of the loop ends."""
        transports, self.to_flush = self.to_flush, []
        for transport in transports:
            transport.flush()

    def is_leaving(self, transport: Closing) -> None:
        self.leaving.add(transport)

    def has_left(self, transport: Closing) -> None:
        self.leaving.discard(transport)


NO_CODE = -1


class FakeTransport:
    """A transport that notes what it is told.

    Attributes:
        sent: Packets, as they were sent.
        closed: The code that it was closed with; `NO_CODE` for none, 0 for an abort; None as long as it is open.
        is_backed_up: Whether it says that it takes no more.
        discarded: Rooms that were left, and those that the client was still in.
        in_window: Those packets that could wait for others.
        reading: Whether it reads.
    """

    def __init__(self, name: TransportName = "websocket") -> None:
        self.name: TransportName = name
        self.sent: list[str | bytes] = []
        self.closed: int | None = None
        self.is_backed_up = False
        self.discarded: list[tuple[list[str], list[str]]] = []
        self.in_window: list[str | bytes] = []
        self.reading = True
        self.pauses = 0

    @property
    def gone(self) -> bool:
        """Whether it was closed without a code, so that its client comes back."""
        return self.closed == NO_CODE

    def send(self, message: Message) -> None:
        assert self.closed is None
        self.sent += message.packets

    def send_in_window(self, message: Message) -> None:
        self.send(message)
        self.in_window += message.packets

    def discard(self, left: Collection[str], still_in: Collection[str]) -> None:
        self.discarded.append((sorted(left), sorted(still_in)))

    def take_unsent(self) -> list[Message]:
        return []

    def take_over(self, unsent: Sequence[Message]) -> None:
        for message in unsent:
            self.send(message)

    def close(self, code: int | None) -> None:
        assert self.closed is None, "closed twice"
        self.closed = NO_CODE if code is None else code

    def abort(self) -> None:
        assert self.closed is None, "closed twice"
        self.closed = 0

    def pause_reading(self) -> None:
        self.reading = False
        self.pauses += 1

    def resume_reading(self) -> None:
        self.reading = True


class Gate:
    """A handler that waits until it is let go on, for each message."""

    def __init__(self) -> None:
        self.running: list[str | bytes] = []
        self.done: list[str | bytes] = []
        self._next = asyncio.Semaphore(0)

    async def handle(self, data: str | bytes) -> None:
        self.running.append(data)
        await self._next.acquire()
        self.done.append(data)

    def open(self, count: int = 1) -> None:
        """Let so many handlers end."""
        for _ in range(count):
            self._next.release()
