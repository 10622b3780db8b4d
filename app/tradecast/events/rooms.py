"""The names of rooms. They are made here from ids that the server knows, never from what a client calls a room."""

from __future__ import annotations

from tradecast.user_id import format_user_id

MARKET_STATUS = "market:status"
# Everybody but anonymous clients, who get market:status and nothing else.
AUTHENTICATED = "authenticated"


def portfolio(user_id: str | int) -> str:
    """Those who watch a user's portfolio. Raises ValueError for what is neither text nor a whole number."""
    return f"portfolio:{format_user_id(user_id)}"


def trades(user_id: str | int) -> str:
    """Those who watch a user's trades."""
    return f"trades:{format_user_id(user_id)}"


def user(user_id: str | int) -> str:
    """All of a user's connections."""
    return f"user:{format_user_id(user_id)}"


def watchlist(symbol: str) -> str:
    return f"watchlist:{symbol}"
