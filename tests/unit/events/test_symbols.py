from __future__ import annotations

from typing import Any

import pytest

from tradecast.delivery.errors import EventRefused
from tradecast.events.symbols import ANY, Symbols, read_requested_symbols, shorten_symbol

WORDS = r"""
AAPL BRK.B BRK/B BRK-B BF.B ^GSPC $SPX .DJI /ES /ESZ26 ES=F CL=F @ES# NQ1! EUR/USD EURUSD=X EUR_USD
BTC-USD BTC_USDT BTCUSDT btcusdt 1000PEPEUSDT tBTCUSD t1INCH:USD XBT/USD BTC-27MAR26-100000-C 0700.HK A
600519.SS 005930.KS VOD.L NASDAQ:AAPL BINANCE:BTCUSDT.P CME_MINI:ES1! IDX:^JKSE O:SPY251219C00650000
.SPX251219C05000000 AAPL251219C00150000 $DJI:X I:SPX PBR'A BAC+L WFC/PRL GS~A USD/JPY.SPOT M&M.NS
SI%26 ~TICK !VOLD% |ADD {0} {BTC}USD a{b}c * ? [ABC] h*llo \\ <GO> (X) `x` portfolio:u1
"""
REAL = [*WORDS.split(), '"Q"', "AAPL  251219C00150000", "MSFT US Equity", "GC Comdty", "A" * 64]


@pytest.mark.parametrize("symbol", REAL)
def test_symbols_of_the_field_are_taken(symbol: str) -> None:
    assert ANY.check(symbol) == symbol


def test_a_pattern_narrows_them() -> None:
    symbols = Symbols("[A-Z.]{1,6}")
    assert symbols.check("BRK.B") == "BRK.B"
    for symbol in ("aapl", "BTC_USDT", "AAPLXYZ"):
        with pytest.raises(EventRefused, match="SYMBOL_PATTERN"):
            symbols.check(symbol)
    with pytest.raises(EventRefused):  # it widens nothing
        Symbols(".*").check("ÄPFEL")


@pytest.mark.parametrize("value", [None, ""])
def test_missing_symbol(value: Any) -> None:
    with pytest.raises(EventRefused) as caught:
        ANY.check(value)
    assert caught.value.reason == "SYMBOL_REQUIRED"


@pytest.mark.parametrize(
    "value",
    [
        "AAPL ",
        " AAPL",
        "A" * 65,
        "A" * 200,
        "A\tB",
        "A\x00",
        "A\x7f",
        " ",
        "AAPL\u200b",
        "ÄPFEL",
        "ＡＡＰＬ",
        "AAPL\n",
        1,
        True,
        ["AAPL"],
        {},
        b"AAPL",
    ],
)
def test_what_is_no_symbol_is_refused(value: Any) -> None:
    with pytest.raises(EventRefused) as caught:
        ANY.check(value)
    assert caught.value.reason == "SYMBOL_INVALID"


def test_one_symbol() -> None:
    assert read_requested_symbols({"symbol": "AAPL"}, 100) == (["AAPL"], False)


def test_a_list_loses_its_doubles_and_keeps_its_order() -> None:
    assert read_requested_symbols({"symbols": ["B", "A", "B", 1, 1, None]}, 100) == (["B", "A", 1, 1, None], True)


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
def test_payloads_that_are_invalid(data: Any, reason: str) -> None:
    with pytest.raises(EventRefused) as caught:
        read_requested_symbols(data, 100)
    assert caught.value.reason == reason


def test_a_refused_symbol_is_shown_short() -> None:
    assert shorten_symbol("x" * 200) == "x" * 64
    assert shorten_symbol({"a": 1}) == "dict"
