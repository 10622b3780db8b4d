"""Repairs a gap: events that a lost subscription missed are replayed; events that arrive meanwhile are buffered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from tradecast.delivery.envelope import Envelope
from tradecast.delivery.errors import SubscriptionDropped
from tradecast.delivery.redis.cursor import PartitionCursor
from tradecast.delivery.redis.history import Found

MAX_BUFFERED = 100_000


class History(Protocol):
    """Where missed events are read from: the partition."""

    async def read_missed(self, starts: Mapping[str, int]) -> Found:
        """Read the events of each room after a position; of latest ones, too, only what this server has not had."""
        ...


class EventSink(Protocol):
    """Where events go, in order: the partition."""

    def deliver_once(self, envelope: Envelope) -> None:
        """Deliver an event, unless it has been delivered before."""
        ...


class Repaired(NamedTuple):
    """A gap that was repaired.

    Attributes:
        read_back: Events that were missed, and read.
        broken: Rooms of which something is missing for good.
    """

    read_back: int
    broken: set[str]


class GapRepair:
    """Buffers events while the history is replayed, so that all are delivered once and in order.

    Args:
        cursor: How far the history was delivered.
        history: Where missed events are read from.
        sink: Where events go.
    """

    def __init__(self, cursor: PartitionCursor, history: History, sink: EventSink) -> None:
        self._cursor = cursor
        self._history = history
        self._sink = sink
        self._buffered: list[Envelope] = []

    def buffer(self, envelope: Envelope) -> None:
        """Buffer an event until the gap is repaired. Raises SubscriptionDropped if there are too many."""
        self._buffered.append(envelope)
        if len(self._buffered) > MAX_BUFFERED:
            self._buffered.clear()
            raise SubscriptionDropped("too much came while a gap was being repaired")

    def clear(self) -> None:
        """The subscription is lost again: the buffered events are replayed later."""
        self._buffered.clear()

    async def run(self, starts: Mapping[str, int]) -> Repaired:
        """Deliver what was missed of each room after a position, then what was buffered.

        Raises:
            AdapterUnavailable: The history cannot be read now.
        """
        found = await self._history.read_missed(starts)
        broken = found.broken
        for envelope in found.envelopes:
            self._sink.deliver_once(envelope)
        self._cursor.advance(found.position)
        buffered, self._buffered = self._buffered, []
        for envelope in buffered:
            self._sink.deliver_once(envelope)
        if self._cursor.has_gap:
            broken |= set(starts)
        self._cursor.gap_is_repaired()
        return Repaired(len(found.envelopes), broken)
