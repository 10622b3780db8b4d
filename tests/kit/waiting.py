"""Waiting in tests for what cannot be awaited."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable


async def eventually(holds: Callable[[], object], within: float = 30.0) -> None:
    """Return as soon as something holds; the test fails if it does not in time."""
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, f"not within {within:g} s"
        await asyncio.sleep(0.01)


async def until(holds: Callable[[], Awaitable[object]], within: float = 30.0) -> None:
    """As `eventually`, for what has to be asked for."""
    deadline = time.monotonic() + within
    while not await holds():
        assert time.monotonic() < deadline, f"not within {within:g} s"
        await asyncio.sleep(0.01)
