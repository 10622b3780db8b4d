"""Rooms on this server: who is in which."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import socketio

from tradecast.packets.room_names import Room, qualify_room, room_name, room_names


class LocalManager(socketio.AsyncManager):
    """python-socketio's manager with its storage replaced. Events go out by the hub (`delivery.hub`).

    Each client knows its rooms: python-socketio scans every room of the server when one client leaves
    (base_manager.py:138).
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # By namespace: sid to the engine's id, and back.
        self._clients: dict[str, dict[str, str]] = {}
        self._sids: dict[str, dict[str, str]] = {}
        # Clients that are not accepted yet.
        self._coming: set[str] = set()
        # Rooms of all namespaces, by their qualified names. Most rooms are a user's own with one member, a pair here,
        # which takes a third of a dict's memory.
        self._members: dict[str, dict[str, str] | tuple[str, str]] = {}
        # Tuples, which take a quarter of a set's memory: a client is in few rooms.
        self._rooms_of: dict[str, tuple[str, ...]] = {}

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
        """The client is accepted."""
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
            self._drop(room, sid)
            self._put(room, to, eio_sid)
        if rooms:
            self._rooms_of[to] = rooms
        if sid in self._coming:
            self._coming.discard(sid)
            self._coming.add(to)

    # -- rooms. A client's own room is not stored: its sid is looked up among the clients.

    def get_participants(self, namespace: str, room: Any) -> Iterator[tuple[str, str]]:
        if room is None:
            yield from list(self._find(namespace, None))
            return
        seen: dict[str, str] = {}
        for one in room_names(room):
            seen.update(self._find(namespace, one))
        yield from seen.items()

    def _find(self, namespace: str, room: str | None) -> Iterable[tuple[str, str]]:
        clients = self._clients.get(namespace, {})
        if room is None:
            return clients.items()
        members = self.members((qualify_room(namespace, room),))
        eio_sid = clients.get(room)
        if eio_sid is None:
            return members.items()
        return {**members, room: eio_sid}.items()

    def is_sid_room(self, namespace: str, room: str) -> bool:
        return room in self._clients.get(namespace, ())

    def basic_enter_room(self, sid: str, namespace: str, room: Room | None, eio_sid: str | None = None) -> None:
        if room is None or (name := room_name(room)) == sid:
            return
        found = self._clients.get(namespace, {}).get(sid)
        if found is None:
            raise ValueError("sid is not connected to requested namespace")
        if self.is_sid_room(namespace, name):
            raise ValueError("cannot enter a sid room")
        self.enter(qualify_room(namespace, name), sid, found)

    def basic_leave_room(self, sid: str, namespace: str, room: Room | None) -> None:
        if room is not None and (name := room_name(room)) != sid:
            self.leave(qualify_room(namespace, name), sid)

    def get_rooms(self, sid: str, namespace: str) -> list[str]:
        if self.eio_sid_from_sid(sid, namespace) is None:
            return []
        prefix = qualify_room(namespace, "")
        return [sid, *(room.removeprefix(prefix) for room in self._rooms_of.get(sid, ()))]

    # -- for the server above: rooms by their qualified names

    def enter(self, room: str, sid: str, eio_sid: str) -> None:
        """Put a client into a room."""
        rooms = self._rooms_of.get(sid, ())
        if room not in rooms:
            self._put(room, sid, eio_sid)
            self._rooms_of[sid] = (*rooms, room)

    def leave(self, room: str, sid: str) -> None:
        """Take a client out of a room; nothing happens if it is not in it."""
        self._drop(room, sid)
        rooms = self._rooms_of.get(sid, ())
        if room in rooms:
            self._rooms_of[sid] = tuple(one for one in rooms if one != room)

    def _put(self, room: str, sid: str, eio_sid: str) -> None:
        members = self._members.get(room)
        if members is None:
            self._members[room] = (sid, eio_sid)
        elif isinstance(members, tuple):
            self._members[room] = {members[0]: members[1], sid: eio_sid}
        else:
            members[sid] = eio_sid

    def _drop(self, room: str, sid: str) -> None:
        members = self._members.get(room)
        if isinstance(members, dict):
            if members.pop(sid, None) is not None and not members:
                del self._members[room]
        elif members is not None and members[0] == sid:
            del self._members[room]

    def members(self, rooms: Collection[str]) -> Mapping[str, str]:
        """Who is in any of these rooms here: sid to the engine's id. Not to be changed, and not to be kept."""
        if len(rooms) == 1:
            (room,) = rooms
            found = self._members.get(room, {})
            return found if isinstance(found, dict) else {found[0]: found[1]}
        merged: dict[str, str] = {}
        for room in rooms:
            found = self._members.get(room, {})
            if isinstance(found, dict):
                merged.update(found)
            else:
                merged[found[0]] = found[1]
        return merged

    def is_occupied(self, room: str) -> bool:
        """Whether anybody is in a room here."""
        return room in self._members

    def room_sizes(self) -> Iterator[tuple[str, int]]:
        """Each occupied room with its number of members on this server."""
        for room, members in self._members.items():
            yield room, len(members) if isinstance(members, dict) else 1
