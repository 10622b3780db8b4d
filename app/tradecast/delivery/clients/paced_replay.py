"""Replays missed events to reconnected clients, as fast as each client's network allows."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Final, Protocol

from tradecast.delivery.broker import Broker
from tradecast.delivery.clients.client import Client, Vector
from tradecast.delivery.envelope import Envelope
from tradecast.engine.transports.backlog import DrainWaiter

# Bytes that are sent in one turn of the event loop: only at its end does a transport know whether its link takes more.
BYTES_PER_TURN: Final = 16_384
# What a frame, an offset and a bracket add to an event, at most.
_OVERHEAD: Final = 64


class Link(Protocol):
    """Knows whether a client's transport can accept more data: the engine."""

    def is_backed_up(self, eio_sid: str, /) -> bool:
        """Whether a transport accepts no more data for now; False if it is closed."""
        ...

    def notify_drained(self, eio_sid: str, waiter: DrainWaiter, /) -> None:
        """Notify a waiter once, when a transport's queue is empty; never, if the transport is closed before.

        A client that polls is backed up whenever no poll of it waits: who is notified sends, without asking again.
        """
        ...


class EventSender(Protocol):
    """Sends one event to one client: the local delivery."""

    def send_event(self, client: Client, envelope: Envelope, vector: Vector, /) -> None:
        """Send it, with these positions as its offset."""
        ...

    def send_snapshot(self, client: Client, /) -> None:
        """Send what its rooms had when it joined them, before anything that was buffered."""
        ...

    def send_buffered(self, client: Client, envelope: Envelope, vector: Vector, /) -> None:
        """Send an event that was buffered, if it is for the client."""
        ...


class PacedReplay:
    """Sends what clients missed, then what was buffered for them meanwhile, in small portions.

    Sent at once, a long replay would fill the queue of a slow client, whose transport is closed for that: it would
    never get through. With each event the client's offset moves on: if its connection is lost in between, the next
    replay begins there.

    Args:
        broker: Knows partitions.
        sender: Sends the events.
        limit: Bytes that may be kept for a client until its link takes them; a single event may be larger.
    """

    def __init__(self, broker: Broker, sender: EventSender, limit: int) -> None:
        self._broker = broker
        self._sender = sender
        self._limit = limit

    def send_some(self, client: Client) -> bool:
        """Send as much as fits into one turn of the event loop. Returns whether nothing is left."""
        left = BYTES_PER_TURN
        while left > 0:
            if client.replay:
                left -= self._send_missed(client, client.replay)
            elif client.pause_count > 1:  # it joins a room, whose position is not known yet
                return True
            elif client.snapshot:
                left -= sum(envelope.size + _OVERHEAD for _, envelope in client.snapshot)
                self._sender.send_snapshot(client)
            elif client.buffered:
                envelope, vector = client.buffered.popleft()
                left -= envelope.size + _OVERHEAD
                client.buffered_size -= envelope.size
                self._sender.send_buffered(client, envelope, vector)
            else:
                return True
        return not client.replay and not (client.pause_count == 1 and (client.snapshot or client.buffered))

    def keep(self, client: Client) -> None:
        """What is left of a replay waits for the client's link. What is too much is dropped: its next replay has it."""
        if client.replay is None:
            return
        size = 0
        for number, envelope in enumerate(client.replay):
            size += envelope.size + _OVERHEAD
            if number and size > self._limit:
                client.replay = deque(islice(client.replay, number))
                client.is_replay_short = True
                return

    def _send_missed(self, client: Client, replay: deque[Envelope]) -> int:
        envelope = replay.popleft()
        partition = self._broker.partition_of(envelope.rooms[0])
        begin = client.replay_begin or (0,) * self._broker.partitions
        here = max(begin[partition], envelope.id)
        client.replay_begin = (*begin[:partition], here, *begin[partition + 1 :])
        joins = client.session.joins
        if not any(room in joins for room in envelope.rooms):  # it has left them meanwhile
            return 0
        self._sender.send_event(client, envelope, client.replay_begin)
        return envelope.size + _OVERHEAD
