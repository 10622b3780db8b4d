"""How fast new connections are accepted. Pure, with a clock that is passed in."""

from __future__ import annotations


class Admission:
    """A token bucket that returns waiting times (the generic cell rate algorithm, ITU-T I.371).

    It spreads a storm of reconnecting clients: a client that comes too early waits, and a client that would have to
    wait too long is refused.

    Args:
        rate: Handshakes per second in the long run.
        burst: Handshakes accepted at once after a quiet time.
        longest_wait: Maximum wait in seconds.
    """

    __slots__ = ("_burst_seconds", "_gap", "_longest_wait", "_next")

    def __init__(self, rate: float, burst: int, longest_wait: float) -> None:
        self._gap = 1 / rate
        self._burst_seconds = (burst - 1) / rate
        self._longest_wait = longest_wait
        self._next = 0.0  # when the bucket is full again

    def reserve(self, now: float) -> float | None:
        """Reserve a slot: seconds to wait from `now`, a monotonic time; None if the wait would be too long."""
        due = max(self._next, now)
        wait = max(0.0, due - self._burst_seconds - now)
        if wait > self._longest_wait:
            return None
        self._next = due + self._gap
        return wait

    def release(self) -> None:
        """Release a reserved slot: the client has left before its turn."""
        self._next -= self._gap
