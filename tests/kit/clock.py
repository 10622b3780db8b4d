"""A clock that goes on when the test says so."""

from __future__ import annotations


class HandClock:
    """Seconds that never go back.

    Attributes:
        now: What it says.
    """

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
