"""How fast a drain is, and when it ends."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.lifecycle import DrainedClients
from tradecast.lifecycle.draining.terms import DrainTerms


class Clock:
    """Seconds that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def make(rate: float = 100, delay: float = 5, timeout: float = 60) -> tuple[DrainTerms, Clock]:
    clock = Clock()
    return DrainTerms(rate=rate, delay=delay, timeout=timeout, clock=clock), clock


def test_the_rate_is_the_configured_one_where_there_is_time() -> None:
    terms, _ = make()
    assert terms.compute_need(4_500) == pytest.approx(4_500 / 48)
    assert terms.expect_rate(4_500) == 100
    assert (terms.rate_now, terms.urgent, terms.seconds_left) == (100, False, 65)


def test_the_rate_follows_from_the_time_left() -> None:
    terms, clock = make()
    assert terms.expect_rate(20_000) == pytest.approx(20_000 / 48), "known before the first leaves"
    clock.now = 105
    assert terms.expect_rate(20_000) == 100, "and not raised yet"
    need = terms.compute_need(20_000)
    assert need == pytest.approx(20_000 / 48)
    assert terms.hurry(need)
    assert terms.urgent
    assert terms.rate_now == need
    clock.now = 125
    assert terms.compute_need(10_000) == need, "it was met: it stays"
    assert not terms.hurry(need)
    clock.now = 145
    need = terms.compute_need(10_000)
    assert need == pytest.approx(10_000 / 16), "the drain was held up"
    assert not terms.hurry(need)
    clock.now = 170
    assert terms.compute_need(10_000) == need, "the time is over"


def test_the_larger_rate_and_the_sooner_end_hold() -> None:
    terms, clock = make(delay=5, timeout=600)
    assert terms.tighten(50, 60)
    assert (terms.rate, terms.ends) == (100, 165), "from the first client on"
    clock.now = 120
    assert not terms.tighten(50, 600)
    assert not terms.tighten(None, None)
    assert terms.tighten(200, None)
    assert terms.tighten(None, 10)
    assert (terms.rate, terms.ends) == (200, 130)


@pytest.mark.parametrize(
    ("seconds", "reserve", "begins", "ends"),
    [
        (60, 10, 105, 150),
        (20, 10, 102.5, 110),
        (12, 10, 101.5, 106),  # the process needs more than half of it: it gets half
        (0.1, 10, 100.0125, 100.05),
        (1_000, 10, 105, 165),
    ],
)
def test_a_process_that_is_killed_soon_keeps_time_for_its_end(
    seconds: float, reserve: float, begins: float, ends: float
) -> None:
    terms, _ = make(delay=5, timeout=60)
    assert terms.end_within(seconds, reserve) == (ends < 165)
    assert [terms.begins, terms.ends] == pytest.approx([begins, ends])


def test_the_same_end_once_more_changes_nothing() -> None:
    """An operator repeats its request, and each takes some milliseconds more or less."""
    terms, clock = make()
    assert terms.end_within(60, 10)
    for _ in range(20):
        clock.now += 1
        assert not terms.end_within(160 - clock.now - 0.01, 10)
    assert terms.ends == 150


@given(
    clients=st.integers(1, 1_000),
    rate=st.floats(0.01, 5_000),
    longest=st.floats(0.5, 3_000),
    delay=st.floats(0, 30),
    within=st.none() | st.floats(1, 600),
    reserve=st.floats(0, 60),
)
async def test_any_drain_ends_in_time_and_no_faster_than_its_rate(
    clients: int, rate: float, longest: float, delay: float, within: float | None, reserve: float
) -> None:
    clock = Clock()
    terms = DrainTerms(rate=rate, delay=delay, timeout=longest, clock=clock)
    if within is not None:
        terms.end_within(within, reserve)
    drained = DrainedClients(clients, terms, clock=clock, sleep=clock.sleep)
    wanted = max(rate, clients / (0.8 * (terms.ends - terms.begins)))
    clock.now = terms.begins
    await drained.drain()
    assert not drained.here
    assert drained.left[-1] <= terms.begins + (terms.ends - terms.begins) * 0.81
    # Never faster than was computed at the start: nothing has held it up.
    assert terms.rate_now <= wanted * 1.001
    assert terms.urgent == (wanted > rate * (1 + 1e-9)) or wanted == pytest.approx(rate)
    for offset in (0.0, 0.25, 0.5, 0.75):
        seconds = Counter(int(moment - terms.begins + offset) for moment in drained.left)
        # Each slot has one, at a random place: a second touches one slot more than fit into it.
        assert max(seconds.values()) <= math.ceil(wanted * 1.001) + 1


@given(clients=st.integers(50, 1_000), nearer=st.floats(1, 40), after=st.floats(0.1, 0.9))
async def test_a_drain_whose_end_comes_nearer_is_faster_and_still_in_time(
    clients: int, nearer: float, after: float
) -> None:
    clock = Clock()
    terms = DrainTerms(rate=clients / 400, delay=0, timeout=600, clock=clock)
    was_woken = False

    class Woken(Exception):
        """As `Drain` interrupts what waits."""

    async def sleep(seconds: float) -> None:
        nonlocal was_woken
        clock.now += seconds
        if not was_woken and len(drained.left) >= clients * after and terms.end_within(nearer, 0):
            clock.now -= seconds / 2
            was_woken = True
            raise Woken

    drained = DrainedClients(clients, terms, clock=clock, sleep=sleep)
    with pytest.raises(Woken):
        await drained.drain()
    rate = (clients - len(drained.left)) / (0.8 * terms.seconds_left)
    await drained.drain()
    assert not drained.here
    assert terms.rate_now == pytest.approx(rate, rel=0.05)
    assert rate > clients / 400
    assert drained.left[-1] <= terms.ends
