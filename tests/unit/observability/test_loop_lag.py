from __future__ import annotations

import asyncio
import time

import pytest

from tradecast.observability.loop_lag import LoopLag


class Lags:
    """Those that were reported."""

    def __init__(self) -> None:
        self.seen: list[float] = []
        self.told = asyncio.Event()

    def loop_lag(self, seconds: float) -> None:
        """As of `LagObserver`."""
        self.seen.append(seconds)
        self.told.set()


async def test_a_blocked_loop_shows() -> None:
    lags = Lags()
    seen, told = lags.seen, lags.told
    task = asyncio.create_task(LoopLag(lags, interval=0.02).run())
    async with asyncio.timeout(30):
        await told.wait()
        told.clear()
        time.sleep(0.3)  # noqa: ASYNC251 blocking is what is to be seen
        await told.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert min(seen) >= 0
    assert max(seen) > 0.2
