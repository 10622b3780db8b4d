"""Subscriptions of connections: joining and leaving rooms that count towards a user's quota."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from tradecast.connections.connection import Connection
from tradecast.delivery.errors import AdapterUnavailable, EventRefused
from tradecast.sessions.models import Tier, User

TOPICS = ("portfolio", "trades", "watchlist")
_PREFIXES = tuple(f"{topic}:" for topic in TOPICS)
WATCHLIST_TIERS: tuple[Tier, ...] = ("premium", "enterprise")


class RoomSizes(Protocol):
    """The rooms of this server."""

    def room_sizes(self) -> Iterator[tuple[str, int]]:
        """Each occupied room with its number of members."""
        ...


class Quota(Protocol):
    """Counts subscriptions of a user, over all servers."""

    async def increment_subscription(self, user_id: str, member: str) -> bool: ...
    async def decrement_subscription(self, user_id: str, member: str) -> None: ...


def name_subscription(connection: Connection, room: str) -> str:
    """How one connection's stay in a room is named among a user's subscriptions."""
    return f"{connection.id}|{room}"


def is_subscription(room: str) -> bool:
    """Whether a room counts as a subscription (and not the rooms that everybody is put in)."""
    return room.startswith(_PREFIXES)


def count_subscriptions(rooms: RoomSizes) -> dict[str, int]:
    """How many subscriptions there are on this server, by topic."""
    counts = dict.fromkeys(TOPICS, 0)
    for room, members in rooms.room_sizes():
        if is_subscription(room):
            counts[room.partition(":")[0]] += members
    return counts


def may_be_in(user: User, room: str) -> bool:
    """Whether a user's tier allows a room. Whose room it is was settled when its name was made."""
    return not room.startswith("watchlist:") or user.tier in WATCHLIST_TIERS


class Subscriptions:
    """Joins and leaves rooms, and counts them.

    Args:
        quota: Counts them, over all servers.
        most: Subscriptions of a user, for the text of a refusal.
    """

    def __init__(self, quota: Quota, most: int) -> None:
        self._quota = quota
        self._most = most

    async def join(self, connection: Connection, user: User, room: str) -> None:
        """Subscribe a connection to a room; one that is in it gets the next of its latest events whole, not as a delta.

        Raises:
            EventRefused: The user has too many subscriptions or not the tier, or the room cannot be joined now.
        """
        if connection.is_in(room):
            await connection.join(room)
            return
        if not await self._quota.increment_subscription(user.id, name_subscription(connection, room)):
            raise EventRefused("QUOTA_EXCEEDED", f"A user has at most {self._most} subscriptions")
        try:
            # Much may have happened while the quota was asked.
            if connection.closed:
                raise EventRefused("UNAVAILABLE", "The connection has ended")
            if connection.user is None:
                raise EventRefused("AUTH_REQUIRED", "Log in to use this event")
            if not may_be_in(connection.user, room):
                raise EventRefused("TIER_REQUIRED", f"A {' or '.join(WATCHLIST_TIERS)} subscription is required")
            try:
                await connection.join(room)
            except AdapterUnavailable:
                raise EventRefused("UNAVAILABLE", "The subscription cannot be kept now; try again") from None
        except BaseException:
            await self._quota.decrement_subscription(user.id, name_subscription(connection, room))
            raise

    async def leave(self, connection: Connection, user: User, room: str) -> None:
        """Unsubscribe a connection from a room.

        Raises:
            EventRefused: It is not subscribed to it.
        """
        if not connection.is_in(room):
            raise EventRefused("NOT_SUBSCRIBED", "There is no such subscription on this connection")
        await connection.leave(room)
        await self._quota.decrement_subscription(user.id, name_subscription(connection, room))

    async def leave_unpermitted(self, connection: Connection) -> None:
        """Leave the rooms that the connection's user may no longer be in, after a change of tier."""
        user = connection.user
        if user is None:
            return
        for room in [room for room in connection.rooms if not may_be_in(user, room)]:
            if connection.is_in(room):  # it may have been left while the one before was
                await self.leave(connection, user, room)
