"""Emits events, and manages the clients of this server: they connect, join rooms, recover, and leave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from tradecast.background.tasks import TaskSet
from tradecast.causes import SOME_REDIS, explain_error
from tradecast.delivery.broker import Broker, RecoveryState
from tradecast.delivery.clients.client import Client
from tradecast.delivery.clients.local_delivery import ClientTransport, DeliveryObserver, LocalDelivery
from tradecast.delivery.clients.resumption import Attempt, QuotaReservation, RecoveryLimiter, Resumed, Resumption
from tradecast.delivery.clients.state_keeper import StateKeeper
from tradecast.delivery.envelope import Envelope, Keep, Kind, encode_envelope
from tradecast.delivery.errors import AdapterUnavailable, TryAgain
from tradecast.delivery.event_kinds import EventKinds, KindName, choose_kind
from tradecast.delivery.ids import MAX_ID
from tradecast.delivery.recovery import Request, Result, new_pid
from tradecast.delivery.shaping.delta_chains import DeltaChains
from tradecast.delivery.shaping.intake import NO_SHAPING, ShapingOptions
from tradecast.delivery.shaping.snapshots import JoinPositions
from tradecast.observability.throttled_log import ThrottledLog
from tradecast.packets.room_names import NAMESPACE, qualify_room
from tradecast.packets.rooms import LocalManager

SWEEP_EVERY = 1.0
log = structlog.stdlib.get_logger("tradecast.adapter")


class ConnectionCloser(Protocol):
    """Closes connections that are replaced: the Socket.IO server."""

    async def displace(self, sid: str) -> None:
        """Close a connection whose client has resumed with another one."""
        ...


@dataclass(frozen=True, slots=True)
class HubOptions:
    """How clients recover, and what is done with their events.

    Attributes:
        recovery: Whether they can at all.
        window: Seconds within which a client can recover.
        refresh: Seconds between refreshes of recovery states.
        buffer_limit: Events that may be buffered for one client; a client with more is cut off.
        replay_limit: Bytes of a replay, and of what comes meanwhile, that may be kept for a client.
        shaping: What is done with events on their way to clients.
    """

    recovery: bool
    window: float
    refresh: float
    buffer_limit: int
    replay_limit: int
    shaping: ShapingOptions = NO_SHAPING


class Hub(LocalDelivery):
    """Delivers events to the clients of this server, and resumes clients after a lost connection.

    It is the broker's `DeliveryListener`.

    Args:
        broker: Carries events and recovery states between servers.
        manager: Rooms on this server.
        transport: The connections of clients.
        closer: Closes connections that are replaced.
        observer: Observes deliveries and recoveries.
        options: How clients recover.
        kinds: Knows what is declared of events.
        limiter: Bounds the tries to recover.
        lines: Writes what clients can cause.
    """

    def __init__(
        self,
        broker: Broker,
        manager: LocalManager,
        transport: ClientTransport,
        closer: ConnectionCloser,
        observer: DeliveryObserver,
        options: HubOptions,
        *,
        kinds: EventKinds,
        limiter: RecoveryLimiter,
        lines: ThrottledLog,
    ) -> None:
        super().__init__(
            *(broker, manager, transport, observer, DeltaChains(kinds)),
            shaping=options.shaping,
            subjects=kinds,
            kinds=kinds,
            buffer_limit=options.buffer_limit,
            replay_limit=options.replay_limit,
            lines=lines,
        )
        self._closer = closer
        self._options = options
        self.states = StateKeeper(broker, self.clients, self, options.refresh)
        self._resumption = Resumption(self, manager, self, limiter)
        self.positions = JoinPositions(broker, observer, self.intake)
        self._loops = TaskSet()

    async def start(self) -> None:
        """Start the hub and its broker."""
        await self.broker.start(self)
        self._loops.spawn(self._sweep(), name="hub sweep")
        self._loops.spawn(self.states.run(), name="hub refresh")
        if self.notices is not None:
            self._loops.spawn(self.notices.run(), name="stale symbols")

    async def close(self) -> None:
        """Close the hub and its broker. Recovery states stay, so that clients can recover on other servers."""
        self.intake.close()
        await self._loops.close()
        await self.states.close()
        await self.broker.close()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            self.sweep()

    # -- events out

    def choose_kind(self, event: str, said: KindName | None) -> Kind | None:
        """Validate the kind that an emitter chose for an event; None if it chose none. Raises ValueError."""
        return None if said is None else choose_kind(event, self._kinds.describe_event(event), said)

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
        """Send an event to the members of rooms on every server, once to each client. A sid is a room.

        Rooms of other namespaces than the main one go by their qualified names.

        Raises:
            PublishUncertain: It may have been published, or not.
            AdapterUnavailable: It was not published.
            TypeError: The arguments cannot be said in JSON.
        """
        declared = self._kinds.describe_event(event)
        envelope = encode_envelope(
            event,
            arguments,
            rooms,
            kind or declared.kind,
            namespace=namespace,
            except_rooms=except_rooms,
            skip=skip,
            keep=Keep(self._kinds.key_of(event, arguments, rooms), declared.recent),
        )
        await self.broker.publish(envelope)

    # -- from the broker: `DeliveryListener`

    def on_history_gap(self, rooms: Collection[str]) -> None:
        members = self.clients.find_members(rooms)
        log.error("events are missed for good: clients start new sessions", rooms=len(rooms), clients=len(members))
        self._observer.gap_lost(len(members))
        for sid in list(members):
            client = self.clients.by_sid.get(sid)
            if client is None:
                continue
            if client.stored:
                client.stored = False
                self.states.drop_later(client.session)
            self._transport.close_transport(client.eio_sid)

    def on_epoch_change(self, partition: int, top: int) -> None:
        self.intake.flush()
        for client in self.clients.by_sid.values():
            client.cut(self.broker.partition_of, partition, top)
            client.dirty = client.stored
            if client.replay:
                self.cut_off(client)  # it reconnects, and its history is read then
        self.states.tasks.spawn(self.states.save_dirty())

    def on_session_claimed(self, pid: str, generation: int) -> None:
        sid = self.clients.by_pid.get(pid)
        client = self.clients.by_sid.get(sid) if sid is not None else None
        if sid is not None and client is not None and client.session.generation < generation:
            self.on_claimed_elsewhere(sid, client)

    # -- clients come

    async def resume(
        self,
        sid: str,
        eio_sid: str,
        request: Request,
        user: str,
        permitted: Callable[[str], bool],
        reserve_quota: QuotaReservation,
    ) -> Resumed | None:
        """Resume a client, if it asks for that and no event that it missed is lost.

        From here it is in its rooms, and its events are buffered until `start_delivery`.

        Args:
            sid: The id that it has been given for now.
            eio_sid: Its engine's id.
            request: What it asks for.
            user: Who it is.
            permitted: Whether that user may be in a room, now.
            reserve_quota: Called once it is known what is resumed. The caller releases what it has counted where
                nothing is resumed after all.

        Raises:
            TryAgain: That is not known now.
        """
        if not self._options.recovery or not request.wanted or request.pid is None:
            return None
        result: Resumed | Result
        try:
            result = await self._resumption.run(Attempt(sid, eio_sid, request, user, permitted, reserve_quota))
        except AdapterUnavailable:
            self.forget(sid, final=False)
            result = "unavailable"
        if result == "unavailable" and self.broker.unreachable_for < self._options.window:
            self._observer.recovery(result)
            raise TryAgain  # nothing is lost yet: once Redis is back the client can be resumed
        if isinstance(result, Resumed):
            self._observer.recovery("recovered")
            return result
        self._lines.write(log.info, "not recovered", kind=result, why=result)
        self._observer.recovery(result)
        return None

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
        """Add a new client to its first rooms. Returns its pid; None if it cannot recover, or did not ask for recovery.

        Its events are buffered until `start_delivery`.
        """
        no_recovery = not self._options.recovery or not request.wanted
        own_room = qualify_room(namespace, sid)
        state = RecoveryState("", user, sid, connection_id)
        client = self.clients.add(sid, Client(eio_sid, state, own_room, no_recovery=no_recovery))
        if request.deltas:
            self.deltas.add(client)
        self.pause_delivery(sid, client)
        client.session.joins[own_room] = MAX_ID
        self.broker.subscribe_sid(own_room)
        for room in rooms:
            self._enter(sid, client, room)
        try:
            await self.positions.take(client, rooms, [own_room])
            if no_recovery:
                return None
            client.session.pid = new_pid()
            client.stored = await self.broker.save(client.session)
            if self.clients.by_sid.get(sid) is not client:  # gone meanwhile
                self.states.drop_later(client.session)
                return None
            self.clients.by_pid[client.session.pid] = sid
        except AdapterUnavailable as error:
            # Without Redis the client is served from here, and starts a new session when it reconnects.
            self._lines.write(
                log.warning,
                "a client cannot recover",
                error=type(error).__name__,
                cause=str(explain_error(error, SOME_REDIS).code),
            )
            client.session.joins = dict.fromkeys([own_room, *rooms], 0)
            client.snapshot = None  # what is live may be older now
            self.clients.disable_recovery(client)
            return None
        return client.session.pid if client.stored else None

    # -- clients join and leave rooms

    async def join(self, sid: str, *rooms: str, recent: int = 0) -> Sequence[Envelope] | None:
        """Add a client to rooms. When this returns, the join is stored, and the client gets all later events.

        Args:
            sid: The client.
            rooms: Those that it is in already are left out.
            recent: How many of the newest counted events are asked for.

        Returns:
            The recent counted events of these rooms, for the answer; None where that is not known. Of latest events
            the client has got the newest ones.

        One that is in it already gets the next event there whole, if it wants deltas.

        Raises:
            AdapterUnavailable: It could not be stored, and the client is not in the rooms.
        """
        client = self.clients.by_sid.get(sid)
        if client is None:
            return None
        for room in [room for room in rooms if room in client.session.joins]:
            self.deltas.forget_base(client, room)
        if len(rooms) != 1 or rooms[0] in client.session.joins:
            rooms = tuple([room for room in dict.fromkeys(rooms) if room not in client.session.joins])
        if not rooms:
            return None
        self.pause_delivery(sid, client)
        counted: Sequence[Envelope] | None = None
        try:
            for room in rooms:
                self._enter(sid, client, room)
            # Of an event in several partitions it may have had one already, and this server be behind in the other.
            counted = await self.positions.take(client, rooms, exact=self.broker.partitions > 1, recent=recent)
            if client.stored and not await self.broker.save_join(client.session, *rooms):
                self.on_claimed_elsewhere(sid, client)
        except AdapterUnavailable:
            if client.stored:
                if (
                    self.clients.by_sid.get(sid) is client
                ):  # and not one that was resumed with its sid, and has joined by now
                    for room in rooms:
                        self._exit(sid, client, room)
                client.dirty = True  # perhaps it was stored, and only the answer was lost
                raise
            client.session.joins.update(dict.fromkeys(rooms, 0))
        finally:
            self.resume_delivery(sid, client)
        return counted

    async def leave(self, sid: str, room: str) -> None:
        """Remove a client from a room at once. If that cannot be stored now, it is stored as soon as possible."""
        client = self.clients.by_sid.get(sid)
        if client is None or room not in client.session.joins or room == client.own_room:
            return
        self._exit(sid, client, room)
        if client.stored:
            try:
                if not await self.broker.save_leave(client.session, room):
                    self.on_claimed_elsewhere(sid, client)
            except AdapterUnavailable:
                client.dirty = True

    def rooms_of(self, sid: str) -> frozenset[str]:
        """The rooms of a client, without its own (its sid)."""
        client = self.clients.by_sid.get(sid)
        return frozenset(client.session.joins) - {client.own_room} if client is not None else frozenset()

    def can_recover(self, sid: str) -> bool:
        """Whether a client's recovery state is stored, so that it can recover after its connection is lost."""
        client = self.clients.by_sid.get(sid)
        return client is not None and client.stored

    def is_in(self, sid: str, room: str) -> bool:
        """Whether a client is in a room."""
        client = self.clients.by_sid.get(sid)
        return client is not None and room in client.session.joins

    # -- clients go

    def forget(self, sid: str, *, final: bool) -> None:
        """Forget a client whose connection has ended.

        Args:
            sid: Its id.
            final: Whether it does not reconnect; else it can recover within the window.
        """
        client = self.clients.remove(sid)
        if client is None:
            return
        self.deltas.remove(client)
        self._transport.discard(client.eio_sid, client.session.joins, ())
        if self.clients.remove_own_room(sid, client):
            self.broker.unsubscribe_sid(client.own_room)
        for room in client.session.joins:
            if room == client.own_room:
                continue
            self._leave_room(sid, room)
        if client.stored:
            self.states.finish(client, final=final)

    def on_client_too_slow(self, eio_sid: str, reason: str) -> None:
        """The engine closes a client's transport because its network is too slow; `forget` is called next."""
        client = self.clients.find_by_transport(eio_sid)
        if client is not None:
            client.count_slow_close()

    def on_ping(self, eio_sid: str) -> None:
        """A heartbeat goes to a client, behind everything sent so far."""
        client = self.clients.find_by_transport(eio_sid)
        if client is not None and not client.pause_count:
            client.pinged = tuple(self.broker.positions)

    def on_pong(self, eio_sid: str) -> None:
        """A client has answered the heartbeat, so it has received everything sent before."""
        client = self.clients.find_by_transport(eio_sid)
        if client is not None:
            client.confirm()

    def on_claimed_elsewhere(self, sid: str, client: Client) -> None:
        """Another server has claimed a client's recovery state: end its connection here."""
        client.stored = False
        self.states.tasks.spawn(self.displace(sid, client))

    async def displace(self, sid: str, client: Client) -> None:
        """End the connection of a client that has resumed with another one."""
        if self.clients.by_sid.get(sid) is not client:
            return
        try:
            await self._closer.displace(sid)
        except Exception:
            log.exception("a displaced connection could not be closed")
        if self.clients.by_sid.get(sid) is client:  # and not a new connection of the same client
            self.forget(sid, final=False)

    # -- the steps of the above

    def _enter(self, sid: str, client: Client, room: str) -> None:
        client.session.joins[room] = MAX_ID  # nothing is for it yet
        self._manager.enter(room, sid, client.eio_sid)
        self.broker.subscribe(room)
        if self.notices is not None:
            self.notices.watch(room)

    def _exit(self, sid: str, client: Client, room: str) -> None:
        client.session.joins.pop(room, None)
        self.deltas.forget_base(client, room)
        self._transport.discard(client.eio_sid, (room,), client.session.joins)
        self._leave_room(sid, room)

    def _leave_room(self, sid: str, room: str) -> None:
        self._manager.leave(room, sid)
        if not self._manager.is_occupied(room):
            self.broker.unsubscribe(room)
            self.deltas.forget_room(room)
