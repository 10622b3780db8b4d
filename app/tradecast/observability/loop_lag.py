"""How late the event loop is: the time for which everything else waited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

INTERVAL = 0.5


class LoopLag:
    """Sleeps, and tells how much longer that took than it should.

    Args:
        on_lag: Told the lag in seconds, twice a second; never below 0.
        interval: Seconds between two looks.
    """

    def __init__(self, on_lag: Callable[[float], None], interval: float = INTERVAL) -> None:
        self._on_lag = on_lag
        self._interval = interval

    async def run(self) -> None:
        """Until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            due = clock() + self._interval
            await asyncio.sleep(self._interval)
            self._on_lag(max(0.0, clock() - due))
