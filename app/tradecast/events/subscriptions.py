"""Subscriptions of connections: joining and leaving rooms that count towards a user's quota."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from tradecast.connections.connection import Connection, Recent
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

    async def join(self, connection: Connection, user: User, room: str, *, recent: int = 0) -> Recent | None:
        """Subscribe a connection to a room; one that is in it gets the next of its latest events whole, not as a delta.

        Args:
            connection: Who subscribes.
            user: Whose connection it is.
            room: What it subscribes to.
            recent: How many of the room's newest counted events are asked for.

        Returns:
            These, the newest last; None where they are not known, or it is in the room already.

        Raises:
            EventRefused: The user has too many subscriptions or not the tier, or the room cannot be joined now.
        """
        if connection.is_in(room):
            return await connection.subscribe(room)
        if not await self._quota.increment_subscription(user.id, name_subscription(connection, room)):
            raise EventRefused("QUOTA_EXCEEDED", f"A user has at most {self._most} subscriptions")
        try:
            # Much may have happened while the quota was asked.
            self._require_open(connection, (room,))
            try:
                return await connection.subscribe(room, recent=recent)
            except AdapterUnavailable:
                raise EventRefused("UNAVAILABLE", "The subscription cannot be kept now; try again") from None
        except BaseException:
            await self._quota.decrement_subscription(user.id, name_subscription(connection, room))
            raise

    async def join_all(
        self, connection: Connection, user: User, rooms: Sequence[str]
    ) -> Mapping[str, EventRefused | None]:
        """Subscribe a connection to several rooms in one step, each for itself: None, or why that one is refused."""
        refused: dict[str, EventRefused | None] = {}
        joined: list[str] = []
        try:
            for room in rooms:
                if room in refused:
                    continue
                if connection.is_in(room):
                    refused[room] = None
                    await connection.subscribe(room)  # as `join` does
                    continue
                member = name_subscription(connection, room)
                if await self._quota.increment_subscription(user.id, member):
                    joined.append(room)
                    refused[room] = None
                else:
                    refused[room] = EventRefused("QUOTA_EXCEEDED", f"A user has at most {self._most} subscriptions")
            if joined:
                self._require_open(connection, joined)
                await connection.subscribe(*joined)
        except BaseException as error:
            for room in joined:
                await self._quota.decrement_subscription(user.id, name_subscription(connection, room))
            if isinstance(error, AdapterUnavailable):
                error = EventRefused("UNAVAILABLE", "The subscription cannot be kept now; try again")
            if not isinstance(error, EventRefused):
                raise
            refused |= dict.fromkeys(joined, error)
        return refused

    async def leave(self, connection: Connection, user: User, room: str) -> None:
        """Unsubscribe a connection from a room.

        Raises:
            EventRefused: It is not subscribed to it.
        """
        if not connection.is_in(room):
            raise EventRefused("NOT_SUBSCRIBED", "There is no such subscription on this connection")
        await connection.leave(room)
        await self._quota.decrement_subscription(user.id, name_subscription(connection, room))

    @staticmethod
    def _require_open(connection: Connection, rooms: Sequence[str]) -> None:
        """Raise EventRefused unless the connection may still enter these rooms."""
        if connection.closed:
            raise EventRefused("UNAVAILABLE", "The connection has ended")
        if connection.user is None:
            raise EventRefused("AUTH_REQUIRED", "Log in to use this event")
        if not all(may_be_in(connection.user, room) for room in rooms):
            raise EventRefused("TIER_REQUIRED", f"A {' or '.join(WATCHLIST_TIERS)} subscription is required")

    async def leave_unpermitted(self, connection: Connection) -> None:
        """Leave the rooms that the connection's user may no longer be in, after a change of tier."""
        user = connection.user
        if user is None:
            return
        for room in [room for room in connection.rooms if not may_be_in(user, room)]:
            if connection.is_in(room):  # it may have been left while the one before was
                await self.leave(connection, user, room)
