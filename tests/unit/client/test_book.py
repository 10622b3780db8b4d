"""A client's newest quotes, made of whole ones and of deltas."""

from __future__ import annotations

from typing import Any

import pytest

from tradecast.client.book import QuoteBook


def quote(price: int, timestamp: str = "2026-01-01T00:00:00.000Z", **more: Any) -> dict[str, Any]:
    return {"symbol": "A", "quote": {"price": price, "size": 5}, "timestamp": timestamp, **more}


def delta(price: int, number: int) -> dict[str, Any]:
    return {"symbol": "A", "quote": {"price": price}, "number": number}


def test_deltas_change_what_there_is() -> None:
    book = QuoteBook()
    assert book.get("A") is None
    assert book.take_whole(quote(1, number=7)) == quote(1)
    assert book.take_delta(delta(2, 8)) == quote(2)
    assert book.take_delta({"symbol": "A", "number": 9, "quote": {"size": None}, "x": {"y": 1}}) == {
        **quote(2),
        "quote": {"price": 2},
        "x": {"y": 1},
    }
    assert book.get("A") == {**quote(2), "quote": {"price": 2}, "x": {"y": 1}}


def test_what_was_handed_out_is_not_changed_by_the_next_delta() -> None:
    book = QuoteBook()
    first = book.take_whole(quote(1, number=7))
    book.take_delta(delta(2, 8))
    assert first == quote(1)


@pytest.mark.parametrize("number", [6, 7, 9, -1, None, "8", 8.5])
def test_a_delta_for_another_state_is_not_applied_and_none_after_it(number: Any) -> None:
    book = QuoteBook()
    book.take_whole(quote(1, number=7))
    assert book.take_delta({**delta(2, 8), "number": number}) == "A"
    assert book.take_delta(delta(2, 8)) == "A"
    assert book.get("A") == quote(1)
    book.take_whole(quote(3, number=20))
    assert book.take_delta(delta(4, 21)) == quote(4)


def test_a_delta_without_a_base_is_not_applied() -> None:
    book = QuoteBook()
    assert book.take_delta(delta(2, 8)) == "A"
    assert book.get("A") is None


def test_a_whole_one_without_a_number_is_newer_and_no_base() -> None:
    book = QuoteBook()
    book.take_whole(quote(1, number=7))
    assert book.take_whole(quote(5)) == quote(5)
    assert book.take_delta(delta(2, 8)) == quote(2)


def test_a_field_called_number_that_is_no_number_is_the_publisher_s() -> None:
    assert QuoteBook().take_whole(quote(1, number="seven")) == quote(1, number="seven")


def test_the_first_one_on_a_connection_is_not_handed_out_if_it_is_older() -> None:
    book = QuoteBook()
    book.take_whole(quote(2, "2026-01-01T00:00:02.000Z", number=7))
    book.begin_connection()
    assert book.take_delta(delta(3, 8)) == "A"
    assert book.take_whole(quote(1, "2026-01-01T00:00:01.000Z", number=100)) is None
    assert book.get("A") == quote(2, "2026-01-01T00:00:02.000Z")
    assert book.take_delta(delta(3, 101)) == quote(3, "2026-01-01T00:00:01.000Z")


@pytest.mark.parametrize("before", ["2026-01-01T01:00:00.000Z", "no time", "", "99999-01-01T00:00:00Z"])
def test_clocks_that_are_far_apart_do_not_say_which_quote_is_older(before: str) -> None:
    book = QuoteBook()
    book.take_whole(quote(2, before))
    book.begin_connection()
    assert book.take_whole(quote(3, "2026-01-01T00:00:00.000Z")) is not None


def test_one_as_old_and_those_after_it_are_handed_out_in_the_order_in_which_they_come() -> None:
    book = QuoteBook()
    book.take_whole(quote(2, "2026-01-01T00:00:02.000Z"))
    book.begin_connection()
    assert book.take_whole(quote(3, "2026-01-01T00:00:02.000Z")) is not None
    assert book.take_whole(quote(4, "2026-01-01T00:00:01.000Z")) is not None  # of a publisher whose clock is behind


def test_what_is_forgotten_is_not_known() -> None:
    book = QuoteBook()
    book.take_whole(quote(1, number=7))
    book.forget("A")
    book.forget("B")
    assert book.get("A") is None
    assert book.take_delta(delta(2, 8)) == "A"


@pytest.mark.parametrize("payload", [None, 1, "A", [], {}, {"symbol": 1}, {"symbol": None, "number": 1}])
def test_what_is_no_quote_is_passed_over(payload: Any) -> None:
    book = QuoteBook()
    assert book.take_whole(payload) is None
    assert book.take_delta(payload) is None
