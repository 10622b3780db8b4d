"""The names of rooms. They are made here from ids that the server knows, never from what a client calls a room."""

from __future__ import annotations

MARKET_STATUS = "market:status"
# Everybody but anonymous clients, who get market:status and nothing else.
AUTHENTICATED = "authenticated"


def portfolio(user_id: str) -> str:
    return f"portfolio:{user_id}"


def trades(user_id: str) -> str:
    return f"trades:{user_id}"


def user(user_id: str) -> str:
    return f"user:{user_id}"


def watchlist(symbol: str) -> str:
    return f"watchlist:{symbol}"
