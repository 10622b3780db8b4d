"""What a client gets when it joins a room: the position from which it gets live events, and the values before it.

Ids up to the position are the snapshot's, ids above it are live. The client's delivery is paused from before the read
until the snapshot is sent, so no value of the snapshot follows a newer one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, Protocol, get_args

from tradecast.delivery.broker import Broker, Snapshot
from tradecast.delivery.clients.client import Client
from tradecast.delivery.envelope import Envelope
from tradecast.delivery.errors import AdapterUnavailable
from tradecast.delivery.recovery import is_elsewhere
from tradecast.packets.exact import load_exact
from tradecast.packets.room_names import is_sid_room

# Of a room that was joined: something was there, nothing, or it could not be read.
SnapshotResult = Literal["hit", "miss", "failed"]
SNAPSHOT_RESULTS: tuple[SnapshotResult, ...] = get_args(SnapshotResult)
# What an event of the main namespace, without attachments, begins with.
_PLAIN_EVENT: Final = b"2["


class SnapshotObserver(Protocol):
    """Observes snapshots; the metrics do."""

    def snapshots_read(self, result: SnapshotResult, rooms: int) -> None:
        """So many rooms were joined, and something was there for the client, nothing, or it could not be read."""
        ...


class JoinListener(Protocol):
    """Is notified of joins, since earlier events are not for the client that joined (`Intake`)."""

    def note_join(self, room: str, position: int, /) -> None:
        """A client has joined a room at a position."""
        ...

    def note_retained(self, envelope: Envelope, /) -> None:
        """This is the newest of a latest event in a room that a client joins."""
        ...


class JoinPositions:
    """Sets the positions at which clients join rooms, and reads the snapshots of the rooms.

    Args:
        broker: Knows both.
        observer: Observes snapshots.
        listener: Learns the positions.
    """

    def __init__(self, broker: Broker, observer: SnapshotObserver, listener: JoinListener) -> None:
        self._broker = broker
        self._listener = listener
        self._observer = observer

    async def take(
        self,
        client: Client,
        rooms: Collection[str],
        sid_rooms: Collection[str] = (),
        *,
        exact: bool = False,
        recent: int = 0,
    ) -> Sequence[Envelope] | None:
        """Set where a client joins rooms, once this server receives their events; the recent counted events of these.

        None instead of these events where they are not known.

        Args:
            client: Who joins; its delivery is paused.
            rooms: What it joins.
            sid_rooms: Its own room, if it joins that.
            exact: Whether the position has to be that of Redis, and not only this server's.
            recent: How many of the newest counted events are asked for.

        Raises:
            AdapterUnavailable: Redis does not answer, and the position is not known without it.
        """
        broker = self._broker
        asks = await broker.wait_subscribed(rooms, sid_rooms) or exact
        if not asks and broker.has_nothing_of(rooms):
            self._take_own_positions(client, (*rooms, *sid_rooms))
            return self._report_nothing(rooms)
        snapshots = await self._read(dict.fromkeys(rooms, recent), is_needed=asks)
        joins = client.session.joins
        unread = [room for room in (*rooms, *sid_rooms) if snapshots is None or room not in snapshots]
        if unread:
            if asks:
                self._set_ahead(client, await broker.read_positions(unread))
                for room in unread:
                    self._listener.note_join(room, joins[room])
            else:
                self._take_own_positions(client, unread)
        if snapshots is None:
            return None
        counted: list[Envelope] = []
        self._set_ahead(client, {room: snapshot.position for room, snapshot in snapshots.items()})
        for room, snapshot in snapshots.items():
            self._listener.note_join(room, snapshot.position)
            if snapshot.latest or snapshot.recent:
                counted += self._give(client, room, snapshot, broker.positions[broker.partition_of(room)])
        return counted

    def _report_nothing(self, rooms: Collection[str]) -> Sequence[Envelope] | None:
        """Count rooms without a snapshot, or whose snapshot is unknown."""
        if not self._broker.has_snapshots:
            return None
        self._observer.snapshots_read("miss", len(rooms))
        return ()

    def _take_own_positions(self, client: Client, rooms: Iterable[str]) -> None:
        """Use the server's own positions: everything up to them has been received, and later events are buffered."""
        positions, joins = self._broker.positions, client.session.joins
        for room in rooms:
            joins[room] = position = positions[self._broker.partition_of(room)]
            self._listener.note_join(room, position)

    def _set_ahead(self, client: Client, found: Mapping[str, int]) -> None:
        """Set positions that this server may not have reached yet.

        What is published in several partitions must not come through one of them from before the client joined, and
        nothing that its snapshot has may follow it.
        """
        client.session.joins.update(found)
        broker = self._broker
        if broker.partitions > 1 and not client.awaiting_position:
            positions = broker.positions
            client.awaiting_position = any(at > positions[broker.partition_of(room)] for room, at in found.items())

    async def read_recent(self, room: str, count: int) -> Sequence[Envelope] | None:
        """The newest counted events of a room that somebody may be in, by rising id; None: they cannot be read now."""
        snapshots = await self._read({room: count}, is_needed=False)
        return snapshots[room].recent if snapshots is not None and room in snapshots else None

    async def _read(self, rooms: Mapping[str, int], *, is_needed: bool) -> Mapping[str, Snapshot] | None:
        """Read snapshots; None where there are none, or where they cannot be read and nothing else depends on it."""
        if not self._broker.has_snapshots:
            return None
        asked = {room: count for room, count in rooms.items() if not is_sid_room(room)}
        if not asked:
            return {}
        try:
            found = await self._broker.read_snapshots(asked)
        except AdapterUnavailable:
            self._observer.snapshots_read("failed", len(asked))
            if is_needed:
                raise
            return None
        hits = len([one for one in found.values() if one.latest or one.recent])
        if hits:
            self._observer.snapshots_read("hit", hits)
        if hits < len(found):
            self._observer.snapshots_read("miss", len(found) - hits)
        return found

    def _give(self, client: Client, room: str, snapshot: Snapshot, position: int) -> Sequence[Envelope]:
        latest = [(room, one) for one in snapshot.latest if one.state_key is not None]
        if latest:
            client.snapshot = [*(client.snapshot or ()), *latest]
            for _, one in latest:
                self._listener.note_retained(one)
        client.awaiting_position |= any(one.id > position for one in (*snapshot.latest, *snapshot.recent))
        joins = client.session.joins
        return [one for one in snapshot.recent if is_in_snapshot(one, room, client.session.sid, joins)]


def is_in_snapshot(envelope: Envelope, room: str, sid: str, joins: Mapping[str, int]) -> bool:
    """Whether a client that has joined a room gets this event as a part of what was there before.

    Who is in another of the event's rooms got it there, or something newer.
    """
    if sid in envelope.skip or any(other in joins for other in envelope.except_rooms):
        return False
    if is_elsewhere(envelope, joins):
        return False
    return next((one for one in envelope.rooms if one in joins), None) == room


def read_event(envelope: Envelope) -> dict[str, Any] | None:
    """An event as answers carry it: `{event, data}`; None for one that they cannot carry.

    These have attachments, another namespace, or not exactly one argument.
    """
    if envelope.attachments or not envelope.packet.startswith(_PLAIN_EVENT):
        return None
    try:
        event, *arguments = load_exact(envelope.packet[1:] + b"]")
    except ValueError:
        return None
    return {"event": event, "data": arguments[0]} if len(arguments) == 1 else None


def read_events(envelopes: Sequence[Envelope]) -> list[dict[str, Any]]:
    """Convert events for an answer, in the same order, without those that an answer cannot carry."""
    return [found for found in map(read_event, envelopes) if found is not None]
