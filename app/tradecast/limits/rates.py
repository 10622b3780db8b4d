"""What every store of rate limits can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

Check = tuple[str, int]
"""A limit's name, and how many events it lets through per window."""


class RateStore(Protocol):
    """Counts events per user and limit in a sliding window."""

    async def hit(self, user_id: str, checks: Sequence[Check], window_ms: int) -> str | None:
        """Count one event against all of `checks`, or against none if one of them is used up.

        Returns:
            None if the event is counted; else the name of the first limit that is used up.
        """
        ...
