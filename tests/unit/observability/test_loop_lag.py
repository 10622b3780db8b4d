from __future__ import annotations

import asyncio
import time

import pytest

from tradecast.observability.loop_lag import LoopLag


async def test_a_blocked_loop_shows() -> None:
    seen: list[float] = []
    told = asyncio.Event()

    def on_lag(seconds: float) -> None:
        seen.append(seconds)
        told.set()

    task = asyncio.create_task(LoopLag(on_lag, interval=0.02).run())
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
