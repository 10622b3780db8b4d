"""When clients that are sent away may leave: a steady pace with a little disorder in it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Protocol

BATCH_SECONDS = 0.25
"""Slots are taken for so long at a time (or one, where a slot lasts longer).

It is what one server may keep others waiting, and what a drain that is cancelled may leave unused.
"""


class Pace(Protocol):
    """Hands out moments of departure."""

    async def reserve(self, count: int, rate: float) -> list[float]:
        """Moments of the monotonic clock, rising: at least one, at most `count`.

        Ask again when they have passed.

        Args:
            count: How many are wanted, at least 1.
            rate: Departures per second.
        """
        ...


def batch_size(count: int, rate: float) -> int:
    """How many of `count` slots are taken at a time."""
    return min(count, max(1, int(rate * BATCH_SECONDS)))


def moments(first: float, count: int, rate: float, jitter: Callable[[], float] = random.random) -> list[float]:
    """`count` moments from `first` on: one at a random place in each slot of 1/`rate` seconds.

    So never more than `rate` a second (and one) fall into any stretch of time, and clients of several servers do
    not leave in step.
    """
    return [first + (number + jitter()) / rate for number in range(count)]


class LocalPace:
    """The pace of one server that asks nobody.

    Args:
        clock: Seconds that never go back.
        jitter: Where in its slot a moment lies, from 0 to 1.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, jitter: Callable[[], float] = random.random
    ) -> None:
        self._clock = clock
        self._jitter = jitter
        self._free = 0.0  # when the next slot begins

    async def reserve(self, count: int, rate: float) -> list[float]:
        """As `Pace`."""
        size = batch_size(count, rate)
        # Slots follow each other even where the last moment lay early in its slot; time that has passed is lost.
        first = max(self._free, self._clock())
        self._free = first + size / rate
        return moments(first, size, rate, self._jitter)
