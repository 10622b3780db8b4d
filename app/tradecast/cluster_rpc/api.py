"""The methods for all servers' clients, as a server's API has them (docs/cluster.md)."""

# ruff: noqa: ASYNC109 - what a timeout leaves unanswered is part of the answer

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tradecast.cluster_rpc.cluster import Cluster
from tradecast.cluster_rpc.errors import Incomplete
from tradecast.cluster_rpc.operations import ServerEventHandler
from tradecast.cluster_rpc.results import Acknowledged, RemoteSocket
from tradecast.cluster_rpc.selection import Selection
from tradecast.delivery.envelope import VOLATILE
from tradecast.delivery.event_kinds import KindName
from tradecast.delivery.hub import Hub
from tradecast.packets.codec import arguments_of
from tradecast.packets.room_names import Rooms, room_names
from tradecast.user_id import format_user_id


class ClusterApi:
    """What Socket.IO's server API offers for all servers: https://socket.io/docs/v4/server-instance/#utility-methods.

    `rooms` of None is everybody. A sid stands for its client as a room of its own, and an integer for its decimal form.

    Requests (all but `emit` and `server_side_emit`) wait until every server that is there has answered, and raise

    - `AdapterUnavailable`: Redis is away. Nothing was done; if it is a `PublishUncertain`, perhaps it was, elsewhere.
    - `Incomplete`: Some servers did not answer within `timeout` seconds (CLUSTER_TIMEOUT by default), are gone, or
      could not do it. `result` is what the others answered, and what they were to do they have done.
    - `TooLarge`: The request is too large. Nothing was done.
    """

    @property
    def cluster(self) -> Cluster:
        """Carries the requests out."""
        raise NotImplementedError

    @property
    def _hub(self) -> Hub:
        raise NotImplementedError

    def __init__(self) -> None:
        self._server_events: dict[str, ServerEventHandler] = {}

    async def emit(
        self,
        event: str,
        data: Any = None,
        *,
        to: Rooms,
        except_rooms: Rooms = (),
        skip_sid: str | Sequence[str] = (),
        volatile: bool = False,
        kind: KindName | None = None,
    ) -> None:
        """Send an event to the members of rooms, on every server, each once.

        Args:
            event: Its name.
            data: Its argument; None for none, a tuple for several.
            to: The rooms. A client whose sid is one of them, and whose connection is broken just now, gets it later, as
                with any room.
            except_rooms: Members of these do not get it.
            skip_sid: Clients that do not get it.
            volatile: Whether it is not worth keeping: a client whose connection is broken just now misses it. As `kind`
                "volatile", for any event.
            kind: "counted", "latest" or "volatile"; None: as declared of the event, "counted" for events of your own.

        Raises:
            PublishUncertain: Redis did not answer in time; the event may have been sent, or not.
            AdapterUnavailable: The event was not sent.
            TypeError: JSON cannot represent the data, or a room is neither a string nor an integer.
            ValueError: The event cannot be of that kind.
        """
        rooms = room_names(to)
        chosen = self._hub.choose_kind(event, kind)
        if rooms:
            await self._hub.emit(
                event,
                arguments_of(data),
                rooms,
                kind=chosen or (VOLATILE if volatile else None),
                except_rooms=room_names(except_rooms),
                skip=room_names(skip_sid),
            )

    async def emit_with_ack(
        self,
        event: str,
        data: Any = None,
        *,
        to: Rooms | None,
        except_rooms: Rooms = (),
        skip_sid: str | Sequence[str] = (),
        timeout: float | None = None,
    ) -> Acknowledged:
        """Send an event to the members of rooms (None: to everybody), and wait for the acknowledgement of each.

        As in Node it is not kept: a client whose connection is broken just now misses it. Never `Incomplete`: what
        is returned says who did not answer.

        Args:
            event: See `emit`.
            data: See `emit`.
            to: The rooms, or None.
            except_rooms: See `emit`.
            skip_sid: See `emit`.
            timeout: Seconds that clients may take. Servers have a second more.
        """
        selection = Selection.of(to, except_rooms, skip_sid)
        return await self.cluster.emit_with_ack(selection, event, arguments_of(data), timeout)

    async def fetch_sockets(
        self, rooms: Rooms | None = None, *, except_rooms: Rooms = (), timeout: float | None = None
    ) -> list[RemoteSocket]:
        """The clients in rooms."""
        try:
            found = await self.cluster.fetch_sockets(Selection.of(rooms, except_rooms), timeout)
        except Incomplete as error:
            error.result = [replace(one, remote=self) for one in error.result]
            raise
        return [replace(one, remote=self) for one in found]

    async def sockets_join(
        self, rooms: Rooms | None, into: Rooms, *, except_rooms: Rooms = (), timeout: float | None = None
    ) -> int:
        """Put the clients in `rooms` into other ones; how many there were.

        It is kept as if they had joined themselves: they are still there after a recovery.
        """
        return await self.cluster.sockets_join(Selection.of(rooms, except_rooms), into, timeout)

    async def sockets_leave(
        self, rooms: Rooms | None, leave: Rooms, *, except_rooms: Rooms = (), timeout: float | None = None
    ) -> int:
        """Take the clients in `rooms` out of the rooms `leave`; how many there were."""
        return await self.cluster.sockets_leave(Selection.of(rooms, except_rooms), leave, timeout)

    async def disconnect_sockets(
        self, rooms: Rooms | None = None, *, except_rooms: Rooms = (), timeout: float | None = None
    ) -> int:
        """Disconnect the clients in rooms, which do not reconnect. Returns how many there were.

        Standard Socket.IO clients do not reconnect automatically, and a client that connects again starts a new
        session. Clients that are just between two connections are not reached: to shut a user out, revoke the session.
        """
        return await self.cluster.disconnect_sockets(Selection.of(rooms, except_rooms), timeout)

    def register_server_event_handler(self, event: str, handler: ServerEventHandler) -> None:
        """Call `handler(*args)`, plain or async, for what another server emits by `server_side_emit`.

        What it returns goes back to a server that asked for it.
        """
        self._server_events[event] = handler

    async def server_side_emit(self, event: str, *args: Any) -> None:
        """Send an event to the other servers themselves. Who is not there, or cut off just now, misses it.

        Raises:
            AdapterUnavailable: It was not sent.
            TypeError: The arguments cannot be said in JSON.
            TooLarge: They are too large.
        """
        await self.cluster.server_side_emit(event, *args)

    async def server_side_emit_with_ack(self, event: str, *args: Any, timeout: float | None = None) -> dict[str, Any]:
        """As `server_side_emit`; what each other server's handler returned, by the server's name.

        A server without a handler for it is one that could not do it.
        """
        return await self.cluster.server_side_emit_with_ack(event, *args, timeout=timeout)

    def get_fleet_connection_count(self) -> int:
        """Connections to all servers.

        Those of others are known to within a quarter of CLUSTER_LEASE; those of a server that was killed count until
        its lease has expired.
        """
        return self.cluster.connections

    async def get_fleet_user_connection_count(self, user_id: str | int, *, timeout: float | None = None) -> int:
        """A user's connections to all servers, as they are."""
        return await self.cluster.count_user(format_user_id(user_id), timeout)
