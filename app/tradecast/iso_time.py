"""Points in time as text: ISO 8601 in UTC with milliseconds, as JavaScript's `toISOString` writes them. Pure."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache


def format_now() -> str:
    """The current time, such as `2026-11-23T19:00:00.000Z`."""
    return _format_milliseconds(time.time_ns() // 1_000_000)


def format_time(seconds: float) -> str:
    """A point in time, such as `2026-11-23T19:00:00.000Z`.

    Args:
        seconds: Unix time in seconds. Fractions of a millisecond are cut off.
    """
    return _format_milliseconds(round(seconds * 1_000_000) // 1000)


def _format_milliseconds(milliseconds: int) -> str:
    return f"{_format_seconds(milliseconds // 1000)}.{milliseconds % 1000:03}Z"


@lru_cache(maxsize=4)
def _format_seconds(seconds: int) -> str:
    """Date and time to the second: the same for all events and log lines within one."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
