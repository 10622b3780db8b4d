"""Throttling of latest-wins events: at most so many a second of each key, and always the newest. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

from tradecast.delivery.envelope import Envelope

StateKey = tuple[str, str, str]
"""What an event is the newest state of: room, event and key (`Envelope.state_key`)."""
Interval = float
"""Seconds between two events of a key."""
# Keys that have had an event within their interval. Beyond, events of further keys are not throttled.
MOST_KEYS: Final = 100_000
# Keys whose interval is remembered.
MOST_REMEMBERED: Final = 10_000


class Intervals(Protocol):
    """Knows which keys are throttled, and how far."""

    def interval_of(self, name: StateKey, /) -> Interval | None:
        """The least time between two events of a key, in seconds; None: it is not throttled."""
        ...


class _Key:
    """A key of which an event was sent within its interval."""

    __slots__ = ("due", "envelope", "lane", "name")

    def __init__(self, name: StateKey, lane: _Lane) -> None:
        self.name = name
        self.lane = lane
        self.due = 0.0
        self.envelope: Envelope | None = None

    def begin(self, now: float) -> None:
        """One of its events is sent now."""
        self.due = now + self.lane.interval
        self.lane.queue.append((self.due, self))


class _Lane:
    """The keys with one interval. They are due in the order in which they were sent, so nothing has to be sorted."""

    __slots__ = ("interval", "queue")

    def __init__(self, interval: Interval) -> None:
        self.interval = interval
        # When each is due: that of its key, or else the entry is obsolete, as the key has another one.
        self.queue: deque[tuple[float, _Key]] = deque()


class Throttle:
    """Decides which events are sent at once, which later, and which not at all, as a newer one has taken their place.

    The first event of a key is sent at once, and nothing else for its interval. The newest event that came meanwhile
    is due at its end. A key that has had no event for its interval is forgotten.

    Args:
        intervals: Those of all keys.
        most_keys: How many keys are known at a time.

    Attributes:
        replaced: Events that were not sent, as a newer one of their key took their place.
        buffered: Events that will be sent later.
    """

    def __init__(self, intervals: Intervals, most_keys: int = MOST_KEYS) -> None:
        self._source = intervals
        self._most_keys = most_keys
        self._keys: dict[StateKey, _Key] = {}
        self._lanes: dict[Interval, _Lane] = {}
        self._intervals: dict[StateKey, Interval | None] = {}
        self.replaced = 0
        self.buffered = 0

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def next_due(self) -> float | None:
        """When `take_due` is to be called next; None: not before another event comes."""
        return min((lane.queue[0][0] for lane in self._lanes.values() if lane.queue), default=None)

    def admit(self, envelope: Envelope, name: StateKey, now: float) -> bool:
        """Whether an event is to be sent now; else it is buffered, in place of an older one of its key.

        Args:
            envelope: The event.
            name: Its `state_key`.
            now: Seconds that never go back.
        """
        key = self._keys.get(name)
        if key is None:
            interval = self._remember(name)
            if interval is None or len(self._keys) >= self._most_keys:
                return True
            self._keys[name] = key = _Key(name, self._lane(interval))
            key.begin(now)
            return True
        if now >= key.due:  # the caller is late with `take_due`
            if key.envelope is not None:
                self._drop(key)
            key.begin(now)
            return True
        if key.envelope is None:
            self.buffered += 1
        else:
            self.replaced += 1
        key.envelope = envelope
        return False

    def take_due(self, now: float) -> Sequence[Envelope]:
        """Take the events that are due. New intervals begin for their keys."""
        due: list[Envelope] = []
        for lane in self._lanes.values():
            queue = lane.queue
            while queue and queue[0][0] <= now:
                at, key = queue.popleft()
                if key.due != at:
                    continue
                if key.envelope is None:
                    del self._keys[key.name]
                    continue
                due.append(key.envelope)
                key.envelope = None
                self.buffered -= 1
                key.begin(now)
        return due

    def take(self, name: StateKey) -> Envelope | None:
        """The buffered event of a key, to be sent now, since another event that is not throttled goes after it."""
        key = self._keys.get(name)
        if key is None or key.envelope is None:
            return None
        envelope, key.envelope = key.envelope, None
        self.buffered -= 1
        return envelope

    def take_all(self) -> Sequence[Envelope]:
        """All buffered events, to be sent or dropped now."""
        found = [envelope for name in list(self._keys) if (envelope := self.take(name)) is not None]
        found.sort(key=lambda envelope: envelope.id)
        return found

    def _drop(self, key: _Key) -> None:
        key.envelope = None
        self.buffered -= 1
        self.replaced += 1

    def _lane(self, interval: Interval) -> _Lane:
        lane = self._lanes.get(interval)
        if lane is None:
            lane = self._lanes[interval] = _Lane(interval)
        return lane

    def _remember(self, name: StateKey) -> Interval | None:
        if name in self._intervals:
            return self._intervals[name]
        if len(self._intervals) >= MOST_REMEMBERED:
            self._intervals.clear()
        interval = self._intervals[name] = self._source.interval_of(name)
        return interval
