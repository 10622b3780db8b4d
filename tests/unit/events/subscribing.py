"""A quota and rooms of a test's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tradecast.connections.connection import Recent


def do_nothing() -> None:
    """What happens meanwhile, where the test says nothing."""


class Quota:
    """Counts subscriptions.

    Args:
        most: How many there may be.

    Attributes:
        members: Those that are counted.
        meanwhile: What happens while it is asked.
    """

    def __init__(self, most: int) -> None:
        self.members: set[str] = set()
        self.meanwhile: Callable[[], None] = do_nothing
        self._most = most

    async def increment_subscription(self, user_id: str, member: str) -> bool:
        self.meanwhile()
        if len(self.members) == self._most:
            return False
        self.members.add(member)
        return True

    async def decrement_subscription(self, user_id: str, member: str) -> None:
        self.members.remove(member)


class Membership:
    """A connection's way out: keeps its rooms and what is sent.

    Attributes:
        joined: The rooms, in their order.
        sent: The events, with their data.
        error: What joining raises.
    """

    def __init__(self) -> None:
        self.joined: list[str] = []
        self.joins: list[tuple[str, ...]] = []
        self.recent: Recent | None = None
        self.sent: list[tuple[str, Any]] = []
        self.error: Exception | None = None

    def send(self, sid: str, event: str, data: Any) -> None:
        self.sent.append((event, data))

    async def join(self, sid: str, *rooms: str, recent: int = 0) -> Recent | None:
        if self.error is not None:
            raise self.error
        self.joined += [room for room in rooms if room not in self.joined]
        self.joins.append(rooms)
        return self.recent if recent else None

    async def read_recent(self, room: str, count: int) -> Recent | None:
        return None if self.recent is None else self.recent[-count:]

    async def leave(self, sid: str, room: str) -> None:
        self.joined.remove(room)

    def rooms(self, sid: str) -> set[str]:
        return set(self.joined)

    def is_in(self, sid: str, room: str) -> bool:
        return room in self.joined
