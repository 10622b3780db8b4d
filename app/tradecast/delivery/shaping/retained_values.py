"""What stays in a single server's memory for those who subscribe later, with the bounds that Redis has for many."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tradecast.delivery.envelope import COUNTED, Envelope
from tradecast.delivery.ids import id_span
from tradecast.delivery.retention import MAX_KEYS, RetainLimits

Key = tuple[str, str]
"""Name and key of a latest event."""
# What a value and a room take beside their bytes, roughly.
VALUE_BYTES: Final = 400
ROOM_BYTES: Final = 300


@dataclass(slots=True)
class RetainedRoom:
    """What stays of one room.

    Attributes:
        latest: The newest of each latest event and key.
        recent: The newest counted events, by rising id.
        size: Bytes, roughly.
        newest: The id of the newest of all.
    """

    latest: Mapping[Key, Envelope] = field(default_factory=dict)
    recent: Sequence[Envelope] = ()
    size: int = 0
    newest: int = 0


NOTHING: Final = RetainedRoom()


class RetainedValues:
    """The values that stay, room by room; the rooms that were written to least recently go first.

    Args:
        limits: How much stays, and for how long.

    Attributes:
        size: Bytes of all, roughly.
        too_large: Values that did not stay, as they are too large.
        over_budget: Rooms that went, as the budget was used up.
    """

    def __init__(self, limits: RetainLimits) -> None:
        self._limits = limits
        self._rooms: OrderedDict[str, RetainedRoom] = OrderedDict()
        self.size = self.too_large = self.over_budget = 0

    def has_none_of(self, rooms: Iterable[str]) -> bool:
        """Whether nothing of these rooms stays."""
        return self._rooms.keys().isdisjoint(rooms)

    def find(self, room: str, now: int) -> RetainedRoom:
        """What stays of a room at this id; nothing of what is older than it may be."""
        found = self._rooms.get(room)
        if found is None:
            return NOTHING
        oldest = now - id_span(self._limits.seconds)
        latest = {key: one for key, one in found.latest.items() if one.id > oldest}
        return RetainedRoom(latest, [one for one in found.recent if one.id > oldest])

    def select_recent(self, events: Iterable[Envelope], count: int) -> Sequence[Envelope]:
        """Of events by rising id, the newest ones that stay, by rising id."""
        found = [one for one in events if one.kind == COUNTED and one.event in self._limits.recent]
        return found[-count:] if count else []

    def retain(self, room: str, latest: Mapping[Key, Envelope], events: Sequence[Envelope], now: int) -> None:
        """Retain the newest values of a room whose history is about to be dropped, within the bounds.

        Args:
            room: The room.
            latest: The newest of each latest event and key.
            events: Its counted events, by rising id.
            now: The id of this moment.
        """
        before = self.find(room, now)
        self._remove(room)
        if not self._limits.seconds:
            return
        newest = {**before.latest, **latest}
        for key, envelope in latest.items():
            if self._is_too_large(envelope):  # an older value of it is not the newest
                del newest[key]
        kept = dict(sorted(newest.items(), key=lambda one: one[1].id)[-MAX_KEYS:])
        counted = self.select_recent((*before.recent, *events), self._limits.most_recent)
        recent = [one for one in counted if not self._is_too_large(one)]
        if not kept and not recent:
            return
        size = ROOM_BYTES + sum(one.size + VALUE_BYTES for one in (*kept.values(), *recent))
        last = max(one.id for one in (*kept.values(), *recent))
        self._rooms[room] = RetainedRoom(kept, recent, size, last)
        self.size += size
        while self.size > self._limits.budget_bytes:
            self._remove(next(iter(self._rooms)))
            self.over_budget += 1

    def expire(self, now: int) -> None:
        """Drop the values that have been retained long enough."""
        oldest = now - id_span(self._limits.seconds)
        for room in [room for room, found in self._rooms.items() if found.newest <= oldest]:
            self._remove(room)

    def _remove(self, room: str) -> None:
        found = self._rooms.pop(room, None)
        if found is not None:
            self.size -= found.size

    def _is_too_large(self, envelope: Envelope) -> bool:
        is_large = envelope.size > self._limits.value_bytes
        self.too_large += is_large
        return is_large
