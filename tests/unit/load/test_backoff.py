from __future__ import annotations

import random

import pytest

from tradecast.load.backoff import Backoff


def test_delays_double_up_to_the_maximum() -> None:
    backoff = Backoff(randomization=0)
    waits = [backoff.wait(attempt, random.Random(1)) for attempt in (0, 1, 2, 3, 10, 5_000)]
    assert waits == [1, 2, 4, 5, 5, 5]


@pytest.mark.parametrize("attempt", [0, 1])
def test_delays_spread_by_the_randomization(attempt: int) -> None:
    draw = random.Random(1)
    waits = [Backoff().wait(attempt, draw) for _ in range(2_000)]
    middle = 2.0**attempt
    assert middle * 0.5 <= min(waits) < middle * 0.55
    assert middle * 1.45 < max(waits) <= middle * 1.5


def test_no_delay_exceeds_the_maximum() -> None:
    draw = random.Random(1)
    assert max(Backoff().wait(9, draw) for _ in range(100)) == 5
