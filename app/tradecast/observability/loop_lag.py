"""How late the event loop is: the time for which everything else waited."""

from __future__ import annotations

import asyncio
from typing import Protocol

INTERVAL = 0.5


class LagObserver(Protocol):
    """Receives how late the event loop is."""

    def loop_lag(self, seconds: float) -> None:
        """The event loop was so late; never below 0."""
        ...


class LoopLag:
    """Sleeps, and reports how much longer that took than it should.

    Args:
        observer: Gets the lag after each sleep.
        interval: Seconds of a sleep.
    """

    def __init__(self, observer: LagObserver, interval: float = INTERVAL) -> None:
        self._observer = observer
        self._interval = interval

    async def run(self) -> None:
        """Until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            due = clock() + self._interval
            await asyncio.sleep(self._interval)
            self._observer.loop_lag(max(0.0, clock() - due))
