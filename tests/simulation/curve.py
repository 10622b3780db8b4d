"""How many people want to be connected over a trading day, as a share of the peak."""

from __future__ import annotations

import random
from collections.abc import Sequence

HOUR = 3600.0
# Hour of the day and share: night, before the market, the flash crowd of its opening, lunch, the close, evening.
TRADING_DAY = (
    (0.0, 0.10),
    (6.0, 0.10),
    (8.5, 0.20),
    (9.4, 0.35),
    (9.5, 0.37),
    (9.6, 0.95),
    (10.0, 1.00),
    (11.75, 0.85),
    (12.25, 0.55),
    (13.0, 0.55),
    (13.5, 0.80),
    (15.7, 0.85),
    (16.0, 0.95),
    (16.1, 0.90),
    (16.6, 0.45),
    (18.0, 0.30),
    (22.0, 0.12),
    (24.0, 0.10),
)
# The same ups and downs in three hours, for a test.
SHORT_DAY = (
    (0.0, 0.30),
    (0.4, 0.37),
    (0.5, 0.95),
    (0.8, 1.00),
    (1.3, 0.85),
    (1.5, 0.55),
    (1.8, 0.55),
    (2.0, 0.80),
    (2.4, 0.85),
    (2.6, 0.35),
    (3.0, 0.30),
)

# From half an hour before the market opens: four in five come within two minutes.
OPENING = (
    (0.0, 0.18),
    (0.45, 0.20),
    (0.5, 0.22),
    (0.5 + 1 / 60, 0.62),
    (0.5 + 2 / 60, 0.92),
    (0.6, 1.00),
    (1.5, 0.97),
    (2.5, 0.60),
)


class Curve:
    """People over time: the shape, and noise that wanders slowly.

    Args:
        shape: Hours and shares of the peak, straight in between.
        peak: People.
        noise: Share by which the number wanders, up or down.
        seed: Of the noise.
    """

    def __init__(self, shape: Sequence[tuple[float, float]], peak: int, *, noise: float = 0.01, seed: int = 1) -> None:
        self._shape = shape
        self._peak = peak
        self._noise = noise
        self._random = random.Random(seed)
        self._wander = 0.0

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self._shape[-1][0] * HOUR

    def people(self, time: float) -> int:
        """How many at a time; to be asked in the order of time."""
        self._wander = 0.98 * self._wander + self._random.gauss(0, 0.2)
        return max(0, round(self._peak * self._share(time / HOUR) * (1 + self._noise * self._wander)))

    def _share(self, hour: float) -> float:
        for (begin, low), (end, high) in zip(self._shape, self._shape[1:], strict=False):
            if hour <= end:
                return low + (high - low) * (hour - begin) / (end - begin)
        return self._shape[-1][1]
