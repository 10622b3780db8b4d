"""One client's connection: its session in the words of Engine.IO, whatever transport carries it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Protocol

from tradecast.engine.frames import NORMAL
from tradecast.engine.message import Message
from tradecast.engine.observer import Observer
from tradecast.engine.packets import CLOSE, MESSAGE, PONG, Malformed, check_packet
from tradecast.engine.timers import TimerWheel
from tradecast.engine.transports.base import Transport, TransportName

# Why a connection ended, as python-socketio's disconnect handlers are given it.
CLIENT_DISCONNECT: Final = "client disconnect"
SERVER_DISCONNECT: Final = "server disconnect"
PING_TIMEOUT: Final = "ping timeout"
TRANSPORT_CLOSE: Final = "transport close"
TRANSPORT_ERROR: Final = "transport error"

# Packets of a client that wait while a handler of an earlier one does. Beyond it the client is not read.
INBOX: Final = 64
_PING: Final = Message.of_packet(b"2")
log = logging.getLogger("tradecast.engine")


async def finish_handler(work: Awaitable[object]) -> None:
    """Await what a handler still does; whatever goes wrong in it is logged.

    A handler may be cancelled by what it waits for; that ends it alone. A cancellation of this task is passed on.
    """
    try:
        await work
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        log.error("a handler was cancelled by what it waited for")
    except Exception:
        log.exception("a handler failed")


class Host(Protocol):
    """What a connection needs of the server.

    Attributes:
        ping_interval: Seconds between an answer to a heartbeat and the next heartbeat.
        ping_timeout: Seconds within which a heartbeat must be answered.
        first_message_limit: Bytes of the largest message of a client that is not trusted yet.
        wheel: Calls when one is due.
        observer: Is notified of heartbeats.
    """

    ping_interval: float
    ping_timeout: float
    first_message_limit: int
    wheel: TimerWheel
    observer: Observer

    def call_message_handler(self, sid: str, data: str | bytes) -> Awaitable[object] | None:
        """Call the handler of messages; what is still to be awaited of it."""
        ...

    def begin_work(self, connection: Connection, work: Coroutine[Any, Any, None]) -> None:
        """Run what a connection waits for in a task, which is kept with it until `end_work`."""
        ...

    def end_work(self, connection: Connection) -> None:
        """What a connection waited for is done."""
        ...

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Call it in the next turn of the event loop, in the server's own context."""
        ...

    def forget(self, connection: Connection, reason: str) -> None:
        """A connection has ended: call its disconnect handler soon, but not now."""
        ...


class Connection:
    """One client, from its handshake until either side ends it.

    Attributes:
        sid: Its id.
        message_limit: Bytes of the largest message taken from it.
        transport: What carries it now.
        slot: Where it waits on the wheel (`Timed`).
        reason: Why it has ended; None as long as it has not.
    """

    __slots__ = (
        "__weakref__",
        "_due",
        "_host",
        "_inbox",
        "_paused",
        "_pinged",
        "_resumed",
        "_working",
        "message_limit",
        "reason",
        "sid",
        "slot",
        "transport",
    )

    def __init__(self, host: Host, sid: str, transport: Transport) -> None:
        self.sid = sid
        self.message_limit = host.first_message_limit
        self.transport = transport
        self.reason: str | None = None
        self.slot = -1
        self._resumed: asyncio.Event | None = None
        self._host = host
        # While `_pinged`, when the answer is due; else not used.
        self._due = 0.0
        self._pinged = False
        self._working = False
        self._paused = False
        self._inbox: deque[str | bytes] | None = None

    @property
    def closed(self) -> bool:
        """Whether it has ended. Its transport may still send what was queued before."""
        return self.reason is not None

    @property
    def transport_name(self) -> TransportName:
        """What carries it now."""
        return self.transport.name

    @property
    def overdue(self) -> bool:
        """Whether the answer to a heartbeat has not come in time."""
        return self._pinged and asyncio.get_running_loop().time() >= self._due

    def adopt(self, transport: Transport) -> None:
        """Let another transport carry it from now on."""
        self.transport = transport
        if self._paused:
            transport.pause_reading()

    # -- out

    def deliver(self, message: Message) -> None:
        """Send to this client. Never waits, never raises; nothing happens once it has ended."""
        if not self.closed:
            self.transport.send(message)

    # -- in

    def receive(self, packet: str | bytes) -> None:
        """Take one packet as a transport got it: a text with its type, or the bytes of a binary message.

        Raises:
            Malformed: It is not a packet, or not one that a client may send now.
        """
        if self.closed:
            return
        if isinstance(packet, bytes):
            self._receive_message(packet)
        elif packet[:1] == MESSAGE:
            self._receive_message(packet[1:])
        elif packet == PONG:
            self._receive_pong()
        else:
            check_packet(packet)
            if packet[0] != CLOSE:
                # A heartbeat in the wrong direction, or a part of an upgrade that is not under way.
                raise Malformed("a packet that no client sends")
            self.end(CLIENT_DISCONNECT)

    def _receive_pong(self) -> None:
        if self._pinged:
            self._pinged = False
            self._host.observer.heartbeat_answered(self.sid)
        self._host.wheel.schedule(self, self._host.ping_interval)

    def _receive_message(self, data: str | bytes) -> None:
        if self._working:
            self._queue(data)
            return
        work = self._host.call_message_handler(self.sid, data)
        if work is not None:
            self.run(work)

    def run(self, work: Awaitable[object]) -> None:
        """Await a handler in a task of its own. The client's later packets wait, undecoded, until it is done."""
        self._working = True
        self._host.begin_work(self, self._work(work))

    def _queue(self, data: str | bytes) -> None:
        if self._inbox is None:
            self._inbox = deque()
        self._inbox.append(data)
        if len(self._inbox) >= INBOX and not self._paused:
            self._paused = True
            self.transport.pause_reading()

    async def _work(self, work: Awaitable[object]) -> None:
        try:
            await finish_handler(work)
        finally:
            # Not here: what the handler has set in its context is not for the handlers of the next packets.
            self._host.end_work(self)
            self._host.call_soon(self._continue)

    def _continue(self) -> None:
        """Handle the packets that have waited, until one has to be waited for again."""
        while self._inbox and not self.closed:
            work = self._host.call_message_handler(self.sid, self._inbox.popleft())
            if self._paused and len(self._inbox or ()) <= INBOX // 2:
                self._resume()
            if work is not None:
                self.run(work)
                return
        self._working = False
        self._inbox = None
        if self._paused:
            self._resume()

    def _resume(self) -> None:
        self._paused = False
        self.transport.resume_reading()
        if self._resumed is not None:
            self._resumed.set()

    async def until_it_may_send(self) -> None:
        """Until fewer packets wait than the bound, or the connection has ended: for a transport that cannot pause."""
        while self._paused and not self.closed:
            self._resumed = self._resumed or asyncio.Event()
            self._resumed.clear()
            await self._resumed.wait()

    # -- heartbeats

    def start_heartbeat(self, delay: float) -> None:
        """Send the first heartbeat after so many seconds."""
        self._host.wheel.schedule(self, delay)

    def on_due(self, *, stalled: bool) -> None:
        """A heartbeat is due, or its answer (`Timed`)."""
        if self.closed:
            return
        host = self._host
        now = asyncio.get_running_loop().time()
        if not self._pinged:
            self._pinged = True
            self._due = now + host.ping_timeout
            # Notified before it is sent: it follows all that was sent so far, on the same transport.
            host.observer.heartbeat_sent(self.sid)
            self.transport.send(_PING)
            host.wheel.schedule(self, host.ping_timeout)
        elif now < self._due or stalled or self._paused:
            # Stalled: the answer may lie in the socket, and is read before the next tick. Paused: we do not read it.
            host.wheel.schedule(self, max(self._due - now, host.wheel.tick))
        else:
            self.end(PING_TIMEOUT, None)

    def probe(self) -> bool:
        """Send a heartbeat now, unless one waits for its answer; False where no answer could arrive."""
        if self.closed or self._paused:
            return False
        if not self._pinged:
            self._host.wheel.cancel(self)
            self.on_due(stalled=False)
        return True

    @property
    def silent_for(self) -> float:
        """Seconds since it answered a heartbeat, or connected; as exact as the timer wheel's ticks."""
        left = self._host.wheel.remaining(self)
        host = self._host
        return host.ping_interval + host.ping_timeout - left if self._pinged else host.ping_interval - left

    # -- the end

    def end(self, reason: str, code: int | None = NORMAL) -> None:
        """End the connection: its transport closes behind queued messages, and the disconnect handler is called soon.

        It is never sent the packet CLOSE, which python-socketio's client takes as final.

        Args:
            reason: For the disconnect handler.
            code: For a WebSocket's close frame; None: without one, so that every client reconnects at once.
        """
        if self._finish(reason):
            self.transport.close(code)

    def abort(self, reason: str) -> None:
        """End the connection at once, and drop its queued messages."""
        if self._finish(reason):
            self.transport.abort()

    def lost(self, reason: str) -> None:
        """Its transport is gone."""
        self._finish(reason)

    def _finish(self, reason: str) -> bool:
        if self.reason is not None:
            return False
        self.reason = reason
        self._inbox = None
        if self._paused:  # else the client's own end would not be read either
            self._paused = False
            self.transport.resume_reading()
        if self._resumed is not None:
            self._resumed.set()
        self._host.forget(self, reason)
        return True
