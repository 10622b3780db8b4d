"""What every store of rate limits can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

Check = tuple[str, int]
"""A limit's name, and how many events it lets through per window."""


class Refusal(NamedTuple):
    """Why an event may not pass.

    Attributes:
        limit: The name of the limit that is used up.
        seconds: How long it is, at least.
    """

    limit: str
    seconds: float


class RateStore(Protocol):
    """Counts events per user and limit in a sliding window."""

    async def hit(self, user_id: str, checks: Sequence[Check], window_ms: int) -> str | None:
        """Count one event against all of `checks`, or against none if one of them is used up.

        Returns:
            None if the event is counted; else the name of the first limit that is used up.
        """
        ...


@dataclass(frozen=True, slots=True)
class LimitResult:
    """Whether an event may pass: true if it may.

    Attributes:
        exceeded: The limit that is used up, `global` or the event's; None if it may pass.
    """

    exceeded: str | None = None

    def __bool__(self) -> bool:
        return self.exceeded is None


ALLOWED: Final = LimitResult()
