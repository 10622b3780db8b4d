"""How fast a drain has to be, and when it has to be over: a decision, with a clock that is passed in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

# The share of the time left in which all clients are to be gone: the rest is for what takes longer than it should.
USED: Final = 0.8
# Of a short time, so much at most is spent before the first client is disconnected, and kept for what comes after.
MOST_DELAY: Final = 0.25
MOST_RESERVE: Final = 0.5
# An end that comes nearer by a smaller share is the same end, told by a request that took some milliseconds more.
SAME_END: Final = 0.05


class DrainTerms:
    """When clients are disconnected, how many per second, and when the rest is closed at once.

    The larger rate and the sooner end of all that was asked for hold, in whatever order it came.

    Args:
        rate: Clients disconnected per second.
        delay: Seconds until the first is.
        timeout: Seconds from then on until the rest is closed at once.
        clock: Seconds that never go back.

    Attributes:
        rate: Clients disconnected per second, if there is time for it.
        raised: The rate of its own that lack of time made necessary so far; 0: none did.
        begins: When the first client is disconnected.
        ends: When the rest is closed at once.
    """

    def __init__(self, *, rate: float, delay: float, timeout: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.rate = rate
        self.raised = 0.0
        self.begins = clock() + delay
        self.ends = self.begins + timeout

    @property
    def rate_now(self) -> float:
        """Clients per second now."""
        return max(self.rate, self.raised)

    def expect_rate(self, remaining: int) -> float:
        """Clients per second now; before the first is disconnected, what it will be with so many clients."""
        return max(self.rate_now, self.compute_need(remaining)) if self._clock() < self.begins else self.rate_now

    @property
    def urgent(self) -> bool:
        """Whether the drain is faster than it was to be, or does not wait for those of other servers."""
        return self.raised > 0

    @property
    def seconds_left(self) -> float:
        """Seconds until the rest is closed at once."""
        return max(0.0, self.ends - self._clock())

    def tighten(self, rate: float | None, timeout: float | None) -> bool:
        """Take over a larger rate, and a sooner end; whether either is new.

        Args:
            rate: Clients per second; None: none is asked for.
            timeout: Seconds for disconnecting them, from now or from the first one on; None: as before.
        """
        faster = rate is not None and rate > self.rate
        if rate is not None:
            self.rate = max(rate, self.rate)
        sooner = timeout is not None and self._end(max(self._clock(), self.begins) + timeout)
        return sooner or faster

    def end_within(self, seconds: float, reserve: float) -> bool:
        """The process is killed in so many seconds: take over the end that follows; whether it is new.

        Args:
            seconds: From now on.
            reserve: Seconds that the process needs after the drain; of a short time half.
        """
        now = self._clock()
        if not self._end(now + max(seconds - reserve, seconds * MOST_RESERVE)):
            return False
        self.begins = min(self.begins, now + (self.ends - now) * MOST_DELAY)
        return True

    def compute_need(self, remaining: int) -> float:
        """Clients per second, so that all of `remaining` are gone in time; never less than what it was raised to.

        A need that fell with the clients would be met at the very end only.
        """
        left = self.ends - max(self._clock(), self.begins)
        return max(self.raised, remaining / (USED * left)) if left > 0 else self.rate_now

    def hurry(self, need: float) -> bool:
        """So many clients are disconnected per second from now on; whether it is the first time."""
        first = not self.urgent
        self.raised = max(self.raised, need)
        return first

    def _end(self, ends: float) -> bool:
        if ends >= self.ends - SAME_END * self.seconds_left:
            return False
        self.ends = ends
        return True
