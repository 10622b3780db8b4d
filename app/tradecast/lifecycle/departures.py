"""Clients that are sent away one by one, so that the servers they come back to are not stormed."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Literal

Reason = Literal["drain", "shed", "timeout"]


def slots(rate: float, jitter: Callable[[], float] = random.random) -> Iterator[float]:
    """Times of departure in seconds from the start: one at a random moment of each slot of 1/`rate` seconds.

    So never more than `rate` a second (and one) fall into any stretch of time, and clients of several servers do
    not leave in step.
    """
    number = 0
    while True:
        yield (number + jitter()) / rate
        number += 1


class Departures:
    """Closes the transports of clients, paced. A stock client comes back by itself, to another server or to this one.

    Never the namespace: a client that gets a Socket.IO DISCONNECT stays away for good.

    Args:
        connections: The clients that are here now.
        hang_up: Closes one's transport; one that is gone is passed over.
        on_closed: Told the reason of each.
        clock: Seconds that never go back.
        sleep: Waits so many seconds.
    """

    def __init__(
        self,
        connections: Callable[[], Iterable[str]],
        hang_up: Callable[[str], None],
        on_closed: Callable[[Reason], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._connections = connections
        self._hang_up = hang_up
        self._on_closed = on_closed
        self._clock = clock
        self._sleep = sleep
        self._told: set[str] = set()  # those who have not read yet that they are to go are still here

    async def send_away(self, reason: Reason, rate: float, count: int | None = None) -> None:
        """Close `count` connections, or all that are here, at most `rate` of them per second, in random order."""
        leaving = self._staying()
        random.shuffle(leaving)
        started = self._clock()
        for client, slot in zip(leaving[:count], slots(rate), strict=False):
            await self._sleep(max(0.0, started + slot - self._clock()))
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

    def _close(self, client: str, reason: Reason) -> None:
        self._told.add(client)
        self._hang_up(client)
        self._on_closed(reason)
