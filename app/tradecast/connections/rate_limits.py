"""How much a user may do: the limiter as middleware of connections and guard of events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tradecast.connections.connection import Connection
from tradecast.delivery.errors import EventRefused, TryAgain
from tradecast.limits.limiter import RateLimiter
from tradecast.limits.places import Room
from tradecast.limits.quota import LEASE
from tradecast.limits.rates import LimitResult
from tradecast.sessions.errors import AuthRefused

# Looks for the place of a connection that was ended, and seconds between two.
GIVES_BACK_WITHIN = 20
LOOKS_EVERY = 0.05


def create_rate_limit_middleware(
    limiter: RateLimiter,
    *,
    on_limited: Callable[[str], None] = lambda event: None,
    connections_here: Callable[[str], int] = lambda user_id: 0,
    free_place: Callable[[str], Awaitable[Room]] | None = None,
) -> Callable[[Connection], Awaitable[None]]:
    """The rate limits and the limit on connections per user, as middleware.

    Args:
        limiter: Counts, over all servers.
        on_limited: Told the event that was over a limit.
        connections_here: A user's connections to this server, which are alive as far as is known. What else counts may
            have been held by a server that died, and is counted until its lease ends: so long the user is only put off.
        free_place: Ends a connection of a user whose client does not answer any more, as of `Places`.
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

    def is_waiting_too_long(user_id: str) -> bool:
        now = time.monotonic()
        for other in [other for other, since in put_off.items() if now - since > 2 * LEASE]:
            del put_off[other]
        return now - put_off.setdefault(user_id, now) > LEASE

    async def acquire(user_id: str, connection_id: str) -> bool:
        if await limiter.acquire_connection(user_id, connection_id):
            return True
        if free_place is None:
            room: Room = "full" if connections_here(user_id) >= limiter.max_connections else "unknown"
        else:
            room = await free_place(user_id)
        if room == "full" or (room == "unknown" and is_waiting_too_long(user_id)):
            raise AuthRefused("TOO_MANY_CONNECTIONS", "too_many")
        if room == "unknown":
            return False
        for _ in range(GIVES_BACK_WITHIN):  # what was ended gives back what it held, in the background
            if await limiter.acquire_connection(user_id, connection_id):
                return True
            await asyncio.sleep(LOOKS_EVERY)
        return False

    async def middleware(connection: Connection) -> None:
        user = connection.user
        if user is not None and not await acquire(user.id, connection.id):
            raise TryAgain
        if user is not None:
            put_off.pop(user.id, None)
        connection.use(guard)

    return middleware
