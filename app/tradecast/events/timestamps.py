"""Time as clients read it."""

from __future__ import annotations

from datetime import UTC, datetime


def timestamp() -> str:
    """Now, ISO 8601 in UTC with milliseconds: `2026-11-23T19:00:00.000Z`, as JavaScript's `toISOString`."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
