"""Bounds on the TCP connections of one listener: how many there may be, and how long each may take for what it does."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from tradecast.engine.turns import Turns

# Seconds between two checks of deadlines; less where they are shorter.
SWEEP_EVERY: Final = 1.0
# So many connections are ended in one turn of the event loop; the others after a moment.
ENDED_PER_SWEEP: Final = 200
# A client that was refused may send so many seconds and bytes more, which are discarded: to close at once would
# make the system drop the answer (RFC 9112 §9.6).
LINGER: Final = 2.0
LINGER_BYTES: Final = 4_000_000
# Seconds between two log lines about the same reason.
LOG_EVERY: Final = 60.0
# Seconds that a connection of the admin port may be silent when others want its place.
SILENT: Final = 1.0
# Why a request or a connection is refused or ended.
RefusalReason = Literal[
    "head_bytes",
    "head_lines",
    "query",
    "chunks",
    "pipelined",
    "unwanted_body",
    "head_timeout",
    "body_timeout",
    "tls_timeout",
    "tls_error",
    "tcp_connections",
    "idle_evicted",
]
log = logging.getLogger("tradecast.engine")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """What one connection may send, and how long it may take. Seconds and bytes.

    Attributes:
        head_bytes: Of a request's head; the trailers and chunk extensions of one body may have as many.
        head_lines: Header lines of a request; trailers may be as many.
        query_bytes: Of a query.
        pipelined: Requests that may wait behind one that is being answered.
        head_seconds: From the connection, or a later request's first byte, to the end of the head.
        hurried_head_seconds: The same while half of all connections are used.
        body_seconds: From the end of the head to that of the body; more by one for each `body_rate` bytes that came.
        body_rate: Bytes a second with which a body may take as long as it likes.
        keep_alive: That a connection may be idle between requests.
    """

    head_bytes: int = 32_768
    head_lines: int = 256
    query_bytes: int = 16_384
    pipelined: int = 8
    head_seconds: float = 20
    hurried_head_seconds: float = 5
    body_seconds: float = 30
    body_rate: int = 500
    keep_alive: float = 75


class BoundedConnection(Protocol):
    """A connection that is served over HTTP.

    Attributes:
        phase: What is awaited of its client, if anything; `ConnectionBounds` writes this.
    """

    phase: Phase | None

    @property
    def body_received(self) -> int | None:
        """Bytes of the body that have come; None while it is this server that does not read."""
        ...

    @property
    def unsent(self) -> int:
        """Bytes of answers that its client has not taken yet."""
        ...

    def abort(self) -> None:
        """Close the connection at once."""
        ...

    def head_overdue(self) -> None:
        """Close the connection: the head of its request took too long."""
        ...

    def body_overdue(self) -> None:
        """Close the connection: the body of its request took too long."""
        ...

    def idle_overdue(self) -> None:
        """Close it: nothing was asked for a long time."""
        ...


Phase = dict[BoundedConnection, float]
"""Connections of whose clients the same is awaited, and since when; the oldest first."""


class RefusalObserver(Protocol):
    """Counts requests and connections that are refused or ended."""

    def http_refused(self, reason: RefusalReason) -> None: ...


class UncountedRefusals:
    """Counts nothing (`RefusalObserver`)."""

    def http_refused(self, reason: RefusalReason) -> None:
        """See `RefusalObserver`."""


class ConnectionBounds:
    """Counts a listener's connections, makes room among them, and ends those that take too long, by one timer.

    Args:
        limits: What each of them may do.
        most: How many there may be, WebSockets among them.
        evicts_silent: Whether those that have sent nothing make room for new ones too, as they do on a port that
            must always answer.
        observer: Counts refusals; None: nobody does.
        clock: Seconds that never go back.

    Attributes:
        connections: All that are open, those of other protocols too; uvicorn keeps its own here.
        reading_head: Those whose head is awaited.
        reading_body: Those whose body is awaited.
        idle: Those between two requests.
        closing: Those that are closed, and not gone.
        turns: Of those that sent more than is read at once.
    """

    def __init__(
        self,
        limits: HttpLimits | None = None,
        *,
        most: int = 1_000_000,
        evicts_silent: bool = False,
        observer: RefusalObserver | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = limits or HttpLimits()
        self.most = most
        self.connections: set[Any] = set()
        self.reading_head: Phase = {}
        self.reading_body: Phase = {}
        self.idle: Phase = {}
        self.closing: Phase = {}
        self.turns = Turns()
        self._evicts_silent = evicts_silent
        self._observer: RefusalObserver = UncountedRefusals() if observer is None else observer
        self._clock = clock
        own = self.limits
        shortest = min(own.head_seconds, own.hurried_head_seconds, own.body_seconds, own.keep_alive, 5 * SWEEP_EVERY)
        self._interval = shortest / 5
        self._handle: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._logged: dict[RefusalReason, float] = {}

    def admit(self, connection: BoundedConnection) -> bool:
        """Take a new connection in; False: there is no room, and it has to be closed."""
        if len(self.connections) >= self.most and not self._make_room():
            self.note_refusal("tcp_connections")
            return False
        self.connections.add(connection)
        self.enter_phase(connection, self.reading_head)
        return True

    def enter_phase(self, connection: BoundedConnection, phase: Phase) -> None:
        """A connection is in this phase from now on, and in no other."""
        if connection.phase is not None:
            connection.phase.pop(connection, None)
        connection.phase = phase
        phase[connection] = self._clock()
        if self._handle is None:
            self._schedule(self._interval)

    def leave_phase(self, connection: BoundedConnection) -> None:
        """Nothing is awaited of a connection's client: it is this server's turn, or the client is gone."""
        if connection.phase is not None:
            connection.phase.pop(connection, None)
            connection.phase = None

    def note_refusal(self, reason: RefusalReason) -> None:
        """Count a refusal, and log the first of its kind in a minute."""
        self._observer.http_refused(reason)
        now = self._clock()
        if now - self._logged.get(reason, -LOG_EVERY) >= LOG_EVERY:
            self._logged[reason] = now
            log.info("HTTP connections refused or ended: %s", reason)

    def close(self) -> None:
        """End nobody any more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _make_room(self) -> bool:
        """End the most dispensable connection; False: there is none."""
        victim = next(iter(self.idle), None)
        if victim is None and self._evicts_silent:
            victim, since = next(iter(self.reading_head.items()), (None, 0.0))
            if self._clock() - since < SILENT:
                victim = None
        if victim is None:
            return False
        self.note_refusal("idle_evicted")
        self.leave_phase(victim)
        self.connections.discard(victim)  # it is gone in this turn or the next one
        victim.abort()
        return True

    def _schedule(self, delay: float) -> None:
        self._due = self._clock() + delay
        self._handle = asyncio.get_running_loop().call_later(delay, self._sweep)

    def _sweep(self) -> None:
        self._handle = None
        now = self._clock()
        # After the event loop has stood still, what came meanwhile is read first.
        more = now - self._due <= max(self._interval, SWEEP_EVERY) and self._end_overdue(now)
        if self.reading_head or self.reading_body or self.idle or self.closing:
            self._schedule(self._interval / 20 if more else self._interval)

    def _end_overdue(self, now: float) -> bool:
        """End those that took too long; whether there are more of them."""
        limits = self.limits
        hurried = 2 * len(self.connections) >= self.most
        heads = _find_older(self.reading_head, now - (limits.hurried_head_seconds if hurried else limits.head_seconds))
        for connection in heads:
            connection.head_overdue()
        idle = _find_older(self.idle, now - limits.keep_alive)
        for connection in idle:
            connection.idle_overdue()
        bodies = 0
        for connection, since in list(self.reading_body.items()):
            received = connection.body_received
            if received is not None and now - since > limits.body_seconds + received / limits.body_rate:
                connection.body_overdue()
                bodies += 1
                if bodies == ENDED_PER_SWEEP:
                    break
        for connection, since in list(self.closing.items()):
            # Who takes a long answer slowly is given the time of an idle connection.
            if now - since > (limits.keep_alive if connection.unsent else LINGER):
                self.leave_phase(connection)
                connection.abort()
        return ENDED_PER_SWEEP in (len(heads), len(idle), bodies)


def _find_older(phase: Phase, than: float) -> list[BoundedConnection]:
    """Connections that are in a phase since before a time; some of them if they are very many."""
    found: list[BoundedConnection] = []
    for connection, since in phase.items():
        if since > than or len(found) == ENDED_PER_SWEEP:
            break
        found.append(connection)
    return found
