"""Limits that users have exhausted, remembered so that Redis is not asked about each event of a flood."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from tradecast.limits.rates import Check

# Users and limits remembered at a time, some 200 bytes each. Of those beyond it Redis is asked again.
MOST: Final = 10_000
# Seconds after which Redis is asked again in any case: it may have lost its data.
LONGEST: Final = 10.0


class ExhaustedLimits:
    """Limits that users have exhausted, each until the window has moved far enough to let one more event pass.

    Args:
        clock: Monotonic, in seconds.
        most: How many are remembered.
    """

    __slots__ = ("_clock", "_most", "_until")

    def __init__(self, clock: Callable[[], float] = time.monotonic, most: int = MOST) -> None:
        self._clock = clock
        self._most = most
        # By user and limit, oldest first.
        self._until: dict[tuple[str, str], float] = {}

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._until)

    def remember(self, user_id: str, limit: str, seconds: float) -> None:
        """A user has exhausted the limit of this name for this long."""
        key = (user_id, limit)
        self._until.pop(key, None)
        if len(self._until) >= self._most:
            del self._until[next(iter(self._until))]
        self._until[key] = self._clock() + min(seconds, LONGEST)

    def find(self, user_id: str, checks: Sequence[Check]) -> str | None:
        """The first of these limits that a user is known to have exhausted; None if there is none."""
        if not self._until:
            return None
        for name, _ in checks:
            until = self._until.get((user_id, name))
            if until is not None:
                if until > self._clock():
                    return name
                del self._until[user_id, name]
        return None

    def forget_all(self) -> None:
        """Forget all: Redis is away, or is back and may have lost its counts."""
        self._until.clear()

    def cleanup(self) -> None:
        """Forget limits that are no longer exhausted."""
        now = self._clock()
        for key in [key for key, until in self._until.items() if until <= now]:
            del self._until[key]
