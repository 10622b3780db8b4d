"""Deadlines of transports, on a clock of the test's own."""

from __future__ import annotations

import asyncio

import pytest

from tradecast.gateway.deadlines import Deadlines
from unit.engine.clock import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: clock)
    return clock


class Case:
    """Deadlines of ten seconds."""

    def __init__(self) -> None:
        self.late: list[str] = []
        self.deadlines = Deadlines(10, self.late.append)


def test_who_is_late_is_told_once(clock: Clock) -> None:
    case = Case()
    case.deadlines.add("a")
    clock.advance(9.9)
    assert case.late == []
    clock.advance(0.2)
    assert case.late == ["a"]
    clock.advance(100)
    assert case.late == ["a"]
    assert (len(case.deadlines), clock.waiting) == (0, 0)


def test_each_has_its_own_time_and_there_is_one_timer(clock: Clock) -> None:
    case = Case()
    for name in "abc":
        case.deadlines.add(name)
        clock.advance(3)
    assert clock.waiting == 1
    clock.advance(1.1)
    assert case.late == ["a"]
    clock.advance(3)
    assert case.late == ["a", "b"]
    assert clock.waiting == 1
    clock.advance(3)
    assert case.late == ["a", "b", "c"]


def test_who_was_removed_is_not_late(clock: Clock) -> None:
    case = Case()
    case.deadlines.add("a")
    case.deadlines.add("b")
    case.deadlines.remove("a")
    case.deadlines.remove("nobody")
    assert len(case.deadlines) == 1
    clock.advance(11)
    assert case.late == ["b"]


def test_adding_again_begins_anew(clock: Clock) -> None:
    case = Case()
    case.deadlines.add("a")
    clock.advance(5)
    case.deadlines.add("b")
    clock.advance(3)
    case.deadlines.add("a")
    clock.advance(7.1)
    assert case.late == ["b"]
    clock.advance(3)
    assert case.late == ["b", "a"]


def test_added_after_all_were_removed_is_late_in_its_own_time(clock: Clock) -> None:
    case = Case()
    case.deadlines.add("a")
    clock.advance(5)
    case.deadlines.remove("a")
    case.deadlines.add("b")
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

    deadlines = Deadlines(10, on_late)
    deadlines.add("a")
    deadlines.add("b")
    clock.advance(10.1)
    assert late == ["a", "b"]
    clock.advance(10.1)
    assert late == ["a", "b", "again"]


def test_closed_tells_nobody(clock: Clock) -> None:
    case = Case()
    case.deadlines.add("a")
    case.deadlines.close()
    case.deadlines.close()
    clock.advance(100)
    assert case.late == []
