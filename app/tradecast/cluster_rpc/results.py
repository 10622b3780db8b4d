"""What requests to all servers return. Whoever logs one shows no sid, no user and nothing that a client said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from tradecast.iso_time import format_time
from tradecast.packets.json_values import unpack_value
from tradecast.packets.room_names import Rooms

# Fields of a client in an answer that every version has; later ones have more behind them.
SOCKET_FIELDS: Final = 6


class Remote(Protocol):
    """What a `RemoteSocket` needs of the server where it was asked for."""

    async def emit(self, event: str, data: Any = None, *, to: Rooms, volatile: bool = False) -> None: ...
    async def sockets_join(self, rooms: Rooms | None, into: Rooms) -> int: ...
    async def sockets_leave(self, rooms: Rooms | None, leave: Rooms) -> int: ...
    async def disconnect_sockets(self, rooms: Rooms | None = None) -> int: ...


@dataclass(frozen=True, slots=True)
class RemoteSocket:
    """A client of any server, as it was when that server answered, and what can be done with it wherever it is.

    Attributes:
        sid: Its Socket.IO id. Not to be logged or shown.
        server: The server that holds its connection.
        connection_id: Its short id, made for logs.
        user_id: Whose it is; None for an anonymous client.
        rooms: The rooms it is in, its own left out.
        transport: `websocket` or `polling`; "" if it is going.
        connected_at: Since when, in seconds since 1970, by that server's clock.
        handshake: `issued` (the same in milliseconds), `time` (the same as ISO 8601 in UTC) and `auth` with `userId`,
            `isAdmin` and `authenticated`. What clients and proxies send themselves (headers, address, query, `auth`) is
            not passed on: credentials are in it. Servers of earlier versions send no `isAdmin`.
        data: What the application has noted in `connection.data`. None if that is more than 16 KB of JSON, cannot be
            said in JSON, or that server is of a version before. Bytes may be in it; tuples come as lists.
        remote: The server here; None if it was made by hand.
    """

    sid: str = field(repr=False)
    server: str
    connection_id: str
    user_id: str | None = field(repr=False)
    rooms: frozenset[str] = field(repr=False)
    transport: str
    connected_at: float
    handshake: Mapping[str, Any] = field(default_factory=dict, repr=False)
    data: Mapping[str, Any] | None = field(default=None, repr=False)
    remote: Remote | None = field(default=None, repr=False, compare=False)

    async def emit(self, event: str, data: Any = None, *, volatile: bool = False) -> None:
        """Send it an event: as `WebSocketServer.emit` to its sid, which it gets later where it is away just now."""
        await self._remote.emit(event, data, to=self.sid, volatile=volatile)

    async def join(self, rooms: Rooms) -> int:
        """Put it into rooms; 0 if it is gone. Raises as `WebSocketServer.sockets_join`."""
        return await self._remote.sockets_join(self.sid, rooms)

    async def leave(self, rooms: Rooms) -> int:
        """Take it out of rooms; 0 if it is gone. Raises as `WebSocketServer.sockets_leave`."""
        return await self._remote.sockets_leave(self.sid, rooms)

    async def disconnect(self) -> int:
        """Disconnect it finally. Returns 0 if it is gone. Raises as `WebSocketServer.disconnect_sockets`."""
        return await self._remote.disconnect_sockets(self.sid)

    @property
    def _remote(self) -> Remote:
        if self.remote is None:
            raise RuntimeError("it does not come from a server's fetch_sockets")
        return self.remote


def describe_handshake(connected_at: float, auth: Mapping[str, Any]) -> dict[str, Any]:
    """A client's handshake as other servers get it."""
    return {"issued": round(connected_at * 1000), "time": format_time(connected_at), "auth": dict(auth)}


def read_socket(server: str, item: Sequence[Any]) -> RemoteSocket:
    """A client in a server's answer; the server of a version before says less of it."""
    sid, name, user, rooms, transport, at = item[:SOCKET_FIELDS]
    handshake, data, *_ = (*item[SOCKET_FIELDS:], None, None)
    if not isinstance(handshake, dict):
        known = {"authenticated": False} if user is None else {"userId": user, "authenticated": True}
        handshake = describe_handshake(at, known)
    try:
        noted = unpack_value(data)
    except ValueError:
        noted = None
    noted = noted if isinstance(noted, dict) else None
    return RemoteSocket(sid, server, name, user, frozenset(rooms), transport, at, handshake, noted)


@dataclass(frozen=True, slots=True)
class ClientAnswer:
    """A client's acknowledgement.

    Attributes:
        sid: Whose.
        server: The server that holds its connection.
        data: What it said: None, a value, or a tuple of several. A client's own choice.
    """

    sid: str = field(repr=False)
    server: str
    data: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What became of an event that asked for acknowledgements.

    Attributes:
        answers: Of the clients that answered.
        silent: Clients (sids) that got it and did not answer in time, or went before.
        refused: Clients whose answers are not taken: too large, or nested too deeply.
        missing: Servers that did not answer in time: of their clients nothing is known.
        gone: Servers that have died meanwhile: the same.
        failed: Servers that could not send it, and why.
    """

    answers: list[ClientAnswer] = field(default_factory=list)
    silent: list[str] = field(default_factory=list, repr=False)
    refused: list[str] = field(default_factory=list, repr=False)
    missing: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    failed: Mapping[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether all clients of all servers have answered."""
        return not (self.silent or self.refused or self.missing or self.gone or self.failed)
