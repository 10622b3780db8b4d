"""When clients may leave: one server's pace."""

from __future__ import annotations

import itertools

import pytest

from tradecast.lifecycle.draining.pacing import BATCH_SECONDS, LocalPace, compute_batch_size, schedule_moments


class Clock:
    """Seconds that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


async def leave(pace: LocalPace, clock: Clock, count: int, rate: float) -> list[float]:
    """The moments of `count` departures, each waited for."""
    times: list[float] = []
    while len(times) < count:
        for moment in await pace.reserve(count - len(times), rate):
            clock.now = max(clock.now, moment)
            times.append(moment)
    return times


@pytest.mark.parametrize("rate", [0.5, 7, 100, 5_000])
async def test_never_more_than_the_rate(rate: float) -> None:
    clock = Clock()
    times = await leave(LocalPace(clock), clock, 2_000, rate)
    assert times == sorted(times)
    for first, moment in enumerate(times):
        within = sum(1 for later in times[first : first + 500] if later < moment + 100 / rate)
        assert within <= 101
    assert times[-1] - 100 == pytest.approx(2_000 / rate, rel=0.01)


async def test_time_that_has_passed_is_not_made_up_for() -> None:
    clock = Clock()
    pace = LocalPace(clock)
    await leave(pace, clock, 10, 10)
    clock.now += 50
    started = clock.now
    times = await leave(pace, clock, 20, 10)
    assert times[0] >= started
    assert times[-1] >= started + 1.9


async def test_a_higher_rate_waits_for_no_slot_of_a_lower_one() -> None:
    clock = Clock()
    pace = LocalPace(clock, jitter=lambda: 0.0)
    assert await pace.reserve(5, 0.01) == [100]
    assert await pace.reserve(1, 10) == [pytest.approx(100.1)]


def test_moments_are_jittered() -> None:
    gaps = [later - sooner for sooner, later in itertools.pairwise(schedule_moments(0, 50, 10))]
    assert len({round(gap, 6) for gap in gaps}) > 40
    assert schedule_moments(7, 2, 10, lambda: 0.5) == pytest.approx([7.05, 7.15])


@pytest.mark.parametrize(
    ("count", "rate", "size"), [(1_000, 100, 25), (3, 100, 3), (1_000, 10_000, 1_000), (50, 1, 1), (50, 0.01, 1)]
)
def test_batches_last_a_quarter_of_a_second(count: int, rate: float, size: int) -> None:
    assert compute_batch_size(count, rate) == size
    assert size == 1 or size / rate <= BATCH_SECONDS
