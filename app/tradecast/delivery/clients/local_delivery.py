"""Finds the recipients of events among the clients of this server, and delivers each event once and in order."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from typing import Protocol

import structlog

from tradecast.delivery.broker import Broker
from tradecast.delivery.clients.client import Client, Vector
from tradecast.delivery.clients.paced_replay import Link, PacedReplay
from tradecast.delivery.clients.table import ClientTable
from tradecast.delivery.envelope import COUNTED, Envelope
from tradecast.delivery.event_kinds import EventKinds
from tradecast.delivery.ids import write_offset
from tradecast.delivery.recovery import Result, is_elsewhere, is_for_client
from tradecast.delivery.shaping.delta_chains import Batch, DeltaChains
from tradecast.delivery.shaping.intake import Intake, ShapingOptions, Subjects
from tradecast.delivery.shaping.snapshots import SnapshotObserver, is_in_snapshot
from tradecast.delivery.shaping.stale_notices import StaleNotices
from tradecast.engine.message import Message
from tradecast.observability.throttled_log import ThrottledLog
from tradecast.packets.rooms import LocalManager

log = structlog.stdlib.get_logger("tradecast.adapter")


class ClientTransport(Link, Protocol):
    """The connections of clients: the engine."""

    def deliver(self, eio_sids: Iterable[str], message: Message, /) -> int:
        """Send encoded bytes to transports. Returns the number of transports."""
        ...

    def close_transport(self, eio_sid: str, /) -> None:
        """Close a transport, so that its client reconnects."""
        ...

    def report_too_slow(self, eio_sid: str, /) -> None:
        """Report that a transport is closed because too much waits for its client, though not in its own queue."""
        ...

    def discard(self, eio_sid: str, left: Collection[str], still_in: Collection[str], /) -> None:
        """Drop the queued events of rooms that a client has left, unless it also gets them for other rooms."""
        ...


class DeliveryObserver(SnapshotObserver, Protocol):
    """Observes deliveries and recoveries; the metrics do."""

    def event_emitted(self, event: str, recipients: int) -> None:
        """An event was delivered to this number of clients of this server."""
        ...

    def deltas_delivered(self, recipients: int, size: int, replaced: int) -> None:
        """So many clients were sent what had changed, of so many bytes, in place of an event of so many."""
        ...

    def wholes_delivered(self, recipients: int, size: int) -> None:
        """So many clients that want deltas were sent a whole event of so many bytes."""
        ...

    def recovery(self, result: Result) -> None:
        """A reconnecting client was recovered, or starts a new session for this reason."""
        ...

    def gap_lost(self, clients: int) -> None:
        """This number of clients has missed events that cannot be replayed."""
        ...


class LocalDelivery:
    """Delivers the broker's events. A client's events are buffered while it connects or joins a room.

    Args:
        broker: Where events come from; it knows positions and epoch.
        manager: Rooms on this server.
        transport: The connections of clients.
        observer: Observes deliveries.
        deltas: Knows who wants only what has changed, and what of an event that is.
        shaping: What is done with events on their way to clients.
        subjects: What events are about.
        kinds: Knows which events may wait for others.
        buffer_limit: Events that may be buffered for one client; a client with more is cut off.
        replay_limit: Bytes of a replay that may be kept for a client whose link does not take them yet, and as many of
            events that are buffered for it meanwhile.
        lines: Writes what clients can cause.

    Attributes:
        clients: The clients of this server.
        notices: Notifies clients of stale symbols; None: nothing is ever stale.
        intake: What events pass before they are sent.
    """

    def __init__(
        self,
        broker: Broker,
        manager: LocalManager,
        transport: ClientTransport,
        observer: DeliveryObserver,
        deltas: DeltaChains,
        *,
        shaping: ShapingOptions,
        subjects: Subjects,
        kinds: EventKinds,
        buffer_limit: int,
        replay_limit: int,
        lines: ThrottledLog,
    ) -> None:
        self.broker = broker
        self.deltas = deltas
        self._kinds = kinds
        self.clients = ClientTable(manager)
        self._manager = manager
        self._transport = transport
        self._observer = observer
        self._buffer_limit = buffer_limit
        self._size_limit = replay_limit
        self._lines = lines
        self._replays = PacedReplay(broker, self, replay_limit)
        self.notices: StaleNotices | None = None
        if shaping.max_ages:
            self.notices = StaleNotices(shaping.feed, shaping.max_ages, self.clients, transport, broker, lines=lines)
        self.intake = Intake(shaping, subjects, self, self.notices)

    def deliver(self, envelope: Envelope) -> None:
        """Deliver an event of the broker: now or, if it is throttled, later or never."""
        intake = self.intake
        if (intake.is_throttling or envelope.event in intake.watched) and not intake.admits(envelope):
            return
        self.deliver_now(envelope)

    def deliver_late(self, envelope: Envelope) -> None:
        """Send an event that was throttled, except to clients that have joined its room since it came."""
        late: Collection[str] = ()
        if self.intake.was_joined(envelope.rooms, envelope.id):
            late = [sid for sid in self.clients.find_members(envelope.rooms) if self._is_before_join(sid, envelope)]
        self.deliver_now(envelope, late)

    def deliver_now(self, envelope: Envelope, without: Collection[str] = ()) -> None:
        """Send an event once to each member of its rooms on this server, except to these clients (sids)."""
        clients = self.clients
        members = clients.find_members(envelope.rooms)
        if not members:
            return
        if envelope.skip or envelope.except_rooms or without:
            excluded = {*envelope.skip, *without, *self._manager.members(envelope.except_rooms)}
            members = {sid: eio_sid for sid, eio_sid in members.items() if sid not in excluded}
        if envelope.elsewhere:
            members = {sid: eio_sid for sid, eio_sid in members.items() if not self._is_elsewhere(sid, envelope)}
        wants_offset = envelope.kind == COUNTED or envelope.ends_in_text
        without_offset: list[str] = []
        ahead: list[Client] = []
        if not clients.special and not (wants_offset and clients.without_recovery):
            recipients: Iterable[str] = members.values()
        else:
            marked: list[str] = []
            for sid, eio_sid in members.items():
                client = clients.by_sid.get(sid)
                if client is None:
                    continue
                if sid in clients.special and self._withholds(client, envelope):
                    continue
                if wants_offset and client.replayed_until and not client.no_recovery:
                    ahead.append(client)
                else:
                    (without_offset if client.no_recovery else marked).append(eio_sid)
            recipients = marked
        deliver = self._transport.deliver
        count = 0
        if without_offset:
            count += deliver(without_offset, self._make_message(envelope, None))
        for client in ahead:
            own = write_offset(self.broker.epoch or "0", client.with_replay(tuple(self.broker.positions)))
            count += deliver((client.eio_sid,), envelope.message(own))
        if self.deltas.clients:
            recipients, batches = self.deltas.divide(envelope, recipients)
            for batch in batches:
                count += self._deliver_batch(batch)
        offset = write_offset(self.broker.epoch or "0", self.broker.positions) if wants_offset else None
        count += deliver(recipients, self._make_message(envelope, offset))
        self._observer.event_emitted(envelope.event, count)

    def _make_message(self, envelope: Envelope, offset: str | None) -> Message:
        message = envelope.message(offset)
        message.window = self._kinds.describe_event(envelope.event).window
        return message

    def position(self, sid: str) -> str | None:
        """The offset up to which a client has got events; None for a client that gets no offsets."""
        client = self.clients.by_sid.get(sid)
        if client is None or client.no_recovery:
            return None
        vector = tuple(self.broker.positions)
        if client.buffered:  # not beyond what is buffered
            first, vector = client.buffered[0]
            partition = self.broker.partition_of(first.rooms[0])
            vector = (*vector[:partition], first.id - 1, *vector[partition + 1 :])
        vector = client.replay_begin if client.replay else client.with_replay(vector)
        return write_offset(self.broker.epoch or "0", vector)

    def pause_delivery(self, sid: str, client: Client) -> None:
        """Buffer a client's events until `resume_delivery`."""
        client.pause_count += 1
        self.clients.special[sid] = client

    def resume_delivery(self, sid: str, client: Client) -> None:
        """Send what was buffered, once nothing else keeps the delivery paused."""
        client.pause_count -= 1
        if client.pause_count or self.clients.by_sid.get(sid) is not client:
            return
        self.send_snapshot(client)
        buffered, client.buffered = client.buffered or (), None
        for envelope, vector in buffered:
            self.send_buffered(client, envelope, vector)
        states, client.buffered_states, client.buffered_size = client.buffered_states or {}, None, 0
        for envelope in states.values():
            self.send_buffered(client, envelope, ())
        if not client.replayed_until and not client.awaiting_position:
            self.clients.special.pop(sid, None)
        if self.notices is not None:
            self.notices.notify(client)

    def start_delivery(self, sid: str) -> None:
        """After its CONNECT packet, send a client its replay, then what was buffered, as fast as its network allows."""
        client = self.clients.by_sid.get(sid)
        if client is not None:
            client.is_replaying = True
            self._send_round(sid, client)

    def on_drained(self, eio_sid: str) -> None:
        """A transport can accept more data (`DrainWaiter`)."""
        for namespace in self._manager.namespaces_of(eio_sid):
            sid = self._manager.sid_from_eio_sid(eio_sid, namespace)
            client = self.clients.by_sid.get(sid) if sid is not None else None
            if sid is not None and client is not None and client.is_replaying:
                self._send_round(sid, client)

    def _send_round(self, sid: str, client: Client) -> None:
        if not self._replays.send_some(client):
            asyncio.get_running_loop().call_soon(self._continue_replay, sid, client)
        elif client.is_replay_short:
            self._close_slow(client)
        else:
            client.is_replaying = False
            client.replay = None
            self.resume_delivery(sid, client)

    def _continue_replay(self, sid: str, client: Client) -> None:
        if self.clients.by_sid.get(sid) is not client or not client.is_replaying:
            return
        if self._transport.is_backed_up(client.eio_sid):
            self._replays.keep(client)
            self._transport.notify_drained(client.eio_sid, self)
        else:
            self._send_round(sid, client)

    def discard_unsent(self, sid: str) -> None:
        """Drop the queued events of a client that must not get them, or is going to recover them."""
        client = self.clients.by_sid.get(sid)
        if client is not None:
            self._transport.discard(client.eio_sid, client.session.joins, ())

    def _close_slow(self, client: Client) -> None:
        """Close the transport of a client whose link takes too little of its replay."""
        if not client.is_too_slow:
            client.count_slow_close()
            self._transport.report_too_slow(client.eio_sid)
        self.cut_off(client)

    def cut_off(self, client: Client) -> None:
        """Close its transport, so that it reconnects. Nothing more is sent: its offset would skip what was not sent."""
        client.pause_count += 1
        client.drop_unsent()
        self._transport.close_transport(client.eio_sid)

    def sweep(self) -> None:
        """End the special treatment of clients whose replay or newest room is behind this server's position by now."""
        self.intake.sweep()
        positions = self.broker.positions
        for sid, client in list(self.clients.special.items()):
            if client.pause_count:
                continue
            if all(here >= there for here, there in zip(positions, client.replayed_until, strict=False)):
                client.replayed_until = ()
            joins = client.session.joins
            client.awaiting_position &= any(positions[self.broker.partition_of(room)] < joins[room] for room in joins)
            if not client.replayed_until and not client.awaiting_position:
                del self.clients.special[sid]

    def _deliver_batch(self, batch: Batch) -> int:
        message = batch.message
        count = self._transport.deliver(batch.recipients, message)
        if batch.is_delta:
            self._observer.deltas_delivered(count, message.size, batch.replaced)
        else:
            self._observer.wholes_delivered(count, message.size)
        return count

    def _is_elsewhere(self, sid: str, envelope: Envelope) -> bool:
        client = self.clients.by_sid.get(sid)
        return client is not None and is_elsewhere(envelope, client.session.joins)

    def _is_before_join(self, sid: str, envelope: Envelope) -> bool:
        client = self.clients.by_sid.get(sid)
        if client is None:
            return False
        joins = client.session.joins
        return not any(room in joins and envelope.id > joins[room] for room in envelope.rooms)

    def _withholds(self, client: Client, envelope: Envelope) -> bool:
        """Whether an event must not be sent to a client now: it is buffered, or the client has it, or joined later."""
        if client.pause_count:
            count = client.buffer(envelope, tuple(self.broker.positions))
            if count > self._buffer_limit or (count > 1 and client.buffered_size > self._size_limit):
                if client.is_replaying:
                    self._close_slow(client)
                else:  # it waits for Redis, and not for its link
                    self._lines.write(log.warning, "buffer of a client is full: its transport is closed")
                    self.cut_off(client)
            return True
        joins = client.session.joins
        if client.awaiting_position and not is_for_client(envelope, client.session.sid, joins, joins):
            return True
        partition = self.broker.partition_of(envelope.rooms[0])
        return bool(client.replayed_until) and envelope.id <= client.replayed_until[partition]

    def send_snapshot(self, client: Client) -> None:
        """Send what its rooms had when it joined them, before anything that was buffered (`EventSender`)."""
        snapshot, client.snapshot = client.snapshot, None
        joins = client.session.joins
        for room, envelope in snapshot or ():
            if is_in_snapshot(envelope, room, client.session.sid, joins):
                self._transport.deliver((client.eio_sid,), envelope.message(None))

    def send_buffered(self, client: Client, envelope: Envelope, vector: Vector) -> None:
        """Send an event that was buffered, if it is for the client (`EventSender`)."""
        partition = self.broker.partition_of(envelope.rooms[0])
        if client.replayed_until and envelope.id <= client.replayed_until[partition]:
            return
        joins = client.session.joins
        if is_for_client(envelope, client.session.sid, joins, joins):
            self.send_event(client, envelope, client.with_replay(vector) if vector else vector)

    def send_event(self, client: Client, envelope: Envelope, vector: Vector) -> None:
        """Send one event to one client, with these positions as its offset (`EventSender`)."""
        offset = None
        if not client.no_recovery and (envelope.kind == COUNTED or envelope.ends_in_text):
            offset = write_offset(self.broker.epoch or "0", vector)
        count = self._transport.deliver((client.eio_sid,), envelope.message(offset))
        self._observer.event_emitted(envelope.event, count)
