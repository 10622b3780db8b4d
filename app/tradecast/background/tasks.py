"""Ending asyncio tasks."""

from __future__ import annotations

import asyncio
from typing import Any

PATIENCE = 1.0


async def end(*tasks: asyncio.Future[Any] | None, patience: float = PATIENCE) -> None:
    """Cancel tasks until each is over, whatever it ended with.

    Once is not enough: before Python 3.12 `asyncio.wait_for`, by which redis-py writes, swallows a cancellation that
    comes in the moment in which the write is done (https://github.com/python/cpython/issues/86296).

    Args:
        tasks: Those that are to end; None is passed over.
        patience: Seconds until those that go on are cancelled again.
    """
    ending = {task for task in tasks if task is not None}
    going = {task for task in ending if not task.done()}
    while going:
        for task in going:
            task.cancel()
        _, going = await asyncio.wait(going, timeout=patience)
    for task in ending:
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not warn about it
