"""Clients that are sent away one by one, so that the servers they come back to are not stormed."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Collection
from typing import Literal

from tradecast.lifecycle.pacing import LocalPace, Pace

Reason = Literal["drain", "shed", "timeout"]


class PacedDisconnect:
    """Closes the transports of clients, paced. A stock client comes back by itself, to another server or to this one.

    Never the namespace: a client that gets a Socket.IO DISCONNECT stays away for good.

    Args:
        connections: The clients that are here now.
        hang_up: Closes one's transport; one that is gone is passed over.
        on_closed: Told the reason of each.
        pace: When each may leave; None: a pace of this server's own.
        clock: Seconds that never go back.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        connections: Callable[[], Collection[str]],
        hang_up: Callable[[str], None],
        on_closed: Callable[[Reason], None],
        *,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._connections = connections
        self._hang_up = hang_up
        self._on_closed = on_closed
        self._pace = pace or LocalPace(clock)
        self._clock = clock
        self._sleep = sleep
        self._told: set[str] = set()  # those who have not read yet that they are to go are still here

    async def send_away(self, reason: Reason, rate: float, count: int | None = None) -> None:
        """Close `count` connections, or all that are here, at most `rate` of them per second, in random order."""
        leaving = self._staying()
        random.shuffle(leaving)
        leaving = leaving[:count]
        while leaving:
            for moment in await self._pace.reserve(len(leaving), rate):
                await self._sleep(max(0.0, moment - self._clock()))
                client = self._next(leaving)
                if client is None:
                    return
                self._close(client, reason)

    def send_all(self, reason: Reason) -> int:
        """Close everybody at once; how many there were."""
        leaving = self._staying()
        for client in leaving:
            self._close(client, reason)
        return len(leaving)

    def _staying(self) -> list[str]:
        here = list(self._connections())
        self._told.intersection_update(here)
        return [client for client in here if client not in self._told]

    def _next(self, leaving: list[str]) -> str | None:
        """The next one that has not left by itself: nobody needs a slot for that."""
        here = self._connections()
        while leaving:
            client = leaving.pop()
            if client in here:
                return client
        return None

    def _close(self, client: str, reason: Reason) -> None:
        self._told.add(client)
        self._hang_up(client)
        self._on_closed(reason)
