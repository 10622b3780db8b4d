"""How fast new connections are let in: a decision, with times passed in."""

from __future__ import annotations


class Admission:
    """A token bucket that gives waiting times (the generic cell rate algorithm, ITU-T I.371).

    A storm of reconnecting clients is spread instead of served at once: a client that comes too early has to wait, and
    one that would wait too long is refused.

    Args:
        rate: Handshakes per second in the long run.
        burst: Handshakes let in at once after a quiet time.
        longest_wait: Seconds that one may wait.
    """

    __slots__ = ("_burst_seconds", "_gap", "_longest_wait", "_next")

    def __init__(self, rate: float, burst: int, longest_wait: float) -> None:
        self._gap = 1 / rate
        self._burst_seconds = (burst - 1) / rate
        self._longest_wait = longest_wait
        self._next = 0.0  # when the bucket is full again

    def reserve(self, now: float) -> float | None:
        """Reserve a slot: seconds to wait from `now` (a clock that never goes back); None: it would be too long."""
        due = max(self._next, now)
        wait = max(0.0, due - self._burst_seconds - now)
        if wait > self._longest_wait:
            return None
        self._next = due + self._gap
        return wait

    def release(self) -> None:
        """Free a slot that was reserved: the client is gone before its turn."""
        self._next -= self._gap
