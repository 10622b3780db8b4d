"""Rooms on this server: who is in which, and emitting to them without a task per recipient."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import socketio

from tradecast.packets.codec import arguments_of, encode_event

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
        # By namespace: sid to the engine's id, and back.
        self._clients: dict[str, dict[str, str]] = {}
        self._sids: dict[str, dict[str, str]] = {}
        # Clients that are not let in yet.
        self._coming: set[str] = set()
        # Rooms of all namespaces, by their qualified names.
        self._members: dict[str, dict[str, str]] = {}
        # Tuples, which take a quarter of a set's memory: a client is in few rooms.
        self._rooms_of: dict[str, tuple[str, ...]] = {}

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
        message = encode_event(event, arguments_of(data), namespace=namespace)
        skip = set([skip_sid] if isinstance(skip_sid, str) else skip_sid or ())
        recipients: Iterable[str]
        if skip:
            recipients = [eio for sid, eio in self.get_participants(namespace, target) if sid not in skip]
        else:
            recipients = [eio for _, eio in self.get_participants(namespace, target)]
        self._on_emitted(event, self.server.eio.deliver(recipients, message))

    # -- clients come and go

    def begin_connect(self, eio_sid: str, namespace: str) -> str:
        """A new sid for a client that asks to be let into a namespace.

        Raises:
            ValueError: Its transport is in the namespace already.
        """
        sids = self._sids.setdefault(namespace, {})
        if eio_sid in sids:
            raise ValueError("the transport is in the namespace already")
        sid: str = self.server.eio.generate_id()
        self._clients.setdefault(namespace, {})[sid] = eio_sid
        sids[eio_sid] = sid
        self._coming.add(sid)
        return sid

    def finish_connect(self, sid: str, namespace: str) -> None:
        """The client is let in."""
        self._coming.discard(sid)

    async def pre_connect(self, eio_sid: str, namespace: str) -> str | None:
        try:
            return self.begin_connect(eio_sid, namespace)
        except ValueError:
            return None

    async def connect(self, sid: str, namespace: str) -> str:
        if not self.is_pre_connected(sid, namespace):
            sid = await self.pre_connect(sid, namespace) or sid
        self.finish_connect(sid, namespace)
        return sid

    def is_pre_connected(self, sid: str, namespace: str) -> bool:
        return sid in self._coming

    def is_connected(self, sid: str, namespace: str) -> bool:
        return sid in self._clients.get(namespace, ()) and sid not in self._coming

    def pre_disconnect(self, sid: str, namespace: str) -> str | None:
        return self.eio_sid_from_sid(sid, namespace)

    def basic_disconnect(self, sid: str, namespace: str, **options: Any) -> None:
        for room in self._rooms_of.pop(sid, ()):
            self._drop(room, sid)
        eio_sid = self._clients.get(namespace, {}).pop(sid, None)
        if eio_sid is not None:
            self._sids[namespace].pop(eio_sid, None)
        self._coming.discard(sid)
        self.callbacks.pop(sid, None)

    def get_namespaces(self) -> Collection[str]:
        return [namespace for namespace, clients in self._clients.items() if clients]

    def namespaces_of(self, eio_sid: str) -> list[str]:
        """The namespaces that a transport is in, or asks to be let into."""
        return [namespace for namespace, sids in self._sids.items() if eio_sid in sids]

    def sid_from_eio_sid(self, eio_sid: str, namespace: str) -> str | None:
        sids = self._sids.get(namespace)
        return None if sids is None else sids.get(eio_sid)

    def eio_sid_from_sid(self, sid: str, namespace: str) -> str | None:
        clients = self._clients.get(namespace)
        return None if clients is None else clients.get(sid)

    def rename(self, sid: str, to: str, namespace: str) -> None:
        """Give a client another sid, in all its rooms."""
        clients = self._clients[namespace]
        clients[to] = eio_sid = clients.pop(sid)
        self._sids[namespace][eio_sid] = to
        rooms = self._rooms_of.pop(sid, ())
        for room in rooms:
            members = self._members[room]
            members[to] = members.pop(sid)
        if rooms:
            self._rooms_of[to] = rooms
        if sid in self._coming:
            self._coming.discard(sid)
            self._coming.add(to)

    # -- rooms. A client's own room is not stored: its sid is looked up among the clients.

    def get_participants(self, namespace: str, room: Any) -> Iterator[tuple[str, str]]:
        if room is None or isinstance(room, str):
            yield from list(self._find(namespace, room))
            return
        seen: dict[str, str] = {}
        for one in room:
            seen.update(self._find(namespace, one))
        yield from seen.items()

    def _find(self, namespace: str, room: str | None) -> Iterable[tuple[str, str]]:
        clients = self._clients.get(namespace, {})
        if room is None:
            return clients.items()
        members = self._members.get(qualify(namespace, room))
        if members is not None:
            return members.items()
        eio_sid = clients.get(room)
        return [(room, eio_sid)] if eio_sid is not None else []

    def is_sid_room(self, namespace: str, room: str) -> bool:
        return room in self._clients.get(namespace, ())

    def basic_enter_room(self, sid: str, namespace: str, room: str | None, eio_sid: str | None = None) -> None:
        if room is None or room == sid:
            return
        found = self._clients.get(namespace, {}).get(sid)
        if found is None:
            raise ValueError("sid is not connected to requested namespace")
        if self.is_sid_room(namespace, room):
            raise ValueError("cannot enter a sid room")
        self.enter(qualify(namespace, room), sid, found)

    def basic_leave_room(self, sid: str, namespace: str, room: str | None) -> None:
        if room is not None and room != sid:
            self.leave(qualify(namespace, room), sid)

    def get_rooms(self, sid: str, namespace: str) -> list[str]:
        if self.eio_sid_from_sid(sid, namespace) is None:
            return []
        prefix = qualify(namespace, "")
        return [sid, *(room.removeprefix(prefix) for room in self._rooms_of.get(sid, ()))]

    # -- for the server above: rooms by their qualified names

    def enter(self, room: str, sid: str, eio_sid: str) -> None:
        """Put a client into a room."""
        members = self._members.setdefault(room, {})
        if sid not in members:
            members[sid] = eio_sid
            self._rooms_of[sid] = (*self._rooms_of.get(sid, ()), room)

    def leave(self, room: str, sid: str) -> None:
        """Take a client out of a room; nothing happens if it is not in it."""
        self._drop(room, sid)
        rooms = self._rooms_of.get(sid, ())
        if room in rooms:
            self._rooms_of[sid] = tuple(one for one in rooms if one != room)

    def _drop(self, room: str, sid: str) -> None:
        members = self._members.get(room)
        if members is not None and members.pop(sid, None) is not None and not members:
            del self._members[room]

    def rooms_of(self, sid: str) -> frozenset[str]:
        """The rooms a client is in, its own left out."""
        return frozenset(self._rooms_of.get(sid, ()))

    def members(self, rooms: Collection[str]) -> Mapping[str, str]:
        """Who is in any of these rooms here: sid to the engine's id. Not to be changed, and not to be kept."""
        if len(rooms) == 1:
            (room,) = rooms
            return self._members.get(room) or {}
        merged: dict[str, str] = {}
        for room in rooms:
            merged.update(self._members.get(room) or {})
        return merged

    def room_sizes(self) -> Iterator[tuple[str, int]]:
        """Each occupied room with its number of members on this server."""
        for room, members in self._members.items():
            yield room, len(members)


def qualify(namespace: str, room: str) -> str:
    """A room's name among those of all namespaces. Rooms of the main one have their own name, as ever."""
    return room if namespace == "/" else f"{namespace},{room}"
