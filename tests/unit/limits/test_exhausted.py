"""Who is known to be over a limit."""

from __future__ import annotations

import pytest

from kit.clock import HandClock
from tradecast.limits.exhausted import LONGEST, ExhaustedLimits

CHECKS = (("global", 10), ("own", 2))


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def test_it_is_known_until_the_window_has_moved(clock: HandClock) -> None:
    known = ExhaustedLimits(clock)
    assert known.find("u", CHECKS) is None
    known.remember("u", "own", 2)
    assert known.find("u", CHECKS) == "own"
    clock.now += 1.75
    assert known.find("u", CHECKS) == "own"
    clock.now += 0.25
    assert known.find("u", CHECKS) is None
    assert len(known) == 0


def test_it_is_known_of_this_user_and_this_limit_only(clock: HandClock) -> None:
    known = ExhaustedLimits(clock)
    known.remember("u", "own", 2)
    assert known.find("other", CHECKS) is None
    assert known.find("u", (("global", 10), ("another", 2))) is None
    known.remember("u", "global", 1)
    assert known.find("u", CHECKS) == "global"
    clock.now += 1
    assert known.find("u", CHECKS) == "own"


def test_nothing_is_known_for_long(clock: HandClock) -> None:
    """Else a Redis that was emptied would not be noticed for a window."""
    known = ExhaustedLimits(clock)
    known.remember("u", "own", 3600)
    clock.now += LONGEST
    assert known.find("u", CHECKS) is None


def test_the_oldest_goes_first_when_there_are_too_many(clock: HandClock) -> None:
    known = ExhaustedLimits(clock, most=3)
    for user in ("a", "b", "c", "a", "d"):
        known.remember(user, "own", 2)
    assert len(known) == 3
    assert [user for user in "abcd" if known.find(user, CHECKS)] == ["a", "c", "d"]


def test_what_has_expired_is_cleaned_up_and_all_of_it_can_be_forgotten(clock: HandClock) -> None:
    known = ExhaustedLimits(clock)
    known.remember("a", "own", 1)
    known.remember("b", "own", 5)
    clock.now += 2
    known.cleanup()
    assert len(known) == 1
    known.forget_all()
    assert known.find("b", CHECKS) is None
