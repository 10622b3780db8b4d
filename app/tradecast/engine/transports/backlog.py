"""The transports of one server for which messages wait, and how long that may take."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Final, Literal, NamedTuple, Protocol

from tradecast.engine.message import Message
from tradecast.engine.transports.outbox import Outbox, Outcome

SlowReason = Literal["slow", "silent", "queue_full"]
"""Why the transport of a slow client is closed: what waits is too old, or too much.

Where its link has taken nothing of what waits, it is silent: the client or its network is gone rather than slow.
"""
# Seconds between two checks of how long messages have waited; less where they may wait for less than ten times as long.
CHECK_EVERY: Final = 1.0


class BackedUp(Protocol):
    """A transport that takes no more for now.

    Attributes:
        outbox: What waits for its client; None: nothing.
    """

    outbox: Outbox | None

    @property
    def name(self) -> str:
        """As clients call it."""
        ...

    def cut_off(self, reason: SlowReason) -> None:
        """Close it at once, so that its client reconnects; what waits is dropped."""
        ...


class DrainWaiter(Protocol):
    """Goes on with a client once what waits for it is sent: a paced replay, for one."""

    def on_drained(self, eio_sid: str) -> None:
        """The client's transport takes more, and nothing waits for it. Called once, in a later turn of the loop.

        Not called if the client goes before.
        """
        ...


class Waiting(NamedTuple):
    """What waits for all clients of a server.

    Attributes:
        clients: How many clients there are for which something waits, by transport.
        messages: How many messages wait.
        size: Their bytes; a message that waits for several clients counts for each, though it is kept once.
    """

    clients: dict[str, int]
    messages: int
    size: int


class Backlog:
    """Knows the transports for which messages wait, and closes those that are too slow, by one timer for all.

    Args:
        patience: Seconds that a message which stays in order may wait.
        clock: Seconds that never go back.

    Attributes:
        clock: As above.
        conflated: Messages that were replaced by a newer one before they were sent.
        dropped: Volatile messages that were not sent.
    """

    def __init__(self, patience: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.conflated = 0
        self.dropped = 0
        self._patience = patience
        self._every = min(CHECK_EVERY, patience / 10)
        self._transports: dict[BackedUp, None] = {}
        self._waiters: dict[str, DrainWaiter] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def put(self, transport: BackedUp, outbox: Outbox, outcome: Outcome) -> None:
        """A message was put into a transport's outbox."""
        if outcome == "replaced":
            self.conflated += 1
        elif outcome == "dropped":
            self.dropped += 1
        if transport not in self._transports:
            self._transports[transport] = None
            if self._timer is None:
                self._schedule()

    def queue(self, transport: BackedUp, message: Message, free: int = 0) -> None:
        """Put a message into a transport's outbox, which is made if there is none. Arguments as of `Outbox.put`."""
        outbox = transport.outbox
        if outbox is None:
            transport.outbox = outbox = Outbox()
        self.put(transport, outbox, outbox.put(message, self.clock(), free))

    def remove(self, transport: BackedUp) -> None:
        """Nothing waits for a transport any more: it is closed, or another one has taken that over."""
        self._transports.pop(transport, None)

    def drained(self, transport: BackedUp, eio_sid: str) -> None:
        """What waited for a transport is sent, and it takes more."""
        self._transports.pop(transport, None)
        if self._waiters and (waiter := self._waiters.pop(eio_sid, None)) is not None:
            asyncio.get_running_loop().call_soon(waiter.on_drained, eio_sid)

    def notify(self, eio_sid: str, waiter: DrainWaiter) -> None:
        """Notify a waiter once what waits for a client is sent; a client has one waiter, the newest."""
        self._waiters[eio_sid] = waiter

    def forget(self, eio_sid: str) -> None:
        """A client is gone."""
        self._waiters.pop(eio_sid, None)

    def count(self) -> Waiting:
        """What waits now."""
        outboxes = [(one.name, one.outbox) for one in self._transports if one.outbox is not None]
        return Waiting(
            Counter(name for name, _ in outboxes),
            sum(len(outbox) for _, outbox in outboxes),
            sum(outbox.size for _, outbox in outboxes),
        )

    def close(self) -> None:
        """Check no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self) -> None:
        self._due = self.clock() + self._every
        self._timer = asyncio.get_running_loop().call_later(self._every, self._check)

    def _check(self) -> None:
        self._timer = None
        now = self.clock()
        # After the event loop has stalled, sockets may take more, and nobody has asked them yet.
        if now - self._due <= self._every:
            latest = now - self._patience
            for transport in list(self._transports):
                outbox = transport.outbox
                oldest = None if outbox is None else outbox.oldest
                if outbox is not None and oldest is not None and oldest < latest:
                    transport.cut_off("slow" if outbox.has_moved else "silent")
        if self._transports:
            self._schedule()
