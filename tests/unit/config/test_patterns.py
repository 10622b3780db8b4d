"""Values by patterns of names."""

from __future__ import annotations

import re
from fnmatch import translate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.settings import complaints
from tradecast.config.patterns import LONGEST_PATTERN, MOST_PATTERNS, Bounds, PatternValues, parse_pattern_values
from tradecast.config.settings import load_settings

BOUNDS = Bounds(0.1, 1000)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AAPL", 10),
        ("BTC", 2),
        ("BTC_USDT", 2),
        ("BTC_EUR", 3),
        ("XBTC", 10),
        ("ETH_EUR", 4),
        ("market:status", 1),
        ("market:statuses", 10),
        ("", 10),
    ],
)
def test_the_most_specific_pattern_counts_whatever_the_order(name: str, value: float) -> None:
    entries = ["*=10", "BTC*=2", "*_EUR=4", "BTC_EUR=3", "market:status=1"]
    assert parse_pattern_values(entries, BOUNDS).find(name) == value
    assert parse_pattern_values(entries[::-1], BOUNDS).find(name) == value


def test_of_equally_specific_ones_the_first_counts() -> None:
    assert parse_pattern_values(["A*=1", "*B=2"], BOUNDS).find("AB") == 1
    assert parse_pattern_values(["*B=2", "A*=1"], BOUNDS).find("AB") == 2


def test_without_a_match_there_is_no_value() -> None:
    assert parse_pattern_values(["BTC*=2"], BOUNDS).find("AAPL") is None
    assert not PatternValues({})
    assert PatternValues({}).find("AAPL") is None


def test_a_symbol_may_have_an_equals_sign_and_case_counts() -> None:
    values = parse_pattern_values(["EURUSD=X=0.5"], BOUNDS)
    assert (values.find("EURUSD=X"), values.find("eurusd=x")) == (0.5, None)


@given(st.text("ab*", min_size=1, max_size=8), st.text("ab", max_size=10))
def test_patterns_match_as_in_a_shell(pattern: str, name: str) -> None:
    assert (PatternValues({pattern: 1}).find(name) is not None) == bool(re.fullmatch(translate(pattern), name))


def test_a_long_pattern_is_matched_quickly() -> None:
    """A regular expression would need a time that grows with the number of asterisks in its exponent."""
    assert PatternValues({"a*" * 32 + "b": 1}).find("a" * 10_000) is None


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("10", "entry 1 must be a pattern, `=` and a number"),
        ("*=10,=5", "entry 2 must be a pattern"),
        ("*=0", "the number of entry 1 must be from 0.1 to 1000"),
        ("*=1001", "from 0.1 to 1000"),
        ("*=nan", "from 0.1 to 1000"),
        ("*=1e2", "from 0.1 to 1000"),
        ("*=-1", "from 0.1 to 1000"),
        ("*=", "from 0.1 to 1000"),
        ("*=1,*=2", "entry 2 has the same pattern as an earlier one"),
        (f"{'A' * (LONGEST_PATTERN + 1)}=1", "1 to 64 printable"),
        ("Ä=1", "printable ASCII"),
        (",".join(f"A{n}=1" for n in range(MOST_PATTERNS + 1)), "more than 200 entries"),
        ("[1]", "JSON list of strings"),
    ],
)
def test_invalid_entries_are_named_at_the_start(value: str, why: str) -> None:
    (line,) = complaints(THROTTLE=value)
    assert line.startswith("THROTTLE: ")
    assert why in line


def test_settings() -> None:
    settings = load_settings({"THROTTLE": '["*=10", "A,B=2"]', "STALE_AFTER": "*=60, BTC*=5"})
    assert (settings.rates.find("A,B"), settings.rates.find("AAPL")) == (2, 10)
    assert (settings.max_ages.find("BTC_USDT"), settings.max_ages.find("AAPL")) == (5, 60)
    (line,) = complaints(STALE_AFTER="*=0.5")
    assert "from 1 to 86400" in line


def test_both_are_off_by_default() -> None:
    settings = load_settings({})
    assert not settings.rates
    assert not settings.max_ages
