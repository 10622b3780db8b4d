"""Symbols as clients and senders name them."""

from __future__ import annotations

import re
from typing import Any, Final

from tradecast.delivery.errors import EventRefused

# Printable ASCII: what exchanges, brokers and data vendors use. Case counts, and nothing is changed.
SYMBOL: Final = re.compile(r"[!-~](?:[ -~]{0,62}[!-~])?", re.ASCII)
LONGEST: Final = 64
RULE: Final = (
    f"1 to {LONGEST} printable ASCII characters without a space at either end, such as AAPL, BRK.B or BTC_USDT"
)


class Symbols:
    """Which symbols there are.

    Args:
        pattern: A regular expression that the whole symbol has to match as well; None: any will do.
    """

    def __init__(self, pattern: str | None = None) -> None:
        self._pattern = re.compile(pattern) if pattern is not None else None
        self.rule = RULE if pattern is None else f"{RULE}, and of the form that this server allows (SYMBOL_PATTERN)"

    def has(self, value: object) -> bool:
        """Whether it is one."""
        if not isinstance(value, str) or SYMBOL.fullmatch(value) is None:
            return False
        return self._pattern is None or self._pattern.fullmatch(value) is not None

    def check(self, value: Any) -> str:
        """The symbol, if it is one.

        Raises:
            EventRefused: SYMBOL_REQUIRED or SYMBOL_INVALID.
        """
        if value is None or value == "":
            raise EventRefused("SYMBOL_REQUIRED", "Symbol required")
        if not isinstance(value, str) or not self.has(value):
            raise EventRefused("SYMBOL_INVALID", f"A symbol is {self.rule}")
        return value


ANY: Final = Symbols()


def read_requested_symbols(data: Any, limit: int) -> tuple[list[Any], bool]:
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


def shorten_symbol(value: Any) -> str:
    """A refused symbol as it may be sent back: a text, and no longer than a symbol can be."""
    return value[:LONGEST] if isinstance(value, str) else type(value).__name__
