"""The names of rooms. They are made here from ids that the server knows, never from what a client calls a room."""

from __future__ import annotations

from tradecast.user_id import format_user_id

MARKET_STATUS = "market:status"
# Everybody but anonymous clients, who get market:status and nothing else.
AUTHENTICATED = "authenticated"


def portfolio(user_id: str | int) -> str:
    """The room of a user's portfolio. Raises ValueError if the id is neither a string nor an integer."""
    return f"portfolio:{format_user_id(user_id)}"


def trades(user_id: str | int) -> str:
    """The room of a user's trades."""
    return f"trades:{format_user_id(user_id)}"


def user(user_id: str | int) -> str:
    """The room of all connections of a user."""
    return f"user:{format_user_id(user_id)}"


def watchlist(symbol: str) -> str:
    return f"watchlist:{symbol}"
