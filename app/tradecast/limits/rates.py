"""The interface of stores of rate limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

Check = tuple[str, int]
"""A limit's name, and how many events it lets through per window."""


class Refusal(NamedTuple):
    """Why an event may not pass.

    Attributes:
        limit: The name of the exhausted limit.
        seconds: How long it stays exhausted, at least.
    """

    limit: str
    seconds: float


class RateStore(Protocol):
    """Counts events per user and limit in a sliding window."""

    async def hit(self, user_id: str, checks: Sequence[Check], window_ms: int) -> str | None:
        """Count one event against all of `checks`, or against none if one of them is exhausted.

        Returns:
            None if the event is counted; else the name of the first exhausted limit.
        """
        ...


@dataclass(frozen=True, slots=True)
class LimitResult:
    """Whether an event may pass: true if it may.

    Attributes:
        exceeded: The exhausted limit, `global` or the event's; None if it may pass.
    """

    exceeded: str | None = None

    def __bool__(self) -> bool:
        return self.exceeded is None


ALLOWED: Final = LimitResult()
