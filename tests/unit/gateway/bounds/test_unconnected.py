"""Transports without a namespace, on a clock of the test's own."""

from __future__ import annotations

import asyncio

import pytest

from tradecast.gateway.bounds.unconnected import GRACE, REFUSAL_TIME, UnconnectedTransports
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
        self.unconnected = UnconnectedTransports(10, self)

    def close_transport(self, eio_sid: str) -> None:
        self.late.append(eio_sid)


def test_who_is_late_is_reported_once(clock: Clock) -> None:
    case = Case()
    case.unconnected.add("a")
    clock.advance(9.9)
    assert case.late == []
    clock.advance(0.2)
    assert case.late == ["a"]
    clock.advance(100)
    assert case.late == ["a"]
    assert (len(case.unconnected), clock.waiting) == (0, 0)


def test_each_has_its_own_time_and_there_is_one_timer(clock: Clock) -> None:
    case = Case()
    for name in "abc":
        case.unconnected.add(name)
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
        case.unconnected.add(name)
        clock.advance(1)
    case.unconnected.connect_received("b")
    case.unconnected.connect_received("c")
    assert case.unconnected.take_oldest_of("bd") is None, "none has had its time"
    clock.advance(4)
    case.unconnected.refuse("c")
    assert case.unconnected.take_oldest_of("bcd") == "d"
    clock.advance(1)
    assert case.unconnected.take_oldest_of("bcd") == "c", "refused ones first"
    assert case.unconnected.take_oldest_of("bcd") is None, "b is decided about"
    assert case.unconnected.take_oldest_of("") is None
    assert case.unconnected.take_oldest() == "a"


def test_who_was_removed_is_not_late(clock: Clock) -> None:
    case = Case()
    case.unconnected.add("a")
    case.unconnected.add("b")
    case.unconnected.remove("a")
    case.unconnected.remove("nobody")
    assert len(case.unconnected) == 1
    clock.advance(11)
    assert case.late == ["b"]


def test_adding_again_starts_again(clock: Clock) -> None:
    case = Case()
    case.unconnected.add("a")
    clock.advance(5)
    case.unconnected.add("b")
    clock.advance(3)
    case.unconnected.add("a")
    clock.advance(7.1)
    assert case.late == ["b"]
    clock.advance(3)
    assert case.late == ["b", "a"]


def test_added_after_all_were_removed_is_late_in_its_own_time(clock: Clock) -> None:
    case = Case()
    case.unconnected.add("a")
    clock.advance(5)
    case.unconnected.remove("a")
    case.unconnected.add("b")
    clock.advance(9)
    assert case.late == []
    clock.advance(1.1)
    assert case.late == ["b"]


def test_listeners_may_add_and_remove(clock: Clock) -> None:
    late: list[str] = []

    class Closer:
        def close_transport(self, eio_sid: str) -> None:
            late.append(eio_sid)
            if eio_sid == "a":
                deadlines.remove("a")
                deadlines.add("again")

    deadlines = UnconnectedTransports(10, Closer())
    deadlines.add("a")
    deadlines.add("b")
    clock.advance(10.1)
    assert late == ["a", "b"]
    clock.advance(10.1)
    assert late == ["a", "b", "again"]


def test_closed_notifies_nobody(clock: Clock) -> None:
    case = Case()
    case.unconnected.add("a")
    case.unconnected.close()
    case.unconnected.close()
    clock.advance(100)
    assert case.late == []


def test_who_came_first_goes_first_and_not_before_it_had_its_time(clock: Clock) -> None:
    case = Case()
    case.unconnected.add("a")
    clock.advance(1)
    case.unconnected.add("b")
    clock.advance(GRACE - 1.1)
    assert case.unconnected.take_oldest() is None
    clock.advance(0.2)
    assert [case.unconnected.take_oldest(), case.unconnected.take_oldest()] == ["a", None]
    clock.advance(1)
    assert [case.unconnected.take_oldest(), case.unconnected.take_oldest()] == ["b", None]
    assert len(case.unconnected) == 0
    clock.advance(100)
    assert case.late == []


def test_who_is_refused_goes_before_all_others(clock: Clock) -> None:
    case = Case()
    case.unconnected.add("silent")
    case.unconnected.add("refused")
    case.unconnected.connect_received("refused")
    clock.advance(GRACE + 1)
    case.unconnected.refuse("refused")
    assert case.unconnected.take_oldest() == "silent", "the refusal is still on its way"
    clock.advance(REFUSAL_TIME + 0.1)
    assert [case.unconnected.take_oldest(), case.unconnected.take_oldest()] == ["refused", None]


def test_who_is_decided_about_stays_and_is_late_all_the_same(clock: Clock) -> None:
    case = Case()
    case.unconnected.add("a")
    case.unconnected.connect_received("a")
    clock.advance(GRACE + 1)
    assert case.unconnected.take_oldest() is None
    clock.advance(10)
    assert case.late == ["a"]


def test_who_asks_again_after_a_refusal_keeps_its_time(clock: Clock) -> None:
    case = Case()
    case.unconnected.add("a")
    case.unconnected.connect_received("a")
    case.unconnected.refuse("a")
    clock.advance(6)
    case.unconnected.connect_received("a")
    assert case.unconnected.take_oldest() is None
    case.unconnected.refuse("a")
    clock.advance(4.1)
    assert case.late == ["a"]
    assert case.unconnected.take_oldest() is None


def test_who_is_gone_or_has_joined_is_nobodys_place(clock: Clock) -> None:
    case = Case()
    for name in "abc":
        case.unconnected.add(name)
    case.unconnected.refuse("c")
    for name in "abc":
        case.unconnected.remove(name)
    case.unconnected.refuse("a")
    clock.advance(GRACE + 1)
    assert case.unconnected.take_oldest() is None
