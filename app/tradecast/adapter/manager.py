"""Rooms on this server: who is in which, and emitting to them without a task per recipient."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import socketio
from bidict import ValueDuplicationError, bidict

from tradecast.adapter.codec import encode_event

Emitted = Callable[[str, int], None]


class LocalManager(socketio.AsyncManager):
    """python-socketio's manager with its storage and its local emit replaced.

    An event is encoded once and handed to the engine with the list of recipients; python-socketio makes an asyncio
    task for each. And each client knows its rooms: python-socketio scans every room of the server when one client
    leaves (base_manager.py:138).

    Args:
        on_emitted: Told the event's name and the number of local recipients of each emit.
    """

    def __init__(self, on_emitted: Emitted = lambda event, recipients: None, **options: Any) -> None:
        super().__init__(**options)
        self._on_emitted = on_emitted
        self._rooms_of: dict[str, set[str]] = {}

    async def emit(
        self,
        event: str,
        data: Any,
        namespace: str | None = None,
        room: str | Collection[str] | None = None,
        skip_sid: str | list[str] | None = None,
        callback: Any = None,
        to: str | None = None,
        **options: Any,
    ) -> None:
        """Send an event to a room, several, one client, or all (None). A recipient in several rooms gets it once."""
        namespace = namespace or "/"
        target = to or room
        if callback:
            await super().emit(
                event, data, namespace=namespace, room=target, skip_sid=skip_sid, callback=callback, **options
            )
            return
        arguments = list(data) if isinstance(data, tuple) else [] if data is None else [data]
        message = encode_event(event, arguments, namespace=namespace)
        skip = set([skip_sid] if isinstance(skip_sid, str) else skip_sid or ())
        recipients: Iterable[str]
        if skip:
            recipients = [eio for sid, eio in self.get_participants(namespace, target) if sid not in skip]
        else:
            recipients = [eio for _, eio in self.get_participants(namespace, target)]
        self._on_emitted(event, self.server.eio.deliver(recipients, message))

    # -- connecting and disconnecting, with sets where python-socketio has lists that it searches for each event

    async def pre_connect(self, eio_sid: str, namespace: str) -> str | None:
        sid: str = self.server.eio.generate_id()
        try:
            self.basic_enter_room(sid, namespace, None, eio_sid=eio_sid)
        except ValueDuplicationError:
            return None  # this transport is in the namespace already
        self.pending_connect.setdefault(namespace, set()).add(sid)
        return sid

    async def connect(self, sid: str, namespace: str) -> str:
        if not self.is_pre_connected(sid, namespace):
            sid = await self.pre_connect(sid, namespace) or sid
        self._settle(self.pending_connect, sid, namespace)
        return sid

    def pre_disconnect(self, sid: str, namespace: str) -> str | None:
        self.pending_disconnect.setdefault(namespace, set()).add(sid)
        return self.eio_sid_from_sid(sid, namespace)

    @staticmethod
    def _settle(pending: dict[str, set[str]], sid: str, namespace: str) -> None:
        sids = pending.get(namespace)
        if sids is not None:
            sids.discard(sid)
            if not sids:
                del pending[namespace]

    # -- storage: rooms[namespace][None] is the clients, sid <-> eio_sid; other rooms are plain dicts. A client's own
    #    room is not stored: its sid is looked up among the clients.

    def get_participants(self, namespace: str, room: Any) -> Iterator[tuple[str, str]]:
        spaces = self.rooms.get(namespace)
        if not spaces:
            return
        if room is None or isinstance(room, str):
            yield from list(self._members(spaces, room))
            return
        seen: dict[str, str] = {}
        for one in room:
            seen.update(self._members(spaces, one))
        yield from seen.items()

    @staticmethod
    def _members(spaces: Any, room: str | None) -> Iterable[tuple[str, str]]:
        members = spaces.get(room)
        if members is not None:
            found: Iterable[tuple[str, str]] = members.items()
            return found
        eio_sid = spaces[None].get(room) if None in spaces else None
        return [(str(room), eio_sid)] if eio_sid is not None else []

    def basic_enter_room(self, sid: str, namespace: str, room: str | None, eio_sid: str | None = None) -> None:
        if room == sid:
            return
        if room is None:
            clients = self.rooms.setdefault(namespace, {}).setdefault(None, bidict())
            clients[sid] = eio_sid
            return
        spaces = self.rooms.get(namespace)
        if spaces is None or sid not in spaces[None]:
            raise ValueError("sid is not connected to requested namespace")
        if self.is_sid_room(namespace, room):
            raise ValueError("cannot enter a sid room")
        spaces.setdefault(room, {})[sid] = spaces[None][sid]
        self._rooms_of.setdefault(sid, set()).add(room)

    def basic_leave_room(self, sid: str, namespace: str, room: str | None) -> None:
        spaces = self.rooms.get(namespace)
        if spaces is None or room == sid:
            return
        members = spaces.get(room)
        if members is not None and members.pop(sid, None) is not None and not members:
            del spaces[room]
        if room is not None and sid in self._rooms_of:
            self._rooms_of[sid].discard(room)
        if not spaces:
            del self.rooms[namespace]

    def basic_disconnect(self, sid: str, namespace: str, **options: Any) -> None:
        for room in list(self._rooms_of.get(sid, ())):
            self.basic_leave_room(sid, namespace, room)
        self._rooms_of.pop(sid, None)
        self.basic_leave_room(sid, namespace, None)
        self.callbacks.pop(sid, None)
        self._settle(self.pending_connect, sid, namespace)
        self._settle(self.pending_disconnect, sid, namespace)

    def get_rooms(self, sid: str, namespace: str) -> list[str]:
        return [sid, *self._rooms_of.get(sid, ())] if self.eio_sid_from_sid(sid, namespace) else []

    def eio_sid_from_sid(self, sid: str, namespace: str) -> str | None:
        clients = self.rooms.get(namespace, {}).get(None)
        return clients.get(sid) if clients else None

    # -- for the server above

    def rooms_of(self, sid: str) -> frozenset[str]:
        """The rooms a client is in, its own left out."""
        return frozenset(self._rooms_of.get(sid, ()))

    def members(self, rooms: Collection[str], namespace: str = "/") -> Mapping[str, str]:
        """Who is in any of these rooms here: sid to the engine's id. Not to be changed, and not to be kept."""
        spaces = self.rooms.get(namespace)
        if not spaces:
            return {}
        if len(rooms) == 1:
            (room,) = rooms
            found: Mapping[str, str] = spaces.get(room) or {}
            return found
        merged: dict[str, str] = {}
        for room in rooms:
            merged.update(spaces.get(room) or {})
        return merged

    def rename(self, sid: str, to: str, namespace: str) -> None:
        """Give a client another sid, in all its rooms."""
        spaces = self.rooms[namespace]
        eio_sid = spaces[None].pop(sid)
        spaces[None][to] = eio_sid
        rooms = self._rooms_of.pop(sid, set())
        for room in rooms:
            spaces[room][to] = spaces[room].pop(sid)
        if rooms:
            self._rooms_of[to] = rooms
        pending = self.pending_connect.get(namespace)
        if pending is not None and sid in pending:
            pending.discard(sid)
            pending.add(to)

    def room_sizes(self, namespace: str = "/") -> Iterator[tuple[str, int]]:
        """Each occupied room with its number of members on this server."""
        for room, members in self.rooms.get(namespace, {}).items():
            if room is not None:
                yield room, len(members)
