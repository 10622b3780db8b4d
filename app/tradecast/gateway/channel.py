"""The way from a connection to the Socket.IO server."""

from __future__ import annotations

from typing import Any

from tradecast.connections.connection import Recent
from tradecast.delivery.shaping.snapshots import read_events
from tradecast.gateway.server import SocketServer
from tradecast.packets.room_names import qualify_room


class NamespaceChannel:
    """Sends to the clients of one namespace, and puts them into its rooms."""

    __slots__ = ("_namespace", "_prefix", "_server")

    def __init__(self, server: SocketServer[Any], namespace: str) -> None:
        self._server = server
        self._namespace = namespace
        self._prefix = qualify_room(namespace, "")

    def send(self, sid: str, event: str, data: Any) -> None:
        """Send an event to a client."""
        self._server.send(sid, event, data, self._namespace)

    async def join(self, sid: str, *rooms: str, recent: int = 0) -> Recent | None:
        """Put a client into rooms of the namespace: see `Connection.subscribe`."""
        found = await self._server.hub.join(sid, *(self._prefix + room for room in rooms), recent=recent)
        return None if found is None else read_events(found)

    async def read_recent(self, room: str, count: int) -> Recent | None:
        """The newest counted events of a room of the namespace: see `Connection.read_recent`."""
        found = await self._server.hub.positions.read_recent(self._prefix + room, count)
        return None if found is None else read_events(found)

    async def leave(self, sid: str, room: str) -> None:
        """Take a client out of a room of the namespace."""
        await self._server.hub.leave(sid, self._prefix + room)

    def is_in(self, sid: str, room: str) -> bool:
        """Whether a client is in a room of the namespace."""
        return self._server.hub.is_in(sid, self._prefix + room)

    def rooms(self, sid: str) -> set[str]:
        """The rooms of the namespace that a client is in."""
        return {room.removeprefix(self._prefix) for room in self._server.hub.rooms_of(sid)}
