from __future__ import annotations

import random

import pytest

from tradecast.observability.metrics.rolling import LATENCIES, LastMinute, Rate, RecentLatencies, nearest_ranks


class Clock:
    def __init__(self) -> None:
        self.now = 5_000.5

    def __call__(self) -> float:
        return self.now


def test_nearest_ranks() -> None:
    assert nearest_ranks([], [50, 99]) == [0, 0]
    assert nearest_ranks([7.0], [0, 50, 99, 100]) == [7] * 4
    assert nearest_ranks([1.0, 2.0, 3.0, 4.0], [25, 50, 75, 76, 100]) == [1, 2, 3, 4, 4]


def test_latencies_are_the_last_thousand() -> None:
    latencies = RecentLatencies(Clock())
    for n in range(5 * LATENCIES):
        latencies.add(n)
    assert latencies.percentiles(0, 100) == [4 * LATENCIES, 5 * LATENCIES - 1]


def test_latencies_are_forgotten_after_five_minutes() -> None:
    clock = Clock()
    latencies = RecentLatencies(clock)
    latencies.add(9)
    clock.now += 200
    latencies.add(1)
    assert latencies.percentiles(100) == [9]
    clock.now += 101
    assert latencies.percentiles(100) == [1]
    clock.now += 200
    assert latencies.percentiles(100) == [0]


@pytest.mark.parametrize("seed", range(20))
def test_last_minute_against_a_log(seed: int) -> None:
    rng = random.Random(seed)
    clock = Clock()
    minute = LastMinute(clock)
    seen: list[float] = []
    for _ in range(500):
        clock.now += rng.choice([0, 0.01, 0.5, 1, 7, 59, 61, 200])
        minute.add()
        seen.append(clock.now)
        assert minute.total() == sum(int(at) > int(clock.now) - 60 for at in seen)


def test_a_totals_rate_is_that_of_the_last_minute() -> None:
    clock = Clock()
    rate = Rate(clock)
    assert rate.per_second(5) == 5
    clock.now += 10
    assert rate.per_second(50) == 5
    total = 50
    for second in range(200):
        clock.now += 1
        total += second
        rate.sample(total)
    assert rate.per_second(total) == pytest.approx(sum(range(140, 200)) / 60)
    assert len(rate._samples) < 70


def test_rate_of_a_young_server() -> None:
    clock = Clock()
    minute = LastMinute(clock)
    minute.add(100)
    assert minute.per_second() == 100
    clock.now += 10
    assert minute.per_second() == 10
    clock.now += 45
    assert minute.per_second() == pytest.approx(100 / 55)
    clock.now += 60
    assert minute.per_second() == 0
