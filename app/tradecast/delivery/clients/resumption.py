"""Resumes a client where its connection was lost: its rooms, and what it missed in them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from tradecast.delivery.broker import RecoveryState
from tradecast.delivery.clients.client import Client
from tradecast.delivery.clients.local_delivery import LocalDelivery
from tradecast.delivery.envelope import Envelope
from tradecast.delivery.errors import AdapterUnavailable
from tradecast.delivery.ids import MAX_ID, Offset, id_span, parse_offset
from tradecast.delivery.recovery import (
    MAX_SLOW_CLOSES,
    Request,
    Result,
    find_ahead,
    find_first_vector,
    find_starts,
    is_for_returning_client,
    is_future,
)
from tradecast.packets.rooms import LocalManager

# How many seconds a client's offset may be ahead of this server where nothing says whether it is true.
MAX_AHEAD = 60.0


class RecoveryLimiter(Protocol):
    """Limits how often clients may try to recover."""

    def may_recover(self, user: str, pid: str, *, blind: bool) -> bool:
        """Count an attempt. Returns False if there were too many.

        Args:
            user: Who it is.
            pid: Its private id.
            blind: Whether it does not say what it has seen, so that all is replayed since it joined its rooms.
        """
        ...


class QuotaReservation(Protocol):
    """Reserves the quotas for what a client resumes, before it does."""

    async def __call__(self, connection_id: str, rooms: Collection[str], /) -> bool:
        """Reserve them. Returns False if the user's quotas are exceeded.

        Args:
            connection_id: The connection's id, as before.
            rooms: All rooms it was in, those included that its user may not be in any more.
        """
        ...


class Displacer(Protocol):
    """Ends the connection of a client that has resumed with another one: the hub."""

    async def displace(self, sid: str, client: Client) -> None:
        """End the connection of a client that has resumed with another one."""
        ...

    def forget(self, sid: str, *, final: bool) -> None:
        """Forget a client that has left this server."""
        ...


@dataclass(frozen=True, slots=True)
class Resumed:
    """A client that was resumed.

    Attributes:
        sid: Its Socket.IO id, as before.
        connection_id: Its id in logs and quotas, as before.
        rooms: The rooms it is in.
    """

    sid: str
    connection_id: str
    rooms: frozenset[str]


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a client asks for.

    Attributes:
        sid: The id that it has been given for now.
        eio_sid: Its engine's id.
        request: What it asks for.
        user: Who it is.
        permitted: Whether that user may be in a room, now.
        reserve_quota: Counts the quotas of what is resumed.
    """

    sid: str
    eio_sid: str
    request: Request
    user: str
    permitted: Callable[[str], bool]
    reserve_quota: QuotaReservation


class Resumption:
    """Resumes clients.

    Args:
        delivery: Buffers the client's events meanwhile.
        manager: Rooms on this server.
        displacer: Ends the connection that the client had before.
        limiter: Bounds the tries.
    """

    def __init__(
        self, delivery: LocalDelivery, manager: LocalManager, displacer: Displacer, limiter: RecoveryLimiter
    ) -> None:
        self._broker = delivery.broker
        self._delivery = delivery
        self._clients = delivery.clients
        self._manager = manager
        self._displacer = displacer
        self._limiter = limiter

    async def run(self, attempt: Attempt) -> Resumed | Result:
        """Resume a client. Returns what was resumed, or the reason why it has to start a new session.

        Raises:
            AdapterUnavailable: Redis did not answer in time, or the history has changed meanwhile.
        """
        broker, request = self._broker, attempt.request
        pid = request.valid_pid()
        if pid is None:
            return "malformed"
        # While Redis is away nothing is read, and clients have to come again and again until it is back.
        is_away = bool(broker.unreachable_for)
        if not is_away and not self._limiter.may_recover(attempt.user, pid, blind=request.offset is None):
            return "limited"
        if broker.epoch is None:
            raise AdapterUnavailable("Redis has not answered yet")
        await self._end_own_connection(pid)
        session = await broker.claim(pid, attempt.user)
        if session is None:
            return "unknown"
        if session.slow_closes >= MAX_SLOW_CLOSES:
            return "slow"
        epoch = broker.epoch
        # A join that was under way when the connection was lost: nobody knows of it, and it has no position yet.
        for room in [room for room, position in session.joins.items() if position == MAX_ID]:
            del session.joins[room]
        joined = [room for room in session.joins if room != session.sid]
        rooms = [room for room in joined if attempt.permitted(room)]
        if not await attempt.reserve_quota(session.connection_id, joined):
            return "quota"
        said = offset = None
        if request.offset is not None:
            said = parse_offset(request.offset, broker.partitions)
            if said is None:
                return "malformed"
            offset = await self._translate(said, rooms)
            if offset is None:
                return "foreign_epoch"
        client = await self._enter_rooms(attempt, session, rooms)
        own_room = client.own_room
        is_new_room = own_room not in session.joins
        if is_new_room:  # a server of a version without rooms of clients has stored it
            session.joins |= await broker.read_positions([own_room])
        of = {room: broker.partition_of(room) for room in (*rooms, own_room)}
        begin = find_starts(session, offset, of, of)
        retained = await self._read_retained(rooms)
        replay = await broker.read(begin)
        if broker.epoch != epoch or self._clients.by_sid.get(attempt.sid) is not client:
            raise AdapterUnavailable("the history has changed, or the client is gone")
        future = is_future(offset, replay.positions)
        # Of what it saw and Redis lost, the ids are gone: what was published again then it may have.
        ahead = find_ahead(said, offset)
        doubtful = bool(ahead) and any(one.again and one.state_key is None for one in replay.envelopes)
        if future or doubtful or replay.broken:
            self._displacer.forget(attempt.sid, final=False)
            return "future" if future else "gap"
        for room in [room for room in session.joins if room not in of]:
            del session.joins[room]
            await broker.save_leave(session, room)
        if is_new_room:
            await broker.save_join(session, own_room)
        client.replay = deque(
            one
            for one in replay.envelopes
            if is_for_returning_client(
                *(one, session.sid, begin, session.joins), has_newer=broker.partition_of(one.rooms[0]) in ahead
            )
        )
        # What is older than the history may still be on its way to the client, as a part of what it got at a join.
        replayed = {one.state_key for one in replay.envelopes}
        client.snapshot = [
            (room, one)
            for room, one in retained
            if one.state_key is not None and one.state_key not in replayed and of[room] not in ahead
        ]
        seen = offset.ids if offset is not None else (0,) * broker.partitions
        client.replayed_until = tuple(
            position if position is not None else min(has, here + id_span(MAX_AHEAD))
            for position, has, here in zip(replay.positions, seen, broker.positions, strict=True)
        )
        client.replay_begin = find_first_vector(begin, offset, replay.positions, of)
        for one in (*client.replay, *(one for _, one in client.snapshot)):
            self._delivery.intake.note_retained(one)
        client.stored = True
        before = self._clients.by_sid.get(session.sid)
        if before is not None and session.sid != attempt.sid:  # its old connection is here, and was not yet ended
            await self._displacer.displace(session.sid, before)
        self._clients.rename(attempt.sid, session.sid)
        self._clients.by_pid[pid] = session.sid
        return Resumed(session.sid, session.connection_id, frozenset(rooms))

    async def _read_retained(self, rooms: Collection[str]) -> Sequence[tuple[str, Envelope]]:
        """Read the newest of each latest event of some rooms, each with its room. Raises AdapterUnavailable."""
        if not rooms or not self._broker.has_snapshots:
            return ()
        found = await self._broker.read_snapshots(dict.fromkeys(rooms, 0))
        return [(room, one) for room, snapshot in found.items() for one in snapshot.latest]

    async def _end_own_connection(self, pid: str) -> None:
        """End this server's own dead connection of a client first, before the client is resumed."""
        sid = self._clients.by_pid.get(pid)
        if sid is not None:
            client = self._clients.by_sid[sid]
            client.stored = False
            await self._displacer.displace(sid, client)

    async def _translate(self, offset: Offset, rooms: Collection[str]) -> Offset | None:
        found = self._broker.translate_offset(offset)
        if found is None:  # perhaps of an epoch that another server has seen first
            await self._broker.read_positions(rooms)
            found = self._broker.translate_offset(offset)
        return found

    async def _enter_rooms(self, attempt: Attempt, session: RecoveryState, rooms: Collection[str]) -> Client:
        client = Client(attempt.eio_sid, session, session.sid, no_recovery=False)
        self._clients.add(attempt.sid, client)
        if attempt.request.deltas:
            self._delivery.deltas.add(client)
        self._delivery.pause_delivery(attempt.sid, client)
        self._broker.subscribe_sid(client.own_room)
        for room in rooms:
            self._manager.enter(room, attempt.sid, attempt.eio_sid)
            self._broker.subscribe(room)
            if self._delivery.notices is not None:
                self._delivery.notices.watch(room)
        await self._broker.wait_subscribed(rooms, [client.own_room])
        return client
