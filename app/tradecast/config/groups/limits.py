"""Quotas and rates."""

from __future__ import annotations

import re
import time
from typing import Annotated, Final

from pydantic import Field, field_validator

from tradecast.config.groups.base import Group
from tradecast.config.types import (
    Count,
)

# Seconds of CPU time for one symbol: a harmless pattern takes a millionth.
_SLOWEST: Final = 0.05
_LONGEST_SYMBOL: Final = 64  # as `events.symbols.LONGEST`, which this layer may not import
# Characters of a pattern of which pairs are tried.
_LITERALS: Final = 8


class LimitSettings(Group):
    """Quotas, rates, and what a symbol is."""

    max_connections_per_user: Count = Field(10, description="Connections one user may have at a time")
    max_subscriptions_per_user: Count = Field(
        50, description="Subscriptions one user may have at a time, over all connections"
    )
    max_symbols_per_request: Count = Field(100, description="Symbols in one subscribe:watchlist")
    symbol_pattern: str | None = Field(
        None,
        max_length=1_000,
        description="Regular expression that the whole symbol must match, such as `[A-Z.]{1,10}`; absent: a symbol "
        "is 1 to 64 printable ASCII characters, in the case in which it is sent",
    )
    admin_broadcast_any: bool = Field(
        False, description="Let admin:broadcast also send the contract's own events, such as trade:executed"
    )
    rate_limit_window_ms: Annotated[int, Field(ge=1_000)] = Field(
        60_000, description="Window of the rate limits, milliseconds"
    )
    rate_limit_global: Count = Field(1_000, description="Events per user and window, all together")
    rate_limit_subscribe: Count = Field(
        100, description="Per user, window and subscribe event; notifications:recent too"
    )
    rate_limit_unsubscribe: Count = Field(100, description="Per user, window and unsubscribe event")
    rate_limit_broadcast: Count = Field(1_000, description="admin:broadcast per admin and window")
    rate_limit_refresh: Count = Field(10, description="session:refresh per user and window")

    @field_validator("symbol_pattern")
    @classmethod
    def _check_pattern(cls, pattern: str | None) -> str | None:
        if pattern is None:
            return None
        try:
            compiled = re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"is not a regular expression ({getattr(error, 'msg', error)})") from None
        slow = find_slow_text(compiled)
        if slow is not None:
            raise ValueError(f"takes seconds for a text such as {slow!r}: do not repeat what repeats, as in (A+)+")
        return pattern


def find_slow_text(pattern: re.Pattern[str]) -> str | None:
    """A text with which a client could stop the server, which does nothing else while it matches; None: none is known.

    Where a repetition is in another one, time can grow exponentially with the length. So longer and longer texts are
    tried, and the first that takes too much is among those that still end.
    """
    literal = [one for one in dict.fromkeys(pattern.pattern) if one.isalnum()][:_LITERALS]
    units = (*map(chr, range(0x20, 0x7F)), *(one + other for one in literal for other in literal if one != other))
    for unit in units:
        for length in range(2, _LONGEST_SYMBOL, 2):
            for end in ("", "\0", "~"):
                text = unit * (length // len(unit)) + end
                # Twice, since once may be the garbage collector's time.
                if _is_slow(pattern, text) and _is_slow(pattern, text):
                    return text
    return None


def _is_slow(pattern: re.Pattern[str], text: str) -> bool:
    begin = time.thread_time()
    pattern.fullmatch(text)
    return time.thread_time() - begin > _SLOWEST
