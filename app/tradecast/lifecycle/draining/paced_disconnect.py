"""Decides which clients a drain or shed closes next, and closes them one by one: other servers are not stormed."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Literal, Protocol

from tradecast.lifecycle.draining.pacing import LocalPace, Pace

Reason = Literal["drain", "shed", "timeout"]

# Seconds by which a close may be late without delaying the next ones: timers are not exact. In a second there are never
# more closes than this share above the rate.
TOLERATED_LATENESS = 0.02


class OpenTransports(Protocol):
    """The transports of clients that end with this server."""

    def connections(self) -> Collection[str]:
        """The engine ids of those that are open now."""
        ...

    def count(self) -> int:
        """How many are open now."""
        ...

    def close_transport(self, connection: str) -> None:
        """Close one; one that is gone is passed over."""
        ...


class CloseObserver(Protocol):
    """Receives what is closed."""

    def connection_closed(self, reason: Reason) -> None:
        """A client's transport was closed."""
        ...


class Haste(Protocol):
    """How much time there is.

    Attributes:
        urgent: Whether it was hurried.
    """

    @property
    def urgent(self) -> bool: ...

    def compute_need(self, remaining: int) -> float:
        """Transports per second, so that all of `remaining` are closed in time."""
        ...

    def hurry(self, need: float) -> None:
        """So many are closed per second now, whatever the rate was to be."""
        ...


class PacedDisconnect:
    """Closes the transports of clients, paced. A standard Socket.IO client reconnects, to another server or this one.

    It never disconnects the namespace: a client that gets a Socket.IO DISCONNECT stays away for good.

    Args:
        transports: The transports of this server.
        observer: Gets the reason of each that is closed.
        pace: When each may be closed; None: a pace of this server's own.
        clock: Seconds that never go back.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        transports: OpenTransports,
        observer: CloseObserver,
        *,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._transports = transports
        self._observer = observer
        self._pace = pace or LocalPace(clock)
        self._clock = clock
        self._sleep = sleep
        self._closing: set[str] = set()  # a client that has not read yet that its transport closes is still there

    def remaining(self) -> int:
        """How many transports are open."""
        return self._transports.count()

    async def disconnect(
        self, reason: Reason, rate: float, count: int | None = None, haste: Haste | None = None
    ) -> None:
        """Close transports in random order, at most `rate` of them per second.

        Args:
            reason: Why.
            rate: Transports per second, of all servers that share a pace.
            count: How many; None: all that are open.
            haste: Knows when it has to be faster; None: never.
        """
        leaving = self._open()
        random.shuffle(leaving)
        leaving = leaving[:count]
        while leaving:
            lag = 0.0
            for moment in await self._reserve(len(leaving), rate, haste):
                await self._sleep(max(0.0, moment + lag - self._clock()))
                late = self._clock() - moment - lag
                if late > TOLERATED_LATENESS:  # a process that was held up does not catch up: the rest is as late
                    lag += late
                client = self._next(leaving)
                if client is None:
                    return
                self._close(client, reason)

    def disconnect_all(self, reason: Reason) -> int:
        """Close all transports at once; how many there were."""
        leaving = self._open()
        for client in leaving:
            self._close(client, reason)
        return len(leaving)

    async def _reserve(self, count: int, rate: float, haste: Haste | None) -> list[float]:
        """Moments for the next clients: shared with other servers, or this one's own where those would be too late."""
        if haste is None:
            return await self._pace.reserve(count, rate)
        # Those who have left by themselves are found one by one, and need no haste.
        need = haste.compute_need(min(count, self._transports.count()))
        if need <= rate and not haste.urgent:  # who was late once would be late again
            moments = await self._pace.reserve(count, rate, need)
            if moments:
                return moments
        haste.hurry(need)
        return await self._pace.reserve_urgent(count, rate, need)

    def _open(self) -> list[str]:
        """The transports that have not been closed."""
        here = list(self._transports.connections())
        self._closing.intersection_update(here)
        return [client for client in here if client not in self._closing]

    def _next(self, leaving: list[str]) -> str | None:
        """The next one that is still there: who has left needs no slot."""
        here = self._transports.connections()
        while leaving:
            client = leaving.pop()
            if client in here:
                return client
        return None

    def _close(self, client: str, reason: Reason) -> None:
        self._closing.add(client)
        self._transports.close_transport(client)
        self._observer.connection_closed(reason)
