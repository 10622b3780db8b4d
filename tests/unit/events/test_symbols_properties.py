"""Symbols in whatever a client sends: checked, or refused and nothing worse."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kit.parsing.properties import JSON
from tradecast.delivery.errors import EventRefused
from tradecast.events.symbols import ANY, SYMBOL, read_requested_symbols, shorten_symbol

SYMBOLS = st.from_regex(SYMBOL, fullmatch=True)
LONG = st.integers(62, 67).map("A".__mul__)
PAYLOADS = (
    st.lists(SYMBOLS | JSON, max_size=6).map(lambda symbols: {"symbols": symbols})
    | JSON
    | st.fixed_dictionaries({}, optional={"symbol": SYMBOLS | JSON, "symbols": st.lists(SYMBOLS | JSON) | JSON})
)


@given(SYMBOLS | LONG | st.text() | JSON)
def test_any_value_is_a_symbol_or_refused(value: Any) -> None:
    try:
        symbol = ANY.check(value)
    except EventRefused:
        assert len(shorten_symbol(value)) <= 64
        return
    assert symbol == value
    assert 0 < len(symbol) <= 64
    assert symbol.isascii()
    assert symbol.isprintable()
    assert symbol.strip() == symbol


@given(PAYLOADS, st.integers(1, 4))
def test_any_payload_asks_for_some_symbols_or_is_refused(data: Any, limit: int) -> None:
    try:
        found, several = read_requested_symbols(data, limit)
    except EventRefused:
        return
    texts = [one for one in found if isinstance(one, str)]
    assert 0 < len(found) <= limit
    assert len(set(texts)) == len(texts)
    assert several is ("symbols" in data)
    assert not several or len(data["symbols"]) <= limit
