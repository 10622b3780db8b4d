"""Clocks that go on when the test says so."""

from __future__ import annotations

import asyncio


class HandClock:
    """Seconds that never go back.

    Attributes:
        now: What it says.
    """

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def leap(seconds: float) -> None:
    """Set the clock of the running loop, which is asyncio's own, so many seconds ahead: what was due then is due now.

    A test that lets a long time pass so depends on no short one, which a busy machine exceeds.
    """
    loop = asyncio.get_running_loop()
    read = loop.time
    loop.time = lambda: read() + seconds  # type: ignore[method-assign]
