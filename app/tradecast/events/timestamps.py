"""Time as clients read it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache


def timestamp() -> str:
    """Now, ISO 8601 in UTC with milliseconds: `2026-11-23T19:00:00.000Z`, as JavaScript's `toISOString`."""
    now = time.time_ns() // 1_000_000
    return f"{_to_the_second(now // 1000)}.{now % 1000:03}Z"


@lru_cache(maxsize=4)
def _to_the_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
