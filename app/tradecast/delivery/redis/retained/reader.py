"""Reads what a partition's rooms have for those who join them: position and retained values, of the same instant."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from tradecast.delivery.broker import Snapshot
from tradecast.delivery.envelope import Envelope, Malformed, decode_envelope, read_origin
from tradecast.delivery.redis.connections.endpoints import PartitionEndpoint
from tradecast.delivery.redis.connections.script_connection import Argument
from tradecast.delivery.redis.connections.script_queue import ScriptQueue, SkipObserver
from tradecast.delivery.redis.cursor import PartitionCursor
from tradecast.delivery.redis.retained.lua import READ_SNAPSHOT
from tradecast.delivery.retention import MAX_KEYS, Retention
from tradecast.packets.room_names import is_sid_room
from tradecast.redis_client.script import Script

# Rooms that are read in one call.
ROOMS_PER_READ: Final = 50
# Of a room, no values: it is a client's own.
NO_VALUES: Final = -1


class PositionTaker(Protocol):
    """Takes over what `READ_POSITION` has answered: the partition."""

    def take_position(self, epoch: bytes, last: bytes, lineage: bytes, since: bytes) -> int:
        """Apply it. Returns the last id published."""
        ...


class SnapshotReader:
    """Reads snapshots. Clients that join while a read waits to be sent share it: a thousand joins cost a few reads.

    Args:
        endpoint: Where the partition is.
        queue: Runs the script.
        retention: How long values are there.
        cursor: How far the history is known here.
        positions: Takes over what is read of the position.
        observer: Observes values that are not understood.
    """

    def __init__(
        self,
        endpoint: PartitionEndpoint,
        queue: ScriptQueue,
        retention: Retention,
        cursor: PartitionCursor,
        positions: PositionTaker,
        observer: SkipObserver,
    ) -> None:
        self.prefix = endpoint.prefix
        self.cursor = cursor
        self.names_all_keys = endpoint.commands.names_all_keys
        retain = retention.retain
        self.times = (round(retention.seconds * 1000), round(retain.seconds * 1000))
        self.names = f"\t{chr(9).join(retain.recent)}\t"
        self._queue = queue
        self._positions = positions
        self._observer = observer
        self._waiting: _Read | None = None

    async def read(self, rooms: Mapping[str, int]) -> Mapping[str, Snapshot]:
        """Read the snapshots of rooms, each with its newest durable events. Raises AdapterUnavailable."""
        found: dict[str, Snapshot] = {}
        left = dict(rooms)
        while left:
            # A position that is taken later is as good: the values are of its instant.
            some = dict(list(left.items())[:ROOMS_PER_READ])
            for room in some:
                del left[room]
            found |= await self._read(some)
        return found

    async def _read(self, rooms: Mapping[str, int]) -> Mapping[str, Snapshot]:
        read = self._waiting
        if read is None or not read.takes(rooms):
            read = self._waiting = _Read(self)
            read.add(rooms)
            read.answer = asyncio.ensure_future(self._run(read))
        else:
            read.add(rooms)
        # A client that goes must not end what others wait for.
        snapshots = await asyncio.shield(read.answer)
        return {room: snapshots[room] for room in rooms}

    async def _run(self, read: _Read) -> Mapping[str, Snapshot]:
        try:
            epoch, last, lineage, since, *answers = await self._queue.run(read)
        finally:
            if self._waiting is read:
                self._waiting = None
        position = self._positions.take_position(epoch, last, lineage, since)
        found = {}
        for number, (room, count) in enumerate(read.rooms.items()):
            latest, retained, counted = answers[3 * number : 3 * number + 3]
            found[room] = self._decode(room, max(count, 0), position, latest, retained, counted)
        return found

    def _decode(
        self,
        room: str,
        count: int,
        position: int,
        latest: Sequence[bytes],
        retained: Sequence[bytes],
        counted: Sequence[bytes],
    ) -> Snapshot:
        newest: dict[bytes, tuple[int, bytes]] = {}
        events = {int(event_id): body for event_id, body in _pair_items(counted)}
        for name, value in _pair_items(retained):
            if name[:1] == b"c" and name[1:].isdigit():
                events[int(name[1:])] = value
        values = [(name[1:], value) for name, value in _pair_items(retained) if name[:1] == b"l"]
        for name, value in (*values, *_pair_items(latest)):
            text, _, body = value.partition(b" ")
            if text.isdigit() and int(text) >= newest.get(name, (0, b""))[0]:
                newest[name] = (int(text), body)
        return Snapshot(
            position,
            self._decode_all(room, sorted(newest.values())[-MAX_KEYS:]),
            self._decode_all(room, sorted(events.items())[-count:]) if count else (),
        )

    def _decode_all(self, room: str, bodies: Sequence[tuple[int, bytes]]) -> list[Envelope]:
        found = []
        for event_id, body in bodies:
            try:
                origin, begin = read_origin(body)
                found.append(decode_envelope(body[begin:], room, event_id, origin))
            except Malformed:
                self._observer.message_skipped("malformed entry")
        return found


class _Read:
    """`ScriptRequest` that reads the snapshots of rooms, and takes more of them until it is sent."""

    answer: asyncio.Future[Mapping[str, Snapshot]]

    def __init__(self, reader: SnapshotReader) -> None:
        self._reader = reader
        self._is_sent = False
        self.rooms: dict[str, int] = {}

    def takes(self, rooms: Mapping[str, int]) -> bool:
        """Whether these rooms can be added."""
        return not self._is_sent and len(self.rooms.keys() | rooms.keys()) <= ROOMS_PER_READ

    def add(self, rooms: Mapping[str, int]) -> None:
        for room, count in rooms.items():
            self.rooms[room] = max(count, self.rooms.get(room, count))

    def encode(self, instance: str) -> tuple[Script, Sequence[Argument]]:
        self._is_sent = True
        reader = self._reader
        prefix = reader.prefix
        keys = [f"{prefix}clock", f"{prefix}n"]
        arguments: list[Any] = [*reader.cursor.script_arguments(instance), prefix, *reader.times, reader.names]
        for room, count in self.rooms.items():
            is_client = is_sid_room(room)
            arguments += (room, NO_VALUES if is_client else count)
            if reader.names_all_keys and not is_client:
                marks = ("l:", "k:", "h:") if count else ("l:", "k:")
                keys += [f"{prefix}{mark}{room}" for mark in marks]
        return READ_SNAPSHOT, [len(keys), *keys, *arguments]


def _pair_items(flat: Sequence[bytes]) -> Sequence[tuple[bytes, bytes]]:
    return list(zip(flat[::2], flat[1::2], strict=True))
