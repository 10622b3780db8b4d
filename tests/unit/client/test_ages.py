"""Stale quotes by a client's own clock."""

from __future__ import annotations

from typing import Any

import pytest

from tradecast.client.ages import QuoteAges


def make(max_age: float | None = 10) -> QuoteAges:
    return QuoteAges(lambda symbol: None if symbol == "NEVER" else max_age)


def test_a_symbol_is_stale_after_its_age_and_not_when_a_quote_comes() -> None:
    ages = make()
    ages.take_status({"state": "open"}, 0)
    for symbol in ("A", "B", "NEVER"):
        assert not ages.receive(symbol, 1)
    assert ages.find_stale(11) == []
    assert not ages.receive("B", 11)
    assert ages.find_stale(12) == ["A"]
    assert ages.stale == {"A": 1}
    assert ages.find_stale(13) == []
    assert ages.receive("A", 14)
    assert ages.stale == {}
    assert ages.find_stale(22) == ["B"]


@pytest.mark.parametrize("status", [None, "closed", {"state": "closed"}, {"state": None}, {}, 1, ["open"]])
def test_nothing_is_stale_while_the_market_is_not_known_to_be_open(status: Any) -> None:
    ages = make()
    ages.receive("A", 0)
    assert ages.find_stale(1000) == []
    ages.take_status("open", 1000)
    ages.take_status(status, 1001)
    assert ages.find_stale(2000) == []


def test_the_time_that_the_market_was_closed_does_not_count() -> None:
    ages = make()
    ages.receive("A", 0)
    ages.take_status("Open", 1000)
    ages.take_status("open", 1005)
    assert ages.find_stale(1010) == []
    assert ages.find_stale(1011) == ["A"]


def test_the_server_may_say_it() -> None:
    ages = make(None)
    ages.receive("A", 3)
    assert ages.mark(["A", "B"], 8) == ["A", "B"]
    assert ages.stale == {"A": 3, "B": 8}
    assert ages.mark(["A"], 9) == []
    assert ages.clear("A")
    assert not ages.clear("A")
    assert ages.receive("B", 10)


def test_what_is_forgotten_is_not_stale() -> None:
    ages = make()
    ages.take_status("open", 0)
    ages.receive("A", 0)
    ages.forget("A")
    ages.forget("B")
    assert ages.find_stale(1000) == []
