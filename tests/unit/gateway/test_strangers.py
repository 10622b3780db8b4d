"""Transports without a namespace, on a clock of the test's own."""

from __future__ import annotations

import asyncio

import pytest

from tradecast.gateway.strangers import GRACE, LAST_WORDS, Strangers
from unit.engine.clock import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: clock)
    return clock


class Case:
    """Ten seconds for each."""

    def __init__(self) -> None:
        self.late: list[str] = []
        self.strangers = Strangers(10, self.late.append)


def test_who_is_late_is_told_once(clock: Clock) -> None:
    case = Case()
    case.strangers.add("a")
    clock.advance(9.9)
    assert case.late == []
    clock.advance(0.2)
    assert case.late == ["a"]
    clock.advance(100)
    assert case.late == ["a"]
    assert (len(case.strangers), clock.waiting) == (0, 0)


def test_each_has_its_own_time_and_there_is_one_timer(clock: Clock) -> None:
    case = Case()
    for name in "abc":
        case.strangers.add(name)
        clock.advance(3)
    assert clock.waiting == 1
    clock.advance(1.1)
    assert case.late == ["a"]
    clock.advance(3)
    assert case.late == ["a", "b"]
    assert clock.waiting == 1
    clock.advance(3)
    assert case.late == ["a", "b", "c"]


def test_the_oldest_of_some_is_taken(clock: Clock) -> None:
    case = Case()
    for name in "abcd":
        case.strangers.add(name)
        clock.advance(1)
    case.strangers.ask("b")
    case.strangers.ask("c")
    assert case.strangers.take_oldest_of("bd") is None, "none has had its time"
    clock.advance(4)
    case.strangers.refuse("c")
    assert case.strangers.take_oldest_of("bcd") == "d"
    clock.advance(1)
    assert case.strangers.take_oldest_of("bcd") == "c", "refused ones first"
    assert case.strangers.take_oldest_of("bcd") is None, "b is decided about"
    assert case.strangers.take_oldest_of("") is None
    assert case.strangers.take_oldest() == "a"


def test_who_was_removed_is_not_late(clock: Clock) -> None:
    case = Case()
    case.strangers.add("a")
    case.strangers.add("b")
    case.strangers.remove("a")
    case.strangers.remove("nobody")
    assert len(case.strangers) == 1
    clock.advance(11)
    assert case.late == ["b"]


def test_adding_again_begins_anew(clock: Clock) -> None:
    case = Case()
    case.strangers.add("a")
    clock.advance(5)
    case.strangers.add("b")
    clock.advance(3)
    case.strangers.add("a")
    clock.advance(7.1)
    assert case.late == ["b"]
    clock.advance(3)
    assert case.late == ["b", "a"]


def test_added_after_all_were_removed_is_late_in_its_own_time(clock: Clock) -> None:
    case = Case()
    case.strangers.add("a")
    clock.advance(5)
    case.strangers.remove("a")
    case.strangers.add("b")
    clock.advance(9)
    assert case.late == []
    clock.advance(1.1)
    assert case.late == ["b"]


def test_who_is_told_may_add_and_remove(clock: Clock) -> None:
    late: list[str] = []

    def on_late(name: str) -> None:
        late.append(name)
        if name == "a":
            deadlines.remove("a")
            deadlines.add("again")

    deadlines = Strangers(10, on_late)
    deadlines.add("a")
    deadlines.add("b")
    clock.advance(10.1)
    assert late == ["a", "b"]
    clock.advance(10.1)
    assert late == ["a", "b", "again"]


def test_closed_tells_nobody(clock: Clock) -> None:
    case = Case()
    case.strangers.add("a")
    case.strangers.close()
    case.strangers.close()
    clock.advance(100)
    assert case.late == []


def test_who_came_first_goes_first_and_not_before_it_had_its_time(clock: Clock) -> None:
    case = Case()
    case.strangers.add("a")
    clock.advance(1)
    case.strangers.add("b")
    clock.advance(GRACE - 1.1)
    assert case.strangers.take_oldest() is None
    clock.advance(0.2)
    assert [case.strangers.take_oldest(), case.strangers.take_oldest()] == ["a", None]
    clock.advance(1)
    assert [case.strangers.take_oldest(), case.strangers.take_oldest()] == ["b", None]
    assert len(case.strangers) == 0
    clock.advance(100)
    assert case.late == []


def test_who_is_refused_goes_before_all_others(clock: Clock) -> None:
    case = Case()
    case.strangers.add("silent")
    case.strangers.add("refused")
    case.strangers.ask("refused")
    clock.advance(GRACE + 1)
    case.strangers.refuse("refused")
    assert case.strangers.take_oldest() == "silent", "the refusal is still on its way"
    clock.advance(LAST_WORDS + 0.1)
    assert [case.strangers.take_oldest(), case.strangers.take_oldest()] == ["refused", None]


def test_who_is_decided_about_stays_and_is_late_all_the_same(clock: Clock) -> None:
    case = Case()
    case.strangers.add("a")
    case.strangers.ask("a")
    clock.advance(GRACE + 1)
    assert case.strangers.take_oldest() is None
    clock.advance(10)
    assert case.late == ["a"]


def test_who_asks_again_after_a_refusal_keeps_its_time(clock: Clock) -> None:
    case = Case()
    case.strangers.add("a")
    case.strangers.ask("a")
    case.strangers.refuse("a")
    clock.advance(6)
    case.strangers.ask("a")
    assert case.strangers.take_oldest() is None
    case.strangers.refuse("a")
    clock.advance(4.1)
    assert case.late == ["a"]
    assert case.strangers.take_oldest() is None


def test_who_is_gone_or_has_joined_is_nobodys_place(clock: Clock) -> None:
    case = Case()
    for name in "abc":
        case.strangers.add(name)
    case.strangers.refuse("c")
    for name in "abc":
        case.strangers.remove(name)
    case.strangers.refuse("a")
    clock.advance(GRACE + 1)
    assert case.strangers.take_oldest() is None
