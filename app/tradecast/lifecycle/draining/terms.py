"""How fast a drain must be, and when it must end. Pure, with a clock that is passed in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

# The share of the remaining time in which all clients are to be disconnected; the rest is a reserve.
USED: Final = 0.8
# The largest shares of a short time that are spent before the first client is disconnected, and reserved for what comes
# after the last one.
MOST_DELAY: Final = 0.25
MOST_RESERVE: Final = 0.5
# An end that is sooner by a smaller share of the remaining time is the same end, by a request that took longer.
SAME_END: Final = 0.05


class DrainTerms:
    """When clients are disconnected, how many per second, and when the rest is closed at once.

    Of all requests, the highest rate and the earliest end apply, in whatever order they come.

    Args:
        rate: Clients disconnected per second.
        delay: Seconds until the first client is disconnected.
        timeout: Seconds from then on, after which the remaining transports are closed at once.
        clock: Seconds that never go back.

    Attributes:
        rate: Clients disconnected per second, if there is time for it.
        raised: The highest rate that was necessary so far because time was short; 0: the drain is not urgent.
        begins: When the first client is disconnected.
        ends: When the remaining transports are closed at once.
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
        """Clients per second now; before the first is disconnected, the rate expected with `remaining` clients."""
        return max(self.rate_now, self.compute_need(remaining)) if self._clock() < self.begins else self.rate_now

    @property
    def urgent(self) -> bool:
        """Whether the drain has a rate of its own, instead of the rate that servers share."""
        return self.raised > 0

    @property
    def seconds_left(self) -> float:
        """Seconds until the remaining transports are closed at once."""
        return max(0.0, self.ends - self._clock())

    def tighten(self, rate: float | None, timeout: float | None) -> bool:
        """Apply a higher rate and an earlier end. Returns whether either has changed.

        Args:
            rate: Clients per second; None: unchanged.
            timeout: Seconds from now, or from the first disconnect if that is later; None: unchanged.
        """
        faster = rate is not None and rate > self.rate
        if rate is not None:
            self.rate = max(rate, self.rate)
        sooner = timeout is not None and self._end(max(self._clock(), self.begins) + timeout)
        return sooner or faster

    def end_within(self, seconds: float, reserve: float) -> bool:
        """Apply an end that is early enough for a process that will be killed. Returns whether it has changed.

        Args:
            seconds: Until the process is killed.
            reserve: Seconds that the process needs after the drain; at most half of `seconds` is reserved.
        """
        now = self._clock()
        if not self._end(now + max(seconds - reserve, seconds * MOST_RESERVE)):
            return False
        self.begins = min(self.begins, now + (self.ends - now) * MOST_DELAY)
        return True

    def compute_need(self, remaining: int) -> float:
        """The rate at which `remaining` clients are disconnected in time; never less than `raised`.

        If it fell along with the clients, the last of them would be disconnected only at the very end.
        """
        left = self.ends - max(self._clock(), self.begins)
        return max(self.raised, remaining / (USED * left)) if left > 0 else self.rate_now

    def hurry(self, need: float) -> bool:
        """Raise the rate to `need`. Returns whether the drain has become urgent by this call."""
        first = not self.urgent
        self.raised = max(self.raised, need)
        return first

    def _end(self, ends: float) -> bool:
        if ends >= self.ends - SAME_END * self.seconds_left:
            return False
        self.ends = ends
        return True
