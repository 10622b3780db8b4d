from __future__ import annotations

from typing import Any

import pytest

from tradecast.adapter.errors import EventRefused
from tradecast.events.symbols import check_symbol, requested_symbols, shown


@pytest.mark.parametrize(
    "symbol", ["A", "AAPL", "BRK.B", "BTC-USD", "EUR/USD", "^GSPC", "ES=F", "NASDAQ:AAPL", "0700.HK", "A" * 20]
)
def test_symbols_of_the_field_are_taken(symbol: str) -> None:
    assert check_symbol(symbol) == symbol


@pytest.mark.parametrize("value", [None, ""])
def test_missing_symbol(value: Any) -> None:
    with pytest.raises(EventRefused) as caught:
        check_symbol(value)
    assert caught.value.reason == "SYMBOL_REQUIRED"


@pytest.mark.parametrize(
    "value",
    [
        "aapl",
        "AAPL ",
        " AAPL",
        "A" * 200,
        "ÄPFEL",
        "ＡＡＰＬ",
        "AAPL\n",
        "*",
        "portfolio:u1",
        1,
        True,
        ["AAPL"],
        {},
        b"AAPL",
    ],
)
def test_what_is_no_symbol_is_refused(value: Any) -> None:
    with pytest.raises(EventRefused) as caught:
        check_symbol(value)
    assert caught.value.reason == "SYMBOL_INVALID"


def test_one_symbol() -> None:
    assert requested_symbols({"symbol": "AAPL"}, 100) == (["AAPL"], False)


def test_a_list_loses_its_doubles_and_keeps_its_order() -> None:
    assert requested_symbols({"symbols": ["B", "A", "B", 1, 1, None]}, 100) == (["B", "A", 1, 1, None], True)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "INVALID_PAYLOAD"),
        ("AAPL", "INVALID_PAYLOAD"),
        (["AAPL"], "INVALID_PAYLOAD"),
        ({"symbols": "AAPL"}, "INVALID_PAYLOAD"),
        ({"symbols": []}, "SYMBOL_REQUIRED"),
        ({"symbols": ["A"] * 10_000}, "INVALID_PAYLOAD"),
        ({"symbol": "A", "symbols": ["B"]}, "INVALID_PAYLOAD"),
    ],
)
def test_payloads_that_make_no_sense(data: Any, reason: str) -> None:
    with pytest.raises(EventRefused) as caught:
        requested_symbols(data, 100)
    assert caught.value.reason == reason


def test_a_refused_symbol_is_shown_short() -> None:
    assert shown("x" * 200) == "x" * 32
    assert shown({"a": 1}) == "dict"
