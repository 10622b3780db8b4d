"""How much a user may do: the limiter as middleware of connections and guard of events."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from tradecast.adapter.errors import EventRefused, TryAgain
from tradecast.auth.connection import Connection
from tradecast.auth.errors import AuthRefused
from tradecast.limits.limiter import RateLimiter
from tradecast.limits.quota import LEASE
from tradecast.limits.rates import LimitResult


def create_rate_limit_middleware(
    limiter: RateLimiter,
    *,
    on_limited: Callable[[str], None] = lambda event: None,
    connections_here: Callable[[str], int] = lambda user_id: 0,
) -> Callable[[Connection], Awaitable[None]]:
    """The rate limits and the limit on connections per user, as middleware.

    Args:
        limiter: Counts, over all servers.
        on_limited: Told the event that was over a limit.
        connections_here: A user's connections to this server, which are alive as far as is known. What else counts may
            have been held by a server that died, and is counted until its lease ends: so long the user is only put off.
    """
    put_off: dict[str, float] = {}

    def guard(connection: Connection, event: str, data: Any) -> Awaitable[None] | None:
        user = connection.user
        # Not by the connection's id: an anonymous client could leave and join for a new allowance.
        counted = user.id if user else f"anonymous:{connection.transport_sid or connection.id}"
        if limiter.is_local:
            settle(event, limiter.check_limit_here(counted, event))
            return None
        known = limiter.known_limit(counted, event)
        if known is not None:
            settle(event, known)
        return ask(counted, event)

    async def ask(counted: str, event: str) -> None:
        settle(event, await limiter.check_limit(counted, event))

    def settle(event: str, allowed: LimitResult) -> None:
        if not allowed:
            on_limited(event)
            raise EventRefused("RATE_LIMITED", "Rate limit exceeded")

    def is_final(user_id: str) -> bool:
        if connections_here(user_id) >= limiter.max_connections:
            return True
        now = time.monotonic()
        for other in [other for other, since in put_off.items() if now - since > 2 * LEASE]:
            del put_off[other]
        return now - put_off.setdefault(user_id, now) > LEASE

    async def middleware(connection: Connection) -> None:
        user = connection.user
        if user is not None and not await limiter.acquire_connection(user.id, connection.id):
            if is_final(user.id):
                raise AuthRefused("TOO_MANY_CONNECTIONS", "too_many")
            raise TryAgain
        if user is not None:
            put_off.pop(user.id, None)
        connection.use(guard)

    return middleware
