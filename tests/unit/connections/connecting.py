"""Connections whose way out only remembers."""

from __future__ import annotations

from typing import Any

from tradecast.connections.connection import Connection, Recent
from tradecast.sessions.models import Session, User

USER = User("u1", "Name", "name@example.com", is_admin=True, tier="premium")


class Recorder:
    """A connection's way out, which only remembers."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def send(self, sid: str, event: str, data: Any) -> None:
        self.calls.append(("send", sid, event, data))

    async def join(self, sid: str, *rooms: str, recent: int = 0) -> Recent | None:
        self.calls += [("join", sid, room) for room in rooms]
        return None

    async def read_recent(self, room: str, count: int) -> Recent | None:
        self.calls.append(("recent", room, count))
        return None

    async def leave(self, sid: str, room: str) -> None:
        self.calls.append(("leave", sid, room))

    def rooms(self, sid: str) -> set[str]:
        return {f"room of {sid}"}

    def is_in(self, sid: str, room: str) -> bool:
        return room in self.rooms(sid)


def connection(claims: Any = None, user: User | None = None) -> Connection:
    made = Connection("sid", "id", Recorder(), claims=claims, connected_at=0.0)
    if user is not None:
        made.attach(Session("s", user, 1.0))
    return made
