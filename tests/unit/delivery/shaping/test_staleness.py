"""Which symbols are stale, and when they are live again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradecast.delivery.shaping.staleness import Staleness


def open_market(*rooms: str, at: float = 0, max_age: float = 10) -> Staleness:
    staleness = Staleness()
    staleness.set_market(True, at)
    for room in rooms:
        staleness.watch(room, max_age, at)
    return staleness


def test_a_symbol_without_a_quote_is_stale_after_its_maximum_age_once() -> None:
    staleness = open_market("a", "b")
    staleness.receive("b", 5)
    assert not staleness.sweep(10)
    assert staleness.sweep(10.5) == (["a"], [])
    assert not staleness.sweep(11)
    assert staleness.sweep(16) == (["b"], [])
    assert staleness.stale == {"a": 0, "b": 5}


def test_a_quote_makes_it_live_again() -> None:
    staleness = open_market("a")
    staleness.sweep(11)
    staleness.receive("a", 12)
    assert staleness.sweep(12.5) == ([], ["a"])
    assert not staleness.stale
    assert staleness.sweep(23) == (["a"], [])


def test_one_that_lived_for_a_moment_only_is_both() -> None:
    staleness = open_market("a")
    staleness.sweep(11)
    staleness.receive("a", 12)
    assert staleness.sweep(30) == (["a"], ["a"])


@pytest.mark.parametrize("state", [False, None])
def test_nothing_is_stale_while_the_market_is_closed_or_its_state_unknown(state: bool | None) -> None:
    staleness = Staleness()
    staleness.watch("a", 10, 0)
    assert not staleness.sweep(100)
    staleness.set_market(state, 100)
    assert not staleness.sweep(200)


def test_the_time_until_the_market_opens_does_not_count() -> None:
    staleness = Staleness()
    staleness.watch("a", 10, 0)
    staleness.set_market(True, 1000)
    staleness.set_market(True, 1008)  # once more, which changes nothing
    assert not staleness.sweep(1010)
    assert staleness.sweep(1011) == (["a"], [])
    assert staleness.stale == {"a": 1000}


def test_what_is_stale_when_the_market_closes_stays_so_until_a_quote_comes() -> None:
    staleness = open_market("a")
    staleness.sweep(11)
    staleness.set_market(False, 12)
    assert not staleness.sweep(13)
    assert "a" in staleness.stale
    staleness.receive("a", 14)
    assert staleness.sweep(15) == ([], ["a"])


def test_only_watched_rooms_are_kept() -> None:
    staleness = open_market("a")
    for n in range(1000):
        staleness.receive(f"r{n}", 1)
    staleness.sweep(11)
    staleness.forget("a")
    staleness.forget("nobody")
    assert (list(staleness.rooms), staleness.stale, staleness._received) == ([], {}, {})


def test_a_second_subscriber_changes_nothing() -> None:
    staleness = open_market("a")
    staleness.watch("a", 10, 9)
    assert staleness.sweep(11) == (["a"], [])


def test_the_age_of_what_was_retained_counts() -> None:
    staleness = Staleness()
    staleness.set_market(True, -1000)
    for room in "abc":
        staleness.watch(room, 10, 0)
    staleness.receive_retained("a", -8)
    staleness.receive_retained("a", -9)  # the first is what the first subscriber got
    staleness.receive("b", 1)
    staleness.receive_retained("b", -100)  # older than what has come
    staleness.receive_retained("c", 5)  # by a clock that is ahead
    staleness.receive_retained("nobody", 5)
    assert staleness.sweep(3) == (["a"], [])
    assert staleness.stale == {"a": -8}
    assert staleness.sweep(10.5) == (["c"], [])


STEPS = st.lists(
    st.tuples(st.sampled_from(["quote", "sweep", "open", "closed", "wait"]), st.integers(0, 8)), max_size=60
)


@given(STEPS)
def test_it_is_stale_exactly_when_nothing_came_for_too_long(steps: list[tuple[str, int]]) -> None:
    """By a model that knows the whole past."""
    staleness = Staleness()
    staleness.watch("a", 10, 0)
    now = last = since = 0.0
    opened: float | None = None
    is_stale = False
    for step, wait in steps:
        now += wait + 0.5
        if step == "quote":
            staleness.receive("a", now)
            last = now
        elif step in ("open", "closed"):
            staleness.set_market(step == "open", now)
            opened = (opened if opened is not None else now) if step == "open" else None
        elif step == "sweep":
            was_stale = is_stale
            if was_stale and last > since:
                is_stale = False
            if not is_stale and opened is not None and now - max(last, opened) > 10:
                is_stale, since = True, max(last, opened)
            changes = staleness.sweep(now)
            assert ("a" in staleness.stale) == is_stale
            assert bool(changes.stale) == (is_stale and (not was_stale or bool(changes.live)))
