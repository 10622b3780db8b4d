"""Symbols as clients name them."""

from __future__ import annotations

import re
from typing import Any

from tradecast.adapter.errors import EventRefused

SYMBOL = re.compile(r"[A-Z0-9^][A-Z0-9.\-:/=^]{0,19}", re.ASCII)
RULE = "1 to 20 of A-Z, 0-9 and . - : / = ^, upper case, such as AAPL, BRK.B or ^GSPC"


def check_symbol(value: Any) -> str:
    """The symbol, if it is one.

    Raises:
        EventRefused: SYMBOL_REQUIRED or SYMBOL_INVALID.
    """
    if value is None or value == "":
        raise EventRefused("SYMBOL_REQUIRED", "Symbol required")
    if not isinstance(value, str):
        raise EventRefused("SYMBOL_INVALID", "A symbol is a text")
    if not SYMBOL.fullmatch(value):
        raise EventRefused("SYMBOL_INVALID", f"A symbol is {RULE}")
    return value


def requested_symbols(data: Any, limit: int) -> tuple[list[Any], bool]:
    """What a watchlist payload asks for: the symbols, unchecked but without doubles, and whether it was a list.

    Raises:
        EventRefused: The payload has neither `symbol` nor `symbols`, both, or too many.
    """
    if not isinstance(data, dict):
        raise EventRefused("INVALID_PAYLOAD", "The payload is an object with symbol or symbols")
    if "symbols" not in data:
        return [data.get("symbol")], False
    symbols = data["symbols"]
    if "symbol" in data:
        raise EventRefused("INVALID_PAYLOAD", "Give either symbol or symbols")
    if not isinstance(symbols, list):
        raise EventRefused("INVALID_PAYLOAD", "symbols is a list")
    if not symbols:
        raise EventRefused("SYMBOL_REQUIRED", "symbols is empty")
    if len(symbols) > limit:
        raise EventRefused("INVALID_PAYLOAD", f"symbols holds at most {limit}")
    seen: set[str] = set()
    unique: list[Any] = []
    for symbol in symbols:
        if isinstance(symbol, str):
            if symbol in seen:
                continue
            seen.add(symbol)
        unique.append(symbol)
    return unique, True


def shown(value: Any) -> str:
    """A refused symbol as it may be sent back: short, and a text."""
    return value[:32] if isinstance(value, str) else type(value).__name__
