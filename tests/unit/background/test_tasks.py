"""Tasks end, also those that swallow a cancellation."""

from __future__ import annotations

import asyncio
import contextlib

from tradecast.background.tasks import end


async def test_a_task_that_swallows_a_cancellation_ends_by_the_next() -> None:
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        swallowed += 1
        await asyncio.Event().wait()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        await end(task, None, patience=0.01)
    assert task.cancelled()
    assert swallowed == 1


async def test_a_task_that_failed_is_over_without_a_word() -> None:
    async def failing() -> None:
        raise ValueError("on purpose")

    task = asyncio.create_task(failing())
    await asyncio.wait([task])
    await end(task)
    await end()
