"""How much a user may do: the limiter as middleware of connections and guard of events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sized
from typing import Any, Protocol

from tradecast.connections.connection import Connection
from tradecast.delivery.errors import EventRefused, TryAgain
from tradecast.limits.connection_slots import SlotResult
from tradecast.limits.limiter import RateLimiter
from tradecast.limits.quota import LEASE
from tradecast.limits.rates import LimitResult
from tradecast.sessions.errors import AuthRefused

# Tries to acquire the slot of a connection that was replaced, and seconds between two.
TRIES = 20
TRY_EVERY = 0.05


class LimitedEventObserver(Protocol):
    """Counts refused events."""

    def rate_limited(self, event: str) -> None:
        """An event was over a limit."""
        ...


class Unobserved(LimitedEventObserver):
    """Ignores everything: for programs without metrics."""

    def rate_limited(self, event: str) -> None:
        """Nothing."""


class LocalConnections(Protocol):
    """Finds a user's connections to this server."""

    def of_user(self, user_id: str) -> Sized:
        """The user's connections, which are alive as far as is known."""
        ...


class Slots(Protocol):
    """Frees slots of users' connection quotas (`ConnectionSlots`)."""

    async def free_slot(self, user_id: str) -> SlotResult:
        """End a connection of a user whose client no longer answers."""
        ...


class RateLimitMiddleware:
    """The limit on connections per user; each connection that passes gets the rate limits as a guard of its events.

    Args:
        limiter: Counts, over all servers.
        observer: Counts refused events.
        connections: The users' connections to this server. Others may have been held by a server that died, and are
            counted until their lease ends: until then the user is only deferred.
        slots: Frees a slot of a user who has too many connections.
    """

    def __init__(
        self,
        limiter: RateLimiter,
        observer: LimitedEventObserver,
        connections: LocalConnections | None = None,
        slots: Slots | None = None,
    ) -> None:
        self._limiter = limiter
        self._observer = observer
        self._connections = connections
        self._slots = slots
        self._deferred_since: dict[str, float] = {}
        self._guard = self.guard  # one bound method for all connections, not one for each

    async def __call__(self, connection: Connection) -> None:
        """Let a connection in.

        Raises:
            AuthRefused: The user has too many connections.
            TryAgain: That is not certain now: the client should try again.
        """
        user = connection.user
        if user is not None and not await self._acquire(user.id, connection.id):
            raise TryAgain
        if user is not None:
            self._deferred_since.pop(user.id, None)
        connection.use(self._guard)

    def guard(self, connection: Connection, event: str, data: Any) -> Awaitable[None] | None:
        """Count an event of a connection.

        Raises:
            EventRefused: It exceeds a limit.
        """
        user = connection.user
        # Not by the connection's id: an anonymous client could leave and join for a new allowance.
        counted = user.id if user else f"anonymous:{connection.transport_sid or connection.id}"
        if self._limiter.is_local:
            self._require(self._limiter.check_limit_here(counted, event), event)
            return None
        known = self._limiter.known_limit(counted, event)
        if known is not None:
            self._require(known, event)
        return self._check(counted, event)

    async def _check(self, counted: str, event: str) -> None:
        self._require(await self._limiter.check_limit(counted, event), event)

    def _require(self, result: LimitResult, event: str) -> None:
        if not result:
            self._observer.rate_limited(event)
            raise EventRefused("RATE_LIMITED", "Rate limit exceeded")

    async def _acquire(self, user_id: str, connection_id: str) -> bool:
        if await self._limiter.acquire_connection(user_id, connection_id):
            return True
        result = await self._find_slot(user_id)
        if result == "full" or (result == "unknown" and self._is_deferred_too_long(user_id)):
            raise AuthRefused("TOO_MANY_CONNECTIONS", "too_many")
        if result == "unknown":
            return False
        for _ in range(TRIES):  # a replaced connection releases its slot in the background
            if await self._limiter.acquire_connection(user_id, connection_id):
                return True
            await asyncio.sleep(TRY_EVERY)
        return False

    async def _find_slot(self, user_id: str) -> SlotResult:
        if self._slots is not None:
            return await self._slots.free_slot(user_id)
        alive = 0 if self._connections is None else len(self._connections.of_user(user_id))
        return "full" if alive >= self._limiter.max_connections else "unknown"

    def _is_deferred_too_long(self, user_id: str) -> bool:
        now = time.monotonic()
        for other in [other for other, since in self._deferred_since.items() if now - since > 2 * LEASE]:
            del self._deferred_since[other]
        return now - self._deferred_since.setdefault(user_id, now) > LEASE


def create_rate_limit_middleware(
    limiter: RateLimiter,
    *,
    observer: LimitedEventObserver | None = None,
    connections: LocalConnections | None = None,
    slots: Slots | None = None,
) -> Callable[[Connection], Awaitable[None]]:
    """The rate limits and the limit on connections per user, as middleware. Arguments as of `RateLimitMiddleware`."""
    return RateLimitMiddleware(limiter, observer or Unobserved(), connections, slots)
