"""Whether Redis is what limits the fleet."""

from __future__ import annotations

import pytest

from tradecast_operator.tuning.redis_limits import RedisFacts, RedisWatch, describe_limits, observe_redis

MB = 1_000_000


def after(*looks: RedisFacts | None, every: float = 30) -> RedisWatch:
    watched = RedisWatch()
    for place, facts in enumerate(looks):
        watched = observe_redis(watched, facts, 1000 + place * every)
    return watched


def test_nothing_is_known_of_a_redis_that_was_not_asked() -> None:
    assert after(None).facts is None
    assert not after(None).is_limit


@pytest.mark.parametrize(
    ("shares", "limited"),
    [((50,), False), ((84,), False), ((85,), True), ((90, 80), True), ((90, 74), False), ((90, 74, 80), False)],
)
def test_memory_has_two_thresholds(shares: tuple[int, ...], limited: bool) -> None:
    watched = after(*(RedisFacts(used_memory=share * MB, max_memory=100 * MB) for share in shares))
    assert (watched.limits == ("Memory",)) == limited


def test_memory_without_a_limit_is_not_full() -> None:
    assert not after(RedisFacts(used_memory=10**12)).is_limit


def test_an_eviction_is_reported_for_ten_minutes() -> None:
    first, second = RedisFacts(evicted_keys=5), RedisFacts(evicted_keys=6)
    assert not after(first, first).is_limit, "it happened before the operator looked"
    assert after(first, second, second).limits == ("Evictions",)
    assert after(first, second, *[second] * 18).limits == ("Evictions",)
    assert not after(first, second, *[second] * 20).is_limit
    assert not after(second, first).is_limit, "Redis has begun anew"


def test_a_thread_that_works_all_the_time_is_a_limit() -> None:
    looks = [RedisFacts(cpu_seconds=(used, 0.0)) for used in (10.0, 37.0)]
    watched = after(*looks)
    assert watched.busy == pytest.approx(0.9)
    assert watched.limits == ("Busy",)
    assert "90 % of the time" in describe_limits(watched, looks[-1])
    assert not after(*[RedisFacts(cpu_seconds=(used,)) for used in (10.0, 20.0)]).is_limit


def test_shares_are_measured_over_twenty_seconds_at_least() -> None:
    looks = [RedisFacts(cpu_seconds=(used,)) for used in (0.0, 4.9, 5.0, 5.1, 5.2)]
    assert after(*looks[:4], every=5).busy is None
    assert after(*looks, every=5).busy == pytest.approx(0.26)


def test_a_node_that_comes_does_not_count_as_work() -> None:
    assert after(RedisFacts(cpu_seconds=(1.0,)), RedisFacts(cpu_seconds=(1.0, 500.0))).busy is None
