"""Figures over the last minutes, in constant memory."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence

Clock = Callable[[], float]
LATENCIES = 1_000
LATENCY_SECONDS = 300.0
SECONDS = 60


class RecentLatencies:
    """The last 1,000 durations, those of the last 5 minutes among them.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._kept: deque[tuple[float, float]] = deque(maxlen=LATENCIES)

    def add(self, seconds: float) -> None:
        """Remember one duration."""
        self._kept.append((self._clock(), seconds))

    def percentiles(self, *percents: float) -> list[float]:
        """The percentiles in seconds, by the nearest rank; 0 where nothing is remembered."""
        oldest = self._clock() - LATENCY_SECONDS
        while self._kept and self._kept[0][0] < oldest:
            self._kept.popleft()
        return nearest_ranks(sorted(seconds for _, seconds in self._kept), percents)


def nearest_ranks(ordered: Sequence[float], percents: Sequence[float]) -> list[float]:
    """For each percentage the smallest value that at least so many of all do not exceed."""
    if not ordered:
        return [0.0 for _ in percents]
    return [ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)] for percent in percents]


class Rate:
    """How fast a total grows, over the last minute; nothing happens on the way of what is counted.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._samples: deque[tuple[float, int]] = deque([(clock(), 0)])

    def sample(self, total: int) -> None:
        """Remember the total as it is now. To be called now and then, at least every few seconds."""
        now = self._clock()
        self._samples.append((now, total))
        while len(self._samples) > 2 and self._samples[1][0] <= now - SECONDS:
            self._samples.popleft()

    def per_second(self, total: int) -> float:
        """By how much it grew per second: in the last minute, or since the start where that is shorter."""
        self.sample(total)
        began, before = self._samples[0]
        return (total - before) / max(1.0, self._clock() - began)


class LastMinute:
    """A count of the last 60 whole seconds, that of now among them.

    Args:
        clock: Seconds that never go back.
    """

    __slots__ = ("_clock", "_counts", "_newest", "_started")

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._newest = int(self._started)
        self._counts = [0] * SECONDS

    def add(self, count: int = 1) -> None:
        """Count `count` events now."""
        self._counts[self._advance() % SECONDS] += count

    def total(self) -> int:
        """Events of the last minute."""
        self._advance()
        return sum(self._counts)

    def per_second(self) -> float:
        """Events per second: of the last minute, or of the time since the start where that is shorter."""
        return self.total() / min(float(SECONDS), max(1.0, self._clock() - self._started))

    def _advance(self) -> int:
        now = int(self._clock())
        if now == self._newest:
            return now
        for second in range(max(self._newest, now - SECONDS) + 1, now + 1):
            self._counts[second % SECONDS] = 0
        self._newest = max(self._newest, now)
        return self._newest
