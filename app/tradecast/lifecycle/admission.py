"""How fast new connections are let in: a decision, without a clock of its own."""

from __future__ import annotations


class Admission:
    """A token bucket that hands out waiting times (the generic cell rate algorithm, ITU-T I.371).

    A storm of reconnecting clients is spread instead of served at once: those who come too early are given a time to
    wait, and when that is too long, none.

    Args:
        rate: Handshakes per second in the long run.
        burst: Handshakes let in at once after a quiet time.
        longest_wait: Seconds that one may be held.
    """

    __slots__ = ("_burst_seconds", "_gap", "_longest_wait", "_next")

    def __init__(self, rate: float, burst: int, longest_wait: float) -> None:
        self._gap = 1 / rate
        self._burst_seconds = (burst - 1) / rate
        self._longest_wait = longest_wait
        self._next = 0.0  # when the bucket is full again

    def reserve(self, now: float) -> float | None:
        """Seconds to wait from `now` (a clock that never goes back); None: come again later, nothing is reserved."""
        due = max(self._next, now)
        wait = max(0.0, due - self._burst_seconds - now)
        if wait > self._longest_wait:
            return None
        self._next = due + self._gap
        return wait

    def give_back(self) -> None:
        """Somebody who waited is gone: the place is free again."""
        self._next -= self._gap
