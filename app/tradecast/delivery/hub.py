"""The clients of this server between the broker and the engine: rooms, delivery, and what is kept for recovery."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from tradecast.background.stepping import Done, step
from tradecast.background.tasks import TaskSet
from tradecast.causes import SOME_REDIS, explain
from tradecast.delivery.broker import Broker, RecoveryState
from tradecast.delivery.client import Client, Vector
from tradecast.delivery.envelope import COUNTED, Envelope, Kind, encode_envelope
from tradecast.delivery.errors import AdapterUnavailable, TryAgain
from tradecast.delivery.ids import MAX_ID, parse_offset, seconds, write_offset
from tradecast.delivery.recovery import (
    Request,
    Result,
    concerns,
    first_vector,
    is_ahead,
    is_elsewhere,
    is_future,
    new_pid,
    starts,
)
from tradecast.engine import Message
from tradecast.observability.throttled_log import ThrottledLog
from tradecast.packets.rooms import Emitted, LocalManager, qualify

NAMESPACE = "/"
SWEEP_EVERY = 1.0
TOUCHED_AT_ONCE = 500
GOODBYE = 2.0
# How many seconds a client's offset may be ahead of this server where nothing says whether it is true.
MAX_AHEAD = 60.0
log = structlog.stdlib.get_logger("tradecast.adapter")


class Deliver(Protocol):
    """The engine's call that takes encoded bytes and their recipients."""

    def __call__(self, eio_sids: Iterable[str], message: Message, /) -> int: ...


class MayRecover(Protocol):
    """Says whether a client may ask to go on where it was, or has asked too often."""

    def __call__(self, user: str, pid: str, *, blind: bool) -> bool:
        """Count one try.

        Args:
            user: Who it is.
            pid: Its private id.
            blind: Whether it does not say what it has seen, so that all is replayed since it joined its rooms.
        """
        ...


class TakeUp(Protocol):
    """Counts what a client takes up again, before it does."""

    async def __call__(self, connection_id: str, rooms: Collection[str], /) -> bool:
        """Whether it may: False if the user has too much already.

        Args:
            connection_id: The connection's id, as before.
            rooms: All rooms it was in, those included that its user may not be in any more.
        """
        ...


async def _take_up_anything(connection_id: str, rooms: Collection[str]) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Resumed:
    """A session that goes on.

    Attributes:
        sid: Its Socket.IO id, as before.
        connection_id: Its id in logs and quotas, as before.
        rooms: The rooms it is in.
    """

    sid: str
    connection_id: str
    rooms: frozenset[str]


class Hub:
    """Brings events to the clients of this server, each once and in order, and lets them go on after a lost connection.

    Args:
        broker: Carries events and sessions between servers.
        manager: Rooms on this server.
        deliver: The engine's.
        recovery: Whether clients can recover at all.
        window: Seconds within which a client may come back.
        refresh: Seconds between refreshes of what is kept.
        held_limit: Events that may be held back from one client; beyond it is cut off.
        kind_of: Of an event by its name, where the emitter does not say.
        hang_up: Closes a client's transport, so that it comes back.
        on_displaced: Ends a client here that goes on somewhere else.
        on_emitted: Told the event's name and the number of local recipients.
        on_recovery: Told the result of each try to recover.
        on_gap: Told how many clients have missed events for good.
        may_recover: Bounds the tries to recover.
        lines: Writes what clients can cause.
    """

    def __init__(
        self,
        broker: Broker,
        manager: LocalManager,
        deliver: Deliver,
        *,
        recovery: bool,
        window: float,
        refresh: float,
        held_limit: int,
        kind_of: Callable[[str], Kind],
        hang_up: Callable[[str], None],
        on_displaced: Callable[[str], Awaitable[None]],
        on_emitted: Emitted = lambda event, recipients: None,
        on_recovery: Callable[[Result], None] = lambda result: None,
        on_gap: Callable[[int], None] = lambda clients: None,
        may_recover: MayRecover = lambda user, pid, *, blind: True,
        lines: ThrottledLog | None = None,
    ) -> None:
        self.broker = broker
        self._manager = manager
        self._deliver = deliver
        self._recovery = recovery
        self._window = window
        self._refresh = refresh
        self._held_limit = held_limit
        self._kind_of = kind_of
        self._hang_up = hang_up
        self._on_displaced = on_displaced
        self._on_emitted = on_emitted
        self._on_recovery = on_recovery
        self._on_gap = on_gap
        self._may_recover = may_recover
        self._lines = lines or ThrottledLog()
        self._clients: dict[str, Client] = {}
        self._by_pid: dict[str, str] = {}
        # Of clients that are not known by the name of their own room: in other namespaces, and while they recover.
        self._by_own: dict[str, str] = {}
        # Clients from whom events are held back, or who got some by replay that may still come.
        self._special: dict[str, Client] = {}
        self._plain = 0
        self._tasks = TaskSet()
        self._loops = TaskSet()

    async def start(self) -> None:
        await self.broker.start(self)
        self._loops.spawn(self._sweep(), name="hub sweep")
        self._loops.spawn(self._touch_all(), name="hub refresh")

    async def close(self) -> None:
        """Let go. What is kept of clients stays, so that they go on elsewhere."""
        await self._loops.close()
        await self._tasks.wait(GOODBYE)  # the last updates of clients' recovery states
        await self._tasks.close()
        await self.broker.close()

    # -- events out

    async def emit(
        self,
        event: str,
        arguments: Sequence[Any],
        rooms: Sequence[str],
        *,
        kind: Kind | None = None,
        namespace: str = NAMESPACE,
        except_rooms: Sequence[str] = (),
        skip: Sequence[str] = (),
    ) -> None:
        """Send an event to the members of some rooms, on every server; who is in several gets it once. A sid is a room.

        Rooms of other namespaces than the main one go by their qualified names.

        Raises:
            PublishUncertain: It may have been published, or not.
            AdapterUnavailable: It was not published.
            TypeError: The arguments cannot be said in JSON.
        """
        envelope = encode_envelope(
            event,
            arguments,
            rooms,
            kind or self._kind_of(event),
            namespace=namespace,
            except_rooms=except_rooms,
            skip=skip,
        )
        await self.broker.publish(envelope)

    def position(self, sid: str) -> str | None:
        """The offset of what a client has got so far; None for one that wants none."""
        client = self._clients.get(sid)
        if client is None or client.plain:
            return None
        vector = tuple(self.broker.positions)
        if client.held:  # not beyond what is held back
            first, vector = client.held[0]
            partition = self.broker.partition_of(first.rooms[0])
            vector = (*vector[:partition], first.id - 1, *vector[partition + 1 :])
        vector = client.begin if client.replay else client.with_replay(vector)
        return write_offset(self.broker.epoch or "0", vector)

    # -- events in: `Listener`

    def deliver(self, envelope: Envelope) -> None:
        members = self._members(envelope.rooms)
        if not members:
            return
        if envelope.skip or envelope.except_rooms:
            excluded = {*envelope.skip, *self._manager.members(envelope.except_rooms)}
            members = {sid: eio_sid for sid, eio_sid in members.items() if sid not in excluded}
        if envelope.elsewhere:
            members = {sid: eio_sid for sid, eio_sid in members.items() if not self._is_elsewhere(sid, envelope)}
        wants_offset = envelope.kind == COUNTED or envelope.ends_in_text
        plain: list[str] = []
        ahead: list[Client] = []
        if not self._special and not (wants_offset and self._plain):
            recipients: Iterable[str] = members.values()
        else:
            marked: list[str] = []
            for sid, eio_sid in members.items():
                client = self._clients.get(sid)
                if client is None:
                    continue
                if sid in self._special and self._keeps_back(client, envelope):
                    continue
                if wants_offset and client.until and not client.plain:
                    ahead.append(client)
                else:
                    (plain if client.plain else marked).append(eio_sid)
            recipients = marked
        count = 0
        if plain:
            count += self._deliver(plain, envelope.message(None))
        for client in ahead:
            own = write_offset(self.broker.epoch or "0", client.with_replay(tuple(self.broker.positions)))
            count += self._deliver((client.eio_sid,), envelope.message(own))
        offset = write_offset(self.broker.epoch or "0", self.broker.positions) if wants_offset else None
        count += self._deliver(recipients, envelope.message(offset))
        self._on_emitted(envelope.event, count)

    def _members(self, rooms: Collection[str]) -> Mapping[str, str]:
        """Who is in any of these rooms here, or is one of them itself: sid to the engine's id."""
        members = self._manager.members(rooms)
        for room in rooms:
            sid = self._by_own.get(room, room)
            client = self._clients.get(sid)
            if client is not None and client.own == room:
                members = {**members, sid: client.eio_sid}
        return members

    def _is_elsewhere(self, sid: str, envelope: Envelope) -> bool:
        client = self._clients.get(sid)
        return client is not None and is_elsewhere(envelope, client.session.joins)

    def _keeps_back(self, client: Client, envelope: Envelope) -> bool:
        if client.holds:
            if client.held is None:
                client.held = []
            client.held.append((envelope, tuple(self.broker.positions)))
            if len(client.held) > self._held_limit:
                self._lines.write(log.warning, "too much is held back from a client: it is cut off")
                self._cut_off(client)
            return True
        if client.settling and not concerns(envelope, client.session.sid, client.session.joins, client.session.joins):
            return True
        partition = self.broker.partition_of(envelope.rooms[0])
        return bool(client.until) and envelope.id <= client.until[partition]

    def on_history_gap(self, rooms: Collection[str]) -> None:
        members = self._members(rooms)
        log.error("events are missed for good: clients begin anew", rooms=len(rooms), clients=len(members))
        self._on_gap(len(members))
        for sid in list(members):
            client = self._clients.get(sid)
            if client is None:
                continue
            if client.stored:
                client.stored = False
                self._tasks.spawn(self._drop(client.session))
            self._hang_up(client.eio_sid)

    def on_epoch_change(self, partition: int, top: int) -> None:
        for client in self._clients.values():
            client.cut(self.broker.partition_of, partition, top)
            client.dirty = client.stored
            if client.replay:
                self._cut_off(client)  # it comes back, and that is read again
        self._tasks.spawn(self._save_anew())

    def on_session_claimed(self, pid: str, generation: int) -> None:
        sid = self._by_pid.get(pid)
        client = self._clients.get(sid) if sid is not None else None
        if sid is not None and client is not None and client.session.generation < generation:
            client.stored = False
            self._tasks.spawn(self._displace(sid, client))

    # -- clients come

    async def resume(
        self,
        sid: str,
        eio_sid: str,
        request: Request,
        user: str,
        permitted: Callable[[str], bool],
        take_up: TakeUp = _take_up_anything,
    ) -> Resumed | None:
        """Let a client go on where it was, if it asks for that and nothing that it missed is lost.

        From here it is in its rooms, and events are held back until `go`.

        Args:
            sid: The id that it has been given for now.
            eio_sid: Its engine's id.
            request: What it asks for.
            user: Who it is.
            permitted: Whether that user may be in a room, now.
            take_up: Called once it is known what goes on. What it has counted is the caller's to give back where
                nothing goes on after all.

        Raises:
            TryAgain: That cannot be said now.
        """
        if not self._recovery or not request.wanted or request.pid is None:
            return None
        pid = request.valid_pid()
        if pid is None:
            self._tell_begun_anew("malformed")
            return None
        # While Redis is away nothing is read, and clients have to come again and again until it is back.
        if not self.broker.unreachable_for and not self._may_recover(user, pid, blind=request.offset is None):
            self._tell_begun_anew("limited")
            return None
        try:
            result = await self._resume(sid, eio_sid, pid, request.offset, user, permitted, take_up)
        except AdapterUnavailable:
            self.forget(sid, final=False)
            result = "unavailable"
        if result == "unavailable" and self.broker.unreachable_for < self._window:
            self._on_recovery(result)
            raise TryAgain  # nothing is lost yet: once Redis is back the client can go on
        if isinstance(result, Resumed):
            self._on_recovery("recovered")
            return result
        self._tell_begun_anew(result)
        return None

    def _tell_begun_anew(self, why: Result) -> None:
        self._lines.write(log.info, "not recovered", kind=why, why=why)
        self._on_recovery(why)

    async def _resume(
        self,
        sid: str,
        eio_sid: str,
        pid: str,
        raw_offset: object,
        user: str,
        permitted: Callable[[str], bool],
        take_up: TakeUp,
    ) -> Resumed | Result:
        if self.broker.epoch is None:
            raise AdapterUnavailable("Redis has not been heard of yet")
        await self._settle_own(pid)
        session = await self.broker.claim(pid, user)
        if session is None:
            return "unknown"
        epoch = self.broker.epoch
        # A join that was under way when the connection was lost: nobody was told of it, and it has no position yet.
        for room in [room for room, position in session.joins.items() if position == MAX_ID]:
            del session.joins[room]
        joined = [room for room in session.joins if room != session.sid]
        rooms = [room for room in joined if permitted(room)]
        if not await take_up(session.connection_id, joined):
            return "quota"
        said = offset = None
        if raw_offset is not None:
            said = parse_offset(raw_offset, self.broker.partitions)
            if said is None:
                return "malformed"
            offset = self.broker.translate_offset(said)
            if offset is None:  # perhaps of an epoch that another server has heard of first
                await self.broker.read_positions(rooms)
                offset = self.broker.translate_offset(said)
            if offset is None:
                return "foreign_epoch"
        client = self._add(sid, Client(eio_sid, session, session.sid, plain=False))
        self._hold(sid, client)
        self._by_own[client.own] = sid
        self.broker.subscribe_sid(client.own)
        for room in rooms:
            self._manager.enter(room, sid, eio_sid)
            self.broker.subscribe(room)
        await self.broker.wait_subscribed(rooms, [client.own])
        unknown = client.own not in session.joins
        if unknown:  # a server of a version without rooms of clients has kept it
            session.joins |= await self.broker.read_positions([client.own])
        of = {room: self.broker.partition_of(room) for room in (*rooms, client.own)}
        begin = starts(session, offset, of, of)
        replay = await self.broker.read(begin)
        if self.broker.epoch != epoch or self._clients.get(sid) is not client:
            raise AdapterUnavailable("the history has changed, or the client is gone")
        future = is_future(offset, replay.positions)
        # Of what it saw and Redis lost, the ids are gone: what was published again then it may have.
        doubtful = is_ahead(said, offset) and any(one.again for one in replay.envelopes)
        if future or doubtful or replay.broken:
            self.forget(sid, final=False)
            return "future" if future else "gap"
        for room in [room for room in session.joins if room not in of]:
            del session.joins[room]
            await self.broker.save_leave(session, room)
        if unknown:
            await self.broker.save_join(session, client.own)
        client.replay = [one for one in replay.envelopes if concerns(one, session.sid, begin, session.joins)]
        seen = offset.ids if offset is not None else (0,) * self.broker.partitions
        client.until = tuple(
            position if position is not None else min(has, here + seconds(MAX_AHEAD))
            for position, has, here in zip(replay.positions, seen, self.broker.positions, strict=True)
        )
        client.begin = first_vector(begin, offset, replay.positions, of)
        client.stored = True
        if session.sid in self._clients and session.sid != sid:  # its old connection is here, and was not yet ended
            await self._displace(session.sid, self._clients[session.sid])
        self._rename(sid, session.sid)
        self._by_pid[pid] = session.sid
        return Resumed(session.sid, session.connection_id, frozenset(rooms))

    async def admit(
        self,
        sid: str,
        eio_sid: str,
        user: str,
        connection_id: str,
        rooms: Collection[str],
        request: Request,
        namespace: str = NAMESPACE,
    ) -> str | None:
        """Take a new client into its first rooms; its pid, or None if it cannot or does not want to recover.

        Events are held back until `go`.
        """
        plain = not self._recovery or not request.wanted
        own = qualify(namespace, sid)
        client = self._add(sid, Client(eio_sid, RecoveryState("", user, sid, connection_id), own, plain=plain))
        self._hold(sid, client)
        if own != sid:
            self._by_own[own] = sid
        client.session.joins[own] = MAX_ID
        self.broker.subscribe_sid(own)
        for room in rooms:
            self._enter(sid, client, room)
        try:
            await self._take_positions(client, rooms, [own])
            if plain:
                return None
            client.session.pid = new_pid()
            client.stored = await self.broker.save(client.session)
            if self._clients.get(sid) is not client:  # gone meanwhile
                self._tasks.spawn(self._drop(client.session))
                return None
            self._by_pid[client.session.pid] = sid
        except AdapterUnavailable as error:
            # Without Redis the client is served from here, and begins anew when it comes back.
            self._lines.write(
                log.warning,
                "a client cannot recover",
                error=type(error).__name__,
                cause=str(explain(error, SOME_REDIS).code),
            )
            client.session.joins = dict.fromkeys([own, *rooms], 0)
            self._plain += not client.plain
            client.plain = True
            return None
        return client.session.pid if client.stored else None

    def go(self, sid: str) -> None:
        """Send what a client missed, then what was held back. It has been told that it is connected."""
        client = self._clients.get(sid)
        if client is None:
            return
        replay, client.replay = client.replay or (), None
        vector = list(client.begin or (0,) * self.broker.partitions)
        for envelope in replay:
            partition = self.broker.partition_of(envelope.rooms[0])
            vector[partition] = max(vector[partition], envelope.id)
            self._send(client, envelope, tuple(vector))
        self._release(sid, client)

    # -- clients join and leave rooms

    async def join(self, sid: str, room: str) -> None:
        """Put a client into a room. When this returns, it is kept, and from here on the client misses nothing of it.

        Raises:
            AdapterUnavailable: It could not be kept, and the client is not in the room.
        """
        client = self._clients.get(sid)
        if client is None or room in client.session.joins:
            return
        self._hold(sid, client)
        try:
            self._enter(sid, client, room)
            # Of an event in several partitions it may have had one already, and this server be behind in the other.
            await self._take_positions(client, [room], exact=self.broker.partitions > 1)
            if client.stored and not await self.broker.save_join(client.session, room):
                self._give_up(sid, client)
        except AdapterUnavailable:
            if client.stored:
                if self._clients.get(sid) is client:  # and not one that goes on with its sid, and has joined by now
                    self._exit(sid, client, room)
                client.dirty = True  # perhaps it was kept, and only the answer was lost
                raise
            client.session.joins[room] = 0
        finally:
            self._release(sid, client)

    async def leave(self, sid: str, room: str) -> None:
        """Take a client out of a room, at once; where that cannot be kept now, it is as soon as possible."""
        client = self._clients.get(sid)
        if client is None or room not in client.session.joins or room == client.own:
            return
        self._exit(sid, client, room)
        if client.stored:
            try:
                if not await self.broker.save_leave(client.session, room):
                    self._give_up(sid, client)
            except AdapterUnavailable:
                client.dirty = True

    def rooms_of(self, sid: str) -> frozenset[str]:
        """The rooms a client is in, its own left out."""
        client = self._clients.get(sid)
        return frozenset(client.session.joins) - {client.own} if client is not None else frozenset()

    def keeps(self, sid: str) -> bool:
        """Whether a client is kept, so that it can go on after its connection is lost."""
        client = self._clients.get(sid)
        return client is not None and client.stored

    def is_in(self, sid: str, room: str) -> bool:
        """Whether a client is in a room."""
        client = self._clients.get(sid)
        return client is not None and room in client.session.joins

    # -- clients go

    def forget(self, sid: str, *, final: bool) -> None:
        """A client's connection is gone.

        Args:
            sid: Its id.
            final: Whether it was ended for good; else it can go on within the window.
        """
        client = self._clients.pop(sid, None)
        if client is None:
            return
        self._special.pop(sid, None)
        self._plain -= client.plain
        session = client.session
        if self._by_pid.get(session.pid) == sid:
            del self._by_pid[session.pid]
        if self._by_own.get(client.own, client.own) == sid:
            self._by_own.pop(client.own, None)
            if client.own not in self._clients:
                self.broker.unsubscribe_sid(client.own)
        for room in session.joins:
            if room == client.own:
                continue
            self._manager.leave(room, sid)
            if not self._manager.is_occupied(room):
                self.broker.unsubscribe(room)
        if client.stored:
            self._finish(self._drop(session) if final else self._keep(client))

    def pinged(self, eio_sid: str) -> None:
        """A heartbeat goes to a client, behind everything sent so far."""
        client = self._of_engine(eio_sid)
        if client is not None and not client.holds:
            client.pinged = tuple(self.broker.positions)

    def ponged(self, eio_sid: str) -> None:
        """A client has answered the heartbeat, so it has received everything sent before."""
        client = self._of_engine(eio_sid)
        if client is not None and client.pinged:
            client.session.confirmed = client.pinged

    # -- details

    def _add(self, sid: str, client: Client) -> Client:
        self._clients[sid] = client
        self._plain += client.plain
        return client

    def _of_engine(self, eio_sid: str) -> Client | None:
        sid = self._manager.sid_from_eio_sid(eio_sid, NAMESPACE)
        return self._clients.get(sid) if sid is not None else None

    def _enter(self, sid: str, client: Client, room: str) -> None:
        client.session.joins[room] = MAX_ID  # nothing is for it yet
        self._manager.enter(room, sid, client.eio_sid)
        self.broker.subscribe(room)

    def _exit(self, sid: str, client: Client, room: str) -> None:
        client.session.joins.pop(room, None)
        self._manager.leave(room, sid)
        if not self._manager.is_occupied(room):
            self.broker.unsubscribe(room)

    async def _take_positions(
        self, client: Client, rooms: Collection[str], sid_rooms: Collection[str] = (), *, exact: bool = False
    ) -> None:
        fresh = await self.broker.wait_subscribed(rooms, sid_rooms)
        rooms = [*rooms, *sid_rooms]
        if fresh or exact:
            found = await self.broker.read_positions(rooms)
            client.session.joins.update(found)
            # What is published in several partitions must not come through one of them from before the client joined.
            positions = self.broker.positions
            client.settling |= self.broker.partitions > 1 and any(
                at > positions[self.broker.partition_of(room)] for room, at in found.items()
            )
        else:
            # Everything up to the server's own position has come, and what comes is held back for the client.
            positions = self.broker.positions
            for room in rooms:
                client.session.joins[room] = positions[self.broker.partition_of(room)]

    def _hold(self, sid: str, client: Client) -> None:
        client.holds += 1
        self._special[sid] = client

    def _release(self, sid: str, client: Client) -> None:
        client.holds -= 1
        if client.holds or self._clients.get(sid) is not client:
            return
        held, client.held = client.held or (), None
        for envelope, vector in held:
            partition = self.broker.partition_of(envelope.rooms[0])
            if client.until and envelope.id <= client.until[partition]:
                continue
            if concerns(envelope, sid, client.session.joins, client.session.joins):
                self._send(client, envelope, client.with_replay(vector))
        if not client.until and not client.settling:
            self._special.pop(sid, None)

    def _send(self, client: Client, envelope: Envelope, vector: Vector) -> None:
        offset = None
        if not client.plain and (envelope.kind == COUNTED or envelope.ends_in_text):
            offset = write_offset(self.broker.epoch or "0", vector)
        self._on_emitted(envelope.event, self._deliver((client.eio_sid,), envelope.message(offset)))

    def _cut_off(self, client: Client) -> None:
        """Close its transport, so that it comes back. Nothing more is sent: its offset would hide what was not sent."""
        client.holds += 1
        client.held = None
        client.replay = None
        self._hang_up(client.eio_sid)

    def _rename(self, sid: str, to: str) -> None:
        client = self._clients.pop(sid)
        self._clients[to] = client
        if self._special.pop(sid, None) is not None:
            self._special[to] = client
        self._by_own.pop(client.own, None)
        self._manager.rename(sid, to, NAMESPACE)

    async def _settle_own(self, pid: str) -> None:
        """End this server's own dead connection of a session first, before its client goes on."""
        sid = self._by_pid.get(pid)
        if sid is not None:
            client = self._clients[sid]
            client.stored = False
            await self._displace(sid, client)

    async def _displace(self, sid: str, client: Client) -> None:
        if self._clients.get(sid) is not client:
            return
        try:
            await self._on_displaced(sid)
        except Exception:
            log.exception("a connection that goes on elsewhere could not be ended")
        if self._clients.get(sid) is client:  # and not a new connection of the same client
            self.forget(sid, final=False)

    def _give_up(self, sid: str, client: Client) -> None:
        """The session is another server's by now."""
        client.stored = False
        self._tasks.spawn(self._displace(sid, client))

    async def _drop(self, session: RecoveryState) -> None:
        with contextlib.suppress(AdapterUnavailable):  # it expires by itself
            await self.broker.drop(session)

    async def _keep(self, client: Client) -> None:
        with contextlib.suppress(AdapterUnavailable):
            if client.dirty:
                await self.broker.save(client.session)
            else:
                await self.broker.touch([client.session])

    def _finish(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what is left of a client that has gone: at once where the broker waits for nothing."""
        stepped = step(work) if self.broker.is_local else work
        if not isinstance(stepped, Done):
            self._tasks.spawn(stepped)

    async def _sweep(self) -> None:
        """Clients whose replay or newest room is behind everybody's position are like all others again."""
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            positions = self.broker.positions
            for sid, client in list(self._special.items()):
                if client.holds:
                    continue
                if all(here >= there for here, there in zip(positions, client.until, strict=False)):
                    client.until = ()
                joins = client.session.joins
                client.settling &= any(positions[self.broker.partition_of(room)] < joins[room] for room in joins)
                if not client.until and not client.settling:
                    del self._special[sid]

    async def _touch_all(self) -> None:
        while True:
            await asyncio.sleep(self._refresh)
            stored = [(sid, client) for sid, client in self._clients.items() if client.stored]
            for some in _chunks(stored, TOUCHED_AT_ONCE):
                with contextlib.suppress(AdapterUnavailable):  # in the next round
                    await self._touch([pair for pair in some if not pair[1].dirty])
            await self._save_anew()

    async def _touch(self, some: Sequence[tuple[str, Client]]) -> None:
        done = await self.broker.touch([client.session for _, client in some])
        for (sid, client), ours in zip(some, done, strict=True):
            if not ours and client.stored and self._clients.get(sid) is client:
                self._give_up(sid, client)

    async def _save_anew(self) -> None:
        """Store the sessions again that are not kept as they are."""
        for sid, client in list(self._clients.items()):
            if not (client.dirty and client.stored) or self._clients.get(sid) is not client:
                continue
            with contextlib.suppress(AdapterUnavailable):
                client.dirty = False
                if not await self.broker.save(client.session):
                    self._give_up(sid, client)
                continue
            client.dirty = True


def _chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
