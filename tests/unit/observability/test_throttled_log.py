"""Lines that clients can cause."""

from __future__ import annotations

from typing import Any

import pytest

from tradecast.observability import throttled_log
from tradecast.observability.throttled_log import BURST, EVERY, ThrottledLog


class Case:
    """A helper whose lines are kept, on a clock of the test's own."""

    def __init__(self, burst: int = BURST) -> None:
        self.now = 1_000.0
        self.lines: list[tuple[str, dict[str, Any]]] = []
        self.left_out = 0
        self.log = ThrottledLog(self, lambda: self.now, burst)

    def log_line_left_out(self) -> None:
        """As of `LeftOutObserver`."""
        self.left_out += 1

    @property
    def last(self) -> dict[str, Any]:
        """The fields of the last line."""
        return self.lines[-1][1]

    def write(self, sentence: str, count: int = 1, **options: Any) -> int:
        """Write so often; how many lines came of it."""
        before = len(self.lines)
        for _ in range(count):
            self.log.write(lambda told, **fields: self.lines.append((told, fields)), sentence, **options)
        return len(self.lines) - before


def test_a_few_are_written_then_one_a_minute_which_counts_the_others() -> None:
    case = Case()
    assert case.write("malformed packet", 1_000, error="x") == BURST
    assert case.last == {"error": "x"}
    assert case.left_out == 1_000 - BURST
    case.now += EVERY - 1
    assert case.write("malformed packet", 10) == 0
    case.now += 1
    assert case.write("malformed packet", 1_000) == 1
    assert case.last == {"left_out": 1_000 - BURST + 10}
    case.now += EVERY
    assert case.write("malformed packet") == 1
    assert case.last == {"left_out": 999}


def test_it_is_at_most_one_a_minute_however_the_flood_continues() -> None:
    case = Case()
    written = 0
    for _ in range(6_000):
        written += case.write("malformed packet")
        case.now += 0.1
    assert BURST + 9 <= written <= BURST + 10, "seconds are floats"
    assert case.left_out == 6_000 - written


def test_after_a_quiet_time_a_few_are_written_again() -> None:
    case = Case()
    case.write("malformed packet", 100)
    case.now += BURST * EVERY
    assert case.write("malformed packet", 100) == BURST


def test_kinds_are_counted_each_for_itself() -> None:
    case = Case()
    assert case.write("connection refused", 100, kind="AUTH_REQUIRED", code="AUTH_REQUIRED") == BURST
    assert case.write("connection refused", 100, kind="SESSION_EXPIRED") == BURST
    assert case.write("malformed packet", 100) == BURST


def test_reminders_are_one_a_minute_from_the_first_on() -> None:
    case = Case(burst=1)
    assert case.write("polling is off", 100) == 1
    case.now += 10 * EVERY
    assert case.write("polling is off", 100) == 1, "a quiet time saves nothing up"
    case.now += EVERY - 1
    assert case.write("polling is off", 100) == 0


def test_there_are_not_more_and_more_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttled_log, "MOST_KINDS", 3)
    case = Case()
    assert sum(case.write("refused", 2, kind=str(n)) for n in range(1_000)) == 2 * 3 + BURST
    assert len(case.log._kinds) == 4
