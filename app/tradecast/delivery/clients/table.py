"""The clients of this server, by sid, by transport and by room."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tradecast.delivery.clients.client import Client
from tradecast.packets.room_names import NAMESPACE
from tradecast.packets.rooms import LocalManager


class ClientTable:
    """The clients of this server.

    Attributes:
        by_sid: All of them.
        by_pid: The sids of those that can recover, by their private ids.
        by_own_room: The sids of those that are not known by the name of their own room: in other namespaces, and while
            they recover.
        special: Those whose events are buffered, or who got some by replay that may still come.
        without_recovery: How many want no offsets.

    Args:
        manager: Rooms on this server.
    """

    def __init__(self, manager: LocalManager) -> None:
        self._manager = manager
        self.by_sid: dict[str, Client] = {}
        self.by_pid: dict[str, str] = {}
        self.by_own_room: dict[str, str] = {}
        self.special: dict[str, Client] = {}
        self.without_recovery = 0

    @property
    def replays(self) -> int:
        """The number of clients to which a replay is being sent: see `PacedReplay`."""
        return sum(client.is_replaying for client in self.special.values())

    def add(self, sid: str, client: Client) -> Client:
        """Add a client, and return it."""
        self.by_sid[sid] = client
        self.without_recovery += client.no_recovery
        if client.own_room != sid:
            self.by_own_room[client.own_room] = sid
        return client

    def remove(self, sid: str) -> Client | None:
        """Remove a client, and return it; None if it is not here."""
        client = self.by_sid.pop(sid, None)
        if client is None:
            return None
        self.special.pop(sid, None)
        self.without_recovery -= client.no_recovery
        if self.by_pid.get(client.session.pid) == sid:
            del self.by_pid[client.session.pid]
        return client

    def remove_own_room(self, sid: str, client: Client) -> bool:
        """Remove the room of a client that has left. Returns whether no other client of this server has that room."""
        if self.by_own_room.get(client.own_room, client.own_room) != sid:
            return False
        self.by_own_room.pop(client.own_room, None)
        return client.own_room not in self.by_sid

    def rename(self, sid: str, to: str) -> None:
        """Give a client another sid, in its rooms as well."""
        client = self.by_sid.pop(sid)
        self.by_sid[to] = client
        if self.special.pop(sid, None) is not None:
            self.special[to] = client
        self.by_own_room.pop(client.own_room, None)
        self._manager.rename(sid, to, NAMESPACE)

    def disable_recovery(self, client: Client) -> None:
        """Send a client no more offsets, so that it cannot recover."""
        self.without_recovery += not client.no_recovery
        client.no_recovery = True

    def find_by_transport(self, eio_sid: str) -> Client | None:
        """The client of the main namespace on a transport."""
        sid = self._manager.sid_from_eio_sid(eio_sid, NAMESPACE)
        return self.by_sid.get(sid) if sid is not None else None

    def find_members(self, rooms: Collection[str]) -> Mapping[str, str]:
        """Who is in any of these rooms here, or is one of them itself: sid to the engine's id."""
        members = self._manager.members(rooms)
        for room in rooms:
            sid = self.by_own_room.get(room, room)
            client = self.by_sid.get(sid)
            if client is not None and client.own_room == room:
                members = {**members, sid: client.eio_sid}
        return members
