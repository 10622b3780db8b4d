"""Notifies clients of this server of the symbols that are stale, and again when they are not: one event for many."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

import structlog

from tradecast.delivery.clients.client import Client
from tradecast.delivery.envelope import Envelope
from tradecast.delivery.event_kinds import Feed
from tradecast.delivery.ids import PER_MS, now_id
from tradecast.delivery.shaping.staleness import Changes, Staleness
from tradecast.engine.message import Message
from tradecast.iso_time import format_now, format_time
from tradecast.observability.throttled_log import ThrottledLog
from tradecast.packets.codec import EVENT, encode_text

SWEEP_EVERY = 1.0
# Clients that are notified in one turn of the event loop.
MOST_IN_A_TURN = 200
log = structlog.stdlib.get_logger("tradecast.adapter")


class MaximumAges(Protocol):
    """Knows after how many seconds without a quote a symbol is stale."""

    def find(self, name: str, /) -> float | None:
        """That of a symbol; None: it is never stale."""
        ...


class LocalClients(Protocol):
    """The clients of this server: `ClientTable`."""

    @property
    def by_sid(self) -> Mapping[str, Client]:
        """All of them."""
        ...

    def find_members(self, rooms: Collection[str], /) -> Mapping[str, str]:
        """Who is in any of these rooms: sid to the engine's id."""
        ...


class Sender(Protocol):
    """Sends messages to transports: the engine."""

    def deliver(self, eio_sids: Iterable[str], message: Message, /) -> int:
        """Send encoded bytes to transports; how many there were."""
        ...


class Subscription(Protocol):
    """Knows whether events of other servers are received: the broker."""

    @property
    def is_subscribed(self) -> bool:
        """Whether events of other servers come here."""
        ...

    @property
    def is_local(self) -> bool:
        """Whether this server gives events their ids, by its own clock."""
        ...

    @property
    def positions(self) -> Sequence[int]:
        """Per partition, the id up to which all events have been delivered here."""
        ...

    def partition_of(self, room: str, /) -> int: ...


class StaleNotices:
    """Watches the rooms of symbols, and notifies each client once of what has changed in its own.

    The notices are this server's own: they are not published, not retained and not part of recovery. A client that
    is being admitted, joins a room or resumes is notified when its delivery starts.

    Args:
        feed: What the events are called.
        ages: When a symbol is stale.
        clients: The clients of this server.
        sender: Their connections.
        subscription: Why there may be no quotes at all.
        lines: Writes what may happen every second.
        clock: Seconds that never go back.
        wall: Unix time in seconds.

    Attributes:
        staleness: Which rooms are stale; it receives every quote.
    """

    def __init__(
        self,
        feed: Feed,
        ages: MaximumAges,
        clients: LocalClients,
        sender: Sender,
        subscription: Subscription,
        *,
        lines: ThrottledLog,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.staleness = Staleness()
        self._feed = feed
        self._ages = ages
        self._clients = clients
        self._sender = sender
        self._subscription = subscription
        self._lines = lines
        self._clock = clock
        self._wall = wall
        # What each client was notified of: only those are here of whose symbols one is stale.
        self._notified: dict[Client, set[str]] = {}

    async def run(self) -> None:
        """Sweep for ever. After the event loop has stalled, quotes that came meanwhile are read first."""
        was_late, before = False, self._clock()
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            now = self._clock()
            was_late, before = not was_late and now - before > 2 * SWEEP_EVERY, now
            if was_late:
                continue
            try:
                await self.sweep()
            except Exception:
                log.exception("symbols could not be checked for staleness; the next check is in a second")

    def watch(self, room: str) -> None:
        """A client of this server enters a room."""
        if room.startswith(self._feed.rooms):
            max_age = self._ages.find(room.removeprefix(self._feed.rooms))
            if max_age is not None:
                self.staleness.watch(room, max_age, self._clock())

    def receive_retained(self, envelope: Envelope) -> None:
        """The newest quote of before is known, of a room that a client subscribes to."""
        # Ids carry the clock of Redis, which may be an hour away from this server's. So does the newest id here, which
        # this server's own messages through Redis move on.
        broker = self._subscription
        for room in envelope.rooms:
            present = now_id() if broker.is_local else broker.positions[broker.partition_of(room)]
            age = max(present - envelope.id, 0) / PER_MS / 1000
            self.staleness.receive_retained(room, self._clock() - age)

    def set_market(self, is_open: bool | None) -> None:
        """The market is open, closed, or in a state that nobody knows."""
        self.staleness.set_market(is_open, self._clock())

    async def sweep(self) -> None:
        """Notify the clients of everything that has changed since the sweep before."""
        for room in [room for room in self.staleness.rooms if not self._clients.find_members((room,))]:
            self.staleness.forget(room)
        by_sid = self._clients.by_sid
        for client in [one for one in self._notified if by_sid.get(one.session.sid) is not one]:
            del self._notified[client]
        changes = self.staleness.sweep(self._clock())
        if not changes:
            return
        self._log(changes)
        messages: dict[Any, Message] = {}
        for number, sid in enumerate(list(self._clients.find_members([*changes.stale, *changes.live])), 1):
            found = by_sid.get(sid)
            if found is not None and not found.pause_count:
                self._notify(found, messages)
            if number % MOST_IN_A_TURN == 0:
                await asyncio.sleep(0)

    def notify(self, client: Client) -> None:
        """Notify a client whose delivery starts, or that has joined a room, of what is stale now."""
        if self.staleness.stale or client in self._notified:
            self._notify(client, {})

    def _notify(self, client: Client, messages: dict[Any, Message]) -> None:
        stale, joins = self.staleness.stale, client.session.joins
        notified = self._notified.get(client, set())
        ended = {room for room in notified if room not in stale or room not in joins}
        begun = []
        if self.staleness.is_market_open:
            begun = [room for room in joins if room in stale and room not in notified]
        if not ended and not begun:
            return
        left = (notified - ended).union(begun)
        if left:
            self._notified[client] = left
        else:
            self._notified.pop(client, None)
        self._send(client, [room for room in joins if room in ended], messages, is_stale=False)
        self._send(client, begun, messages, is_stale=True)

    def _send(self, client: Client, rooms: Collection[str], messages: dict[Any, Message], *, is_stale: bool) -> None:
        if not rooms:
            return
        rooms = tuple(sorted(rooms))
        message = messages.get((rooms, is_stale))
        if message is None:
            message = messages[rooms, is_stale] = self._encode(rooms, is_stale=is_stale)
        self._sender.deliver((client.eio_sid,), message)

    def _encode(self, rooms: Collection[str], *, is_stale: bool) -> Message:
        """One event for several symbols, so `since` is what is true of all of them."""
        now = self._clock()
        if is_stale:
            since = max(self.staleness.stale[room] for room in rooms)
        else:
            since = min(self.staleness.received(room, now) for room in rooms)
        payload = {
            "symbols": [room.removeprefix(self._feed.rooms) for room in rooms],
            "since": format_time(self._wall() - (now - since)),
            "stale": is_stale,
            "timestamp": format_now(),
        }
        text, _ = encode_text(EVENT, [self._feed.stale, payload])
        message = Message.of_bytes(text)
        message.rooms = tuple(rooms)
        return message

    def _log(self, changes: Changes) -> None:
        if changes.stale and not self._subscription.is_subscribed:
            self._lines.write(
                log.warning,
                "symbols are stale: this server has no subscription to Redis, so no quotes come",
                symbols=len(changes.stale),
                stale=len(self.staleness.stale),
            )
        elif changes.stale:
            self._lines.write(
                log.warning,
                "symbols are stale: no quote has come for longer than STALE_AFTER",
                symbols=len(changes.stale),
                stale=len(self.staleness.stale),
            )
        if changes.live:
            self._lines.write(
                log.info,
                "symbols are not stale any more: quotes have come",
                symbols=len(changes.live),
                stale=len(self.staleness.stale),
            )
