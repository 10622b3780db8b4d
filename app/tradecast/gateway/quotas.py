"""What connections count of their users' quotas, from the time that they are accepted until they are forgotten."""

from __future__ import annotations

from collections.abc import Collection

from tradecast.connections.connection import Connection
from tradecast.delivery.clients.resumption import Resumed
from tradecast.events.subscriptions import is_subscription, may_be_in, name_subscription
from tradecast.gateway.application import Resume
from tradecast.limits.limiter import RateLimiter
from tradecast.sessions.models import User

ANONYMOUS = "anonymous"


def identify_client(connection: Connection) -> str:
    """Whose a connection is, for its recovery. No user's id can be what stands for all anonymous clients."""
    return ANONYMOUS if connection.user is None else f"user:{connection.user.id}"


class RecoveryQuota:
    """Bounds how often clients try to recover (`RecoveryLimiter`).

    Args:
        limiter: Counts.
    """

    def __init__(self, limiter: RateLimiter) -> None:
        self._limiter = limiter

    def may_recover(self, user: str, pid: str, *, blind: bool) -> bool:
        """See `RecoveryLimiter`."""
        return self._limiter.may_recover(None if user == ANONYMOUS else user, pid, blind=blind)


class ConnectionQuotas:
    """Keeps the quotas of users in step with what becomes of their connections.

    Args:
        limiter: Counts connections and subscriptions of users.
    """

    def __init__(self, limiter: RateLimiter) -> None:
        self._limiter = limiter

    async def resume(self, connection: Connection, resume: Resume, counted: list[str]) -> Resumed | None:
        """Resume the connection that the client has lost, if it asks for that and can have it.

        Args:
            connection: The new connection; it gets the id of the resumed one.
            resume: Resumes.
            counted: Gets the rooms of the subscriptions that are counted for it.
        """
        user, own_id = connection.user, connection.id

        async def reserve_quota(connection_id: str, rooms: Collection[str]) -> bool:
            connection.id = connection_id
            return user is None or await self._reserve(connection, user, rooms, counted)

        resumed = await resume(
            identify_client(connection), lambda room: user is None or may_be_in(user, room), reserve_quota
        )
        if resumed is not None:
            return resumed
        if user is not None:
            for room in counted:  # nothing is resumed: what was counted for that is not needed
                await self._limiter.decrement_subscription(user.id, name_subscription(connection, room))
        counted.clear()
        connection.id = own_id
        return None

    async def _reserve(self, connection: Connection, user: User, rooms: Collection[str], counted: list[str]) -> bool:
        subscriptions = [room for room in rooms if is_subscription(room)]
        counted.extend(room for room in subscriptions if may_be_in(user, room))
        for room in subscriptions:
            if room not in counted:  # the user's tier has changed since
                await self._limiter.decrement_subscription(user.id, name_subscription(connection, room))
        members = [name_subscription(connection, room) for room in counted]
        return await self._limiter.resume_subscriptions(user.id, members)

    def hand_over(self, connection: Connection, rooms: Collection[str]) -> None:
        """Another connection of the same client counts it, and its subscriptions to these rooms."""
        if connection.user is not None:
            members = [name_subscription(connection, room) for room in rooms]
            self._limiter.hand_over(connection.user.id, connection.id, members)

    async def release(self, connection: Connection, rooms: Collection[str]) -> None:
        """Count a connection no longer, nor its subscriptions to these rooms."""
        user = connection.user
        if user is None:
            return
        for room in rooms:
            await self._limiter.decrement_subscription(user.id, name_subscription(connection, room))
        await self._limiter.release_connection(user.id, connection.id)

    async def release_recoverable(self, connection: Connection, rooms: Collection[str]) -> None:
        """As `release`, but what its client can still recover is counted until that has expired."""
        user = connection.user
        if user is None:
            return
        await self._limiter.lose_subscriptions(user.id, [name_subscription(connection, room) for room in rooms])
        await self._limiter.release_connection(user.id, connection.id)
