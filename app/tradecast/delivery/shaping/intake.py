"""Receives events of the broker, notes what they say about the market, and sends them now or later."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from tradecast.config.patterns import PatternValues
from tradecast.delivery.envelope import Envelope
from tradecast.delivery.event_kinds import Feed
from tradecast.delivery.shaping.packet_fields import read_age, read_market_state
from tradecast.delivery.shaping.stale_notices import StaleNotices
from tradecast.delivery.shaping.throttle import StateKey, Throttle

# While nothing is buffered, keys are forgotten this often.
IDLE_EVERY: Final = 1.0
# A timer may be early by less than that; it must not spin until it is due.
SHORTEST: Final = 0.001
log = structlog.stdlib.get_logger("tradecast.adapter")


class Outlet(Protocol):
    """Sends events to the clients of this server: `LocalDelivery`."""

    def deliver_late(self, envelope: Envelope, /) -> None:
        """Send a buffered event, except to clients that have joined its room since it came."""
        ...


class AgeObserver(Protocol):
    """Observes the age of quotes; the metrics do."""

    def quote_age(self, seconds: float, /) -> None:
        """A quote was this old when it was sent."""
        ...


class NoAges:
    """`AgeObserver` that forgets everything."""

    def quote_age(self, seconds: float) -> None:
        """Forget it."""


class Subjects(Protocol):
    """Knows what an event is about."""

    def subject_of(self, event: str, room: str, key: str, /) -> str:
        """What patterns are compared with: the symbol of a quote, else the event's name."""
        ...


NO_AGES: Final = NoAges()
NO_VALUES: Final = PatternValues({})
NO_FEED: Final = Feed(quote="", rooms="", market="", stale="")


@dataclass(frozen=True, slots=True)
class ShapingOptions:
    """How events are shaped before they are sent to clients.

    Attributes:
        feed: What the events of market data are called.
        rates: Latest-wins events a second, by what they are about.
        max_ages: Seconds after which a symbol is stale.
        age_sample: Of so many quotes one has its age measured; 0: none.
        observer: Observes the age of quotes.
    """

    feed: Feed = NO_FEED
    rates: PatternValues = NO_VALUES
    max_ages: PatternValues = NO_VALUES
    age_sample: int = 0
    observer: AgeObserver = NO_AGES


NO_SHAPING: Final = ShapingOptions()


class ThrottleIntervals:
    """`Intervals` by the patterns of a setting.

    Args:
        rates: Events a second.
        subjects: What an event is about.
    """

    def __init__(self, rates: PatternValues, subjects: Subjects) -> None:
        self._rates = rates
        self._subjects = subjects

    def interval_of(self, name: StateKey) -> float | None:
        room, event, key = name
        rate = self._rates.find(self._subjects.subject_of(event, room, key))
        return None if rate is None else 1 / rate


class Intake:
    """Receives every event for the clients of this server, and passes it on now or later.

    Args:
        options: What is done with events.
        subjects: What an event is about.
        outlet: Sends what was buffered.
        notices: Notifies clients of stale symbols; None: nothing is ever stale.
        clock: Seconds that never go back.
        wall: Unix time in seconds.

    Attributes:
        is_throttling: Whether any event may be throttled.
        watched: The events that are examined even if none is throttled. All others need not come here then.
        is_market_open: Whether the market is open; None: that is not known.
    """

    def __init__(
        self,
        options: ShapingOptions,
        subjects: Subjects,
        outlet: Outlet,
        notices: StaleNotices | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.is_market_open: bool | None = None
        # Of the last status; while no client is here, none comes.
        self._market_id = -1
        self._quote = options.feed.quote
        self._market = options.feed.market
        self._sample = options.age_sample or math.inf
        self._unmeasured = 0
        self._outlet = outlet
        self._notices = notices
        self._observer = options.observer
        self._clock = clock
        self._wall = wall
        self._throttle: Throttle | None = None
        self._longest = 0.0
        self.is_throttling = bool(options.rates)
        watches_quotes = notices is not None or options.age_sample > 0
        self.watched = frozenset((self._market, self._quote) if watches_quotes else (self._market,))
        if options.rates:
            self._throttle = Throttle(ThrottleIntervals(options.rates, subjects))
            self._longest = 1 / min(options.rates.values)
        # Rooms that clients have joined: at which position, and when. For as long as something older may be buffered.
        self._joined: dict[str, tuple[int, float]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_idle = True

    # -- what metrics read

    @property
    def replaced(self) -> int:
        """Events that were not sent, as a newer one of their key took their place."""
        return 0 if self._throttle is None else self._throttle.replaced

    @property
    def buffered(self) -> int:
        """Events that will be sent later."""
        return 0 if self._throttle is None else self._throttle.buffered

    @property
    def stale(self) -> int:
        """Symbols that are stale now."""
        return 0 if self._notices is None else len(self._notices.staleness.stale)

    # -- events

    def admits(self, envelope: Envelope) -> bool:
        """Whether an event is to be sent now; else it is sent later, or a newer one in its place."""
        if envelope.event != self._quote:
            if envelope.event == self._market:
                self.note_market(envelope)
            return self._throttle is None or self._admits(self._throttle, envelope)
        if self._notices is not None:
            staleness, now = self._notices.staleness, self._clock()
            for room in envelope.rooms:
                staleness.receive(room, now)
        if self._throttle is not None and not self._admits(self._throttle, envelope):
            return False
        self._unmeasured += 1
        if self._unmeasured >= self._sample:
            self._measure(envelope)
        return True

    def note_market(self, envelope: Envelope) -> None:
        """A `market:status` has come, or a retained one is known."""
        if self._market not in envelope.rooms:
            return
        self.is_market_open = read_market_state(envelope.packet)
        self._market_id = envelope.id
        if self._notices is not None:
            self._notices.set_market(self.is_market_open)

    def note_retained(self, envelope: Envelope) -> None:
        """Note the newest event of a key, from before the first client of this server subscribed to the room."""
        if envelope.event == self._quote and self._notices is not None:
            self._notices.receive_retained(envelope)
        elif envelope.event == self._market and envelope.id > self._market_id:
            self.note_market(envelope)

    def note_join(self, room: str, position: int) -> None:
        """Note that a client has joined a room at a position: buffered events up to there are not for it."""
        if self._throttle is not None:
            before, _ = self._joined.get(room, (0, 0.0))
            self._joined[room] = (max(position, before), self._clock())

    def was_joined(self, rooms: Collection[str], event_id: int) -> bool:
        """Whether a client has joined one of these rooms at the position of this event or after it, not long ago."""
        return any(self._joined[room][0] >= event_id for room in rooms if room in self._joined)

    def sweep(self) -> None:
        """Forget joins that are older than all buffered events. Call it about once a second."""
        oldest = self._clock() - self._longest - IDLE_EVERY
        for room in [room for room, (_, at) in self._joined.items() if at < oldest]:
            del self._joined[room]

    def flush(self) -> None:
        """Send all buffered events now, because later events have other positions."""
        if self._throttle is not None:
            self._send(self._throttle.take_all())
            self._joined.clear()

    def close(self) -> None:
        """Drop the buffered events: clients get the newest values when they reconnect."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._throttle is not None:
            self._throttle.take_all()
            self._throttle = None

    # -- the steps of the above

    def _admits(self, throttle: Throttle, envelope: Envelope) -> bool:
        name = envelope.state_key
        if name is None or envelope.skip or envelope.except_rooms or envelope.elsewhere or len(envelope.rooms) > 1:
            # It goes to others than its key's next one, or has to stay in order. Nothing older may come after it.
            if throttle.buffered:
                self._send_older(throttle, envelope)
            return True
        is_admitted = throttle.admit(envelope, name, self._clock())
        if self._timer is None or (self._is_idle and not is_admitted):
            self._arm(throttle)
        return is_admitted

    def _send_older(self, throttle: Throttle, envelope: Envelope) -> None:
        for room in envelope.rooms:
            older = throttle.take((room, envelope.event, envelope.key))
            if older is not None:
                self._send([older])

    def _arm(self, throttle: Throttle) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = throttle.next_due
        if due is None:
            return
        self._is_idle = not throttle.buffered
        delay = IDLE_EVERY if self._is_idle else max(due - self._clock(), SHORTEST)
        self._timer = asyncio.get_running_loop().call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        throttle = self._throttle
        if throttle is not None:
            self._send(throttle.take_due(self._clock()))
            self._arm(throttle)

    def _send(self, envelopes: Collection[Envelope]) -> None:
        for envelope in envelopes:
            try:
                self._outlet.deliver_late(envelope)
            except Exception:  # of one event: the others, and the timer, go on
                log.exception("an event that was throttled could not be sent", event_name=envelope.event)
            if envelope.event == self._quote:
                self._unmeasured += 1
                if self._unmeasured >= self._sample:
                    self._measure(envelope)

    def _measure(self, envelope: Envelope) -> None:
        self._unmeasured = 0
        age = read_age(envelope.packet, self._wall())
        if age is not None:
            self._observer.quote_age(age)
