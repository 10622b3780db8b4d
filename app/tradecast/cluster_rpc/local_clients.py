"""This server's own clients, as requests to all servers see them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tradecast.cluster_rpc.selection import Selection
from tradecast.packets.acks import Asked
from tradecast.packets.room_names import NAMESPACE
from tradecast.packets.rooms import LocalManager


@dataclass(frozen=True, slots=True)
class Described:
    """What the application knows of a client; see `RemoteSocket`. There may be more in `data` than can be passed on."""

    connection_id: str
    user_id: str | None
    transport: str
    connected_at: float
    handshake: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)


class RoomMembers(Protocol):
    """Puts clients into rooms, so that they are still there after a recovery: the hub."""

    async def join(self, sid: str, room: str, /) -> object:
        """Put a client into a room. Raises AdapterUnavailable."""
        ...

    async def leave(self, sid: str, room: str) -> None:
        """Take a client out of a room."""
        ...

    def rooms_of(self, sid: str) -> frozenset[str]:
        """The rooms a client is in, its own left out."""
        ...


class Sockets(Protocol):
    """Reaches clients: the Socket.IO server."""

    async def end(self, sid: str) -> None:
        """Disconnect a client, which does not reconnect."""
        ...

    async def ask(self, sids: Collection[str], event: str, arguments: list[Any], timeout: float) -> Asked:  # noqa: ASYNC109
        """Send an event, and wait for acknowledgements."""
        ...


class ClientDirectory(Protocol):
    """Knows the clients here: the application."""

    def describe(self, sid: str) -> Described | None:
        """What the application knows of a client; None if it knows none of this sid."""
        ...

    def count(self) -> int:
        """How many clients are connected here."""
        ...

    def count_user(self, user_id: str) -> int:
        """How many connections a user has here."""
        ...

    async def probe(self, user_id: str, patience: float) -> Sequence[tuple[str, float, bool]]:
        """Ask a user's clients here for a sign of life: connection id, seconds of silence, whether it answers."""
        ...

    def replace(self, user_id: str, connection_id: str) -> bool:
        """End a user's connection whose client does not answer; whether it was here."""
        ...


class LocalClients:
    """The clients that are connected here.

    Attributes:
        hub: As given.
        sockets: As given.
        directory: As given.

    Args:
        hub: Their rooms, stored for recovery.
        manager: Their rooms, as they are.
        sockets: Their connections.
        directory: What the application knows of them.
    """

    def __init__(self, hub: RoomMembers, manager: LocalManager, sockets: Sockets, directory: ClientDirectory) -> None:
        self.hub = hub
        self.sockets = sockets
        self.directory = directory
        self._manager = manager

    def select(self, selection: Selection) -> list[str]:
        """Sids of those who are wholly connected, so that ending one now is seen by it, and by what ends with it."""
        rooms = None if selection.rooms is None else list(selection.rooms)
        excluded = set(selection.skip)
        if selection.except_rooms:
            excluded |= {sid for sid, _ in self._manager.get_participants(NAMESPACE, list(selection.except_rooms))}
        found = self._manager.get_participants(NAMESPACE, rooms)
        return [sid for sid, _ in found if sid not in excluded and self._manager.is_connected(sid, NAMESPACE)]
