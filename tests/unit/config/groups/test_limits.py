"""Settings of the group `limits`: what is refused."""

from __future__ import annotations

import itertools
import re

import pytest

from kit.settings import assert_named
from tradecast.config.groups.limits import find_slow_text


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MAX_CONNECTIONS_PER_USER", "0"),
        ("MAX_SUBSCRIPTIONS_PER_USER", "none"),
        ("MAX_SYMBOLS_PER_REQUEST", "0"),
        ("RATE_LIMIT_WINDOW_MS", "999"),
        ("RATE_LIMIT_GLOBAL", "0"),
        ("RATE_LIMIT_SUBSCRIBE", "0"),
        ("RATE_LIMIT_UNSUBSCRIBE", "0"),
        ("RATE_LIMIT_BROADCAST", "0"),
        ("RATE_LIMIT_REFRESH", "0"),
        ("SYMBOL_PATTERN", "["),
        ("SYMBOL_PATTERN", "a{99999999999999999999}"),
    ],
)
def test_invalid_values_are_named(variable: str, value: str) -> None:
    assert_named(variable, value)


@pytest.mark.parametrize(
    "pattern",
    [
        *("(a+)+", "(?:A|A)*B", "([A-Z]{1,5})*", "(.+)+X", r"(\w+\.?)+@", "(?:AB|A|B)+!", "([^x]*)*x", "(-?-)+B"),
        *(r"(?:\d\d?|\w)+-", "(?:.*){9}Z"),
    ],
)
def test_a_pattern_with_which_a_client_could_stop_the_server_is_refused(pattern: str) -> None:
    assert_named("SYMBOL_PATTERN", pattern)


@pytest.mark.parametrize(
    "pattern", ["", ".*", "[A-Z.]{1,10}", "[A-Z]{1,5}(?:[-_/][A-Z]{1,5})*", r"(?i)[a-z]+(?:\.[a-z]+)?", r"(\w+)\1"]
)
def test_any_other_is_taken(pattern: str) -> None:
    assert find_slow_text(re.compile(pattern)) is None


def test_one_pause_of_the_garbage_collector_makes_no_pattern_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = itertools.count()

    def read_with_one_pause() -> float:
        return 1.0 if next(readings) >= 101 else 0.0  # the clock jumps during one match

    monkeypatch.setattr("tradecast.config.groups.limits.time.thread_time", read_with_one_pause)
    assert find_slow_text(re.compile("[A-Z]{1,5}")) is None
    assert next(readings) > 101
