"""One client's connection to the namespace, as handlers and middleware see it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from tradecast.cluster_rpc.results import describe_handshake
from tradecast.packets.room_names import Room, room_name
from tradecast.sessions.models import Session, User

PUBLIC_HANDSHAKE: tuple[str, ...] = ("userId", "isAdmin", "authenticated")
"""The fields of `Connection.handshake_auth` that other servers receive: no names and no addresses."""
EventGuard = Callable[["Connection", str, Any], Awaitable[None] | None]

Recent = Sequence[Mapping[str, Any]]
"""Counted events as answers carry them, the newest last: each `{event, data}`."""


class Channel(Protocol):
    """What a connection needs of the server below it."""

    def send(self, sid: str, event: str, data: Any) -> None: ...
    async def join(self, sid: str, *rooms: str, recent: int = 0) -> Recent | None: ...
    async def read_recent(self, room: str, count: int) -> Recent | None: ...
    async def leave(self, sid: str, room: str) -> None: ...
    def rooms(self, sid: str) -> set[str]: ...
    def is_in(self, sid: str, room: str) -> bool: ...


class Connection:
    """A connected client: who it is, which rooms it is in, and how to answer it.

    Attributes:
        reuses_transport: Whether another client has left its transport before.
        sid: The Socket.IO id. Never logged: over polling, its sibling is a credential.
        id: A short id made for logs.
        namespace: Where it is; `/` is the main one.
        claims: What the client itself passed as `auth`; untrusted, and let go once the client is in.
        cookie: The session id in its handshake's cookie, where those count; let go once it is in. A secret.
        closed: Whether it has ended. A handler that has waited for something finds out here.
        guards: Checks run before each of this connection's events, in order.
        by_cookie: Whether its session was found by its handshake's cookie.
        changes_seen: The watcher's count of session changes before its session was looked up.
        transport_sid: The Engine.IO id of its transport. Never logged: a credential over polling.
    """

    __slots__ = (
        "_channel",
        "_data",
        "by_cookie",
        "changes_seen",
        "claims",
        "closed",
        "connected_at",
        "cookie",
        "guards",
        "id",
        "namespace",
        "reuses_transport",
        "session",
        "sid",
        "transport",
        "transport_sid",
    )

    def __init__(
        self,
        sid: str,
        connection_id: str,
        channel: Channel,
        *,
        claims: Any,
        connected_at: float,
        transport: str = "",
        namespace: str = "/",
        transport_sid: str = "",
        cookie: str | None = None,
    ) -> None:
        self.sid = sid
        self.id = connection_id
        self.claims = claims
        self.cookie = cookie
        self.closed = False
        self.reuses_transport = False
        self.by_cookie = False
        self.connected_at = connected_at
        self.transport = transport
        self.namespace = namespace
        self.transport_sid = transport_sid
        self.session: Session | None = None
        self.guards: tuple[EventGuard, ...] = ()
        self.changes_seen = -1
        self._channel = channel
        self._data: dict[str, Any] | None = None

    @property
    def data(self) -> dict[str, Any]:
        """The application's own notes, on this server for as long as the connection lasts; see `RemoteSocket.data`."""
        if self._data is None:
            self._data = {}
        return self._data

    @property
    def has_data(self) -> bool:
        """Whether there are any."""
        return bool(self._data)

    @property
    def user(self) -> User | None:
        """The authenticated user; None for an anonymous client."""
        return self.session.user if self.session else None

    def attach(self, session: Session) -> None:
        """Make this the connection of `session`'s user."""
        self.session = session

    @property
    def handshake_auth(self) -> dict[str, Any]:
        """What the requirements attach to the handshake: userId, userName, userEmail, isAdmin, authenticated."""
        user = self.user
        if user is None:
            return {"authenticated": False}
        return {
            "userId": user.id,
            "userName": user.name,
            "userEmail": user.email,
            "isAdmin": user.is_admin,
            "authenticated": True,
        }

    @property
    def public_handshake(self) -> dict[str, Any]:
        """What other servers receive of the handshake: see `RemoteSocket.handshake`."""
        auth = self.handshake_auth
        public = {name: auth[name] for name in PUBLIC_HANDSHAKE if name in auth}
        return describe_handshake(self.connected_at, public)

    def use(self, guard: EventGuard) -> None:
        """Run `guard(connection, event, data)` before each of this connection's events."""
        self.guards = (*self.guards, guard)

    @property
    def rooms(self) -> set[str]:
        """The rooms this connection is in, its own sid's left out."""
        return self._channel.rooms(self.sid)

    def is_in(self, room: Room) -> bool:
        """Whether this connection is in a room."""
        return self._channel.is_in(self.sid, room_name(room))

    def send(self, event: str, *arguments: Any) -> None:
        """Send one event to this client alone. Raises TypeError when the arguments cannot be said in JSON."""
        self._channel.send(self.sid, event, arguments[0] if len(arguments) == 1 else arguments)

    async def emit(self, event: str, *arguments: Any) -> None:
        """The same as `send`, for handlers that await it."""
        self.send(event, *arguments)

    async def join(self, room: Room) -> None:
        """Enter a room; an integer is the same room as its decimal form. Raises TypeError for other types."""
        await self._channel.join(self.sid, room_name(room))

    async def subscribe(self, *rooms: str, recent: int = 0) -> Recent | None:
        """Enter rooms in one step; the newest of each latest event there is sent to this client.

        Args:
            rooms: Those that it is in already are left out.
            recent: How many of the newest counted events are asked for.

        Returns:
            The newest counted events there, the newest last; None where they are not known.

        Raises:
            AdapterUnavailable: It cannot be stored, and this connection is in none of them.
        """
        return await self._channel.join(self.sid, *rooms, recent=recent)

    async def read_recent(self, room: str, count: int) -> Recent | None:
        """The newest counted events of a room, the newest last; None where they cannot be read now."""
        return await self._channel.read_recent(room, count)

    async def leave(self, room: Room) -> None:
        """Leave a room, named as in `join`."""
        await self._channel.leave(self.sid, room_name(room))
