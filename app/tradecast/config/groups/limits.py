"""Quotas and rates."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, field_validator

from tradecast.config.groups.base import Group
from tradecast.config.types import (
    Count,
)


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
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"is not a regular expression ({error.msg})") from None
        return pattern
