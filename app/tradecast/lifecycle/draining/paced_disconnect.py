"""Closes the transports of a drain or shed one by one, so that other servers are not flooded with reconnects."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Literal, Protocol

from tradecast.lifecycle.draining.pacing import LocalPace, Pace

Reason = Literal["drain", "shed", "timeout"]

# Seconds by which a close may be late without delaying the next ones, since timers are not exact. So the closes of any
# second exceed the rate by this share at most.
TOLERATED_LATENESS = 0.02


class OpenTransports(Protocol):
    """The client transports of this server."""

    def connections(self) -> Collection[str]:
        """The engine's ids of all open transports."""
        ...

    def count(self) -> int:
        """The number of open transports."""
        ...

    def close_transport(self, connection: str) -> None:
        """Close a transport; does nothing if it is closed already."""
        ...


class CloseObserver(Protocol):
    """Is notified of each transport that is closed."""

    def connection_closed(self, reason: Reason) -> None:
        """A client's transport was closed."""
        ...


class Haste(Protocol):
    """Knows how fast transports must be closed so that all are closed in time.

    Attributes:
        urgent: Whether `hurry` has been called.
    """

    @property
    def urgent(self) -> bool: ...

    def compute_need(self, remaining: int) -> float:
        """The rate, in transports per second, at which `remaining` transports are closed in time."""
        ...

    def hurry(self, need: float) -> None:
        """From now on, `need` transports are closed per second, instead of the configured rate."""
        ...


class PacedDisconnect:
    """Closes the transports of clients, paced. A standard Socket.IO client reconnects, to another server or this one.

    It never sends a Socket.IO DISCONNECT: a client that gets one does not reconnect.

    Args:
        transports: The transports of this server.
        observer: Is notified of each transport that is closed, with the reason.
        pace: Decides when each may be closed; None: a pace of this server alone.
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
        self._closing: set[str] = set()  # still listed as open until their clients have read the close

    def remaining(self) -> int:
        """The number of open transports."""
        return self._transports.count()

    async def disconnect(
        self, reason: Reason, rate: float, count: int | None = None, haste: Haste | None = None
    ) -> None:
        """Close transports in random order, at most `rate` of them per second.

        Args:
            reason: For metrics.
            rate: Transports per second, of all servers that share a pace.
            count: How many; None: all that are open.
            haste: Knows when they must be closed faster; None: never.
        """
        leaving = self._open()
        random.shuffle(leaving)
        leaving = leaving[:count]
        while leaving:
            lag = 0.0
            for moment in await self._reserve(len(leaving), rate, haste):
                await self._sleep(max(0.0, moment + lag - self._clock()))
                late = self._clock() - moment - lag
                if late > TOLERATED_LATENESS:  # after a stall do not catch up: delay all that follow
                    lag += late
                client = self._next(leaving)
                if client is None:
                    return
                self._close(client, reason)

    def disconnect_all(self, reason: Reason) -> int:
        """Close all transports at once. Returns how many there were."""
        leaving = self._open()
        for client in leaving:
            self._close(client, reason)
        return len(leaving)

    async def _reserve(self, count: int, rate: float, haste: Haste | None) -> list[float]:
        """Reserve the next times to close at: from the shared pace, or from this server's own if that is too slow."""
        if haste is None:
            return await self._pace.reserve(count, rate)
        # Clients that have left on their own do not count.
        need = haste.compute_need(min(count, self._transports.count()))
        if need <= rate and not haste.urgent:  # once urgent, always urgent: the shared pace would be too slow again
            moments = await self._pace.reserve(count, rate, need)
            if moments:
                return moments
        haste.hurry(need)
        return await self._pace.reserve_urgent(count, rate, need)

    def _open(self) -> list[str]:
        """The open transports that this server has not closed yet."""
        here = list(self._transports.connections())
        self._closing.intersection_update(here)
        return [client for client in here if client not in self._closing]

    def _next(self, leaving: list[str]) -> str | None:
        """Take the next transport that is still open; None if none is left."""
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
