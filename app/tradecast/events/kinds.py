"""What is declared of each event of the contract, beside its model in `contract`: docs/delivery.md shows it as a table.

This module is the server's `EventKinds`. It needs no pydantic, since programs that only publish read it, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tradecast.delivery.envelope import COUNTED, LATEST, VOLATILE, Kind
from tradecast.delivery.event_kinds import EventKind, Feed

# Of each room, for those who subscribe later.
RECENT: Final = 20
# Seconds that a notification may wait for others.
NOTIFICATION_WINDOW: Final = 0.05
_LATEST: Final[Sequence[Kind]] = (LATEST,)
_COUNTED: Final[Sequence[Kind]] = (COUNTED,)
# Each `LATEST` one carries the whole state, so an older one is of no use. A portfolio update need not be the whole
# portfolio, so each one counts; a publisher that always sends all of it may say that it is latest. Trades, positions
# and notifications always count: any other kind would lose some. A volatile status would leave a stale one to those who
# come next.
KINDS: Final[Mapping[str, EventKind]] = {
    "portfolio:update": EventKind(alternatives=_LATEST, recent=RECENT),
    "trade:executed": EventKind(recent=RECENT),
    "trade:failed": EventKind(recent=RECENT),
    "position:closed": EventKind(recent=RECENT),
    "notification": EventKind(recent=RECENT, window=NOTIFICATION_WINDOW),
    "watchlist:quote": EventKind(LATEST, (COUNTED, VOLATILE), key="symbol", deltas=True),
    "market:status": EventKind(LATEST, _COUNTED),
    # Each server says it to its own clients, of its own subscriptions (`delivery.shaping.stale_notices`).
    "watchlist:stale": EventKind(VOLATILE),
}
FEED: Final = Feed(quote="watchlist:quote", rooms="watchlist:", market="market:status", stale="watchlist:stale")
"""What staleness goes by."""
# The counted events that stay for those who subscribe later, each with how many.
RECENT_EVENTS: Final[Mapping[str, int]] = {name: kind.recent for name, kind in KINDS.items() if kind.recent}
_UNDECLARED: Final = EventKind(alternatives=(LATEST, VOLATILE))


def describe_event(event: str) -> EventKind:
    """What is declared of an event; of one that nobody declared, that it counts."""
    return KINDS.get(event, _UNDECLARED)


def key_of(event: str, arguments: Sequence[Any], rooms: Sequence[str]) -> str:
    """What a `LATEST` event is about, where its room does not say so; else "".

    A quote in its symbol's own room has no key; quotes of several symbols in another room each replace only their own
    symbol's.
    """
    field = describe_event(event).key
    if not field or not arguments or not isinstance(arguments[0], Mapping):
        return ""
    value = arguments[0].get(field)
    if not isinstance(value, str) or (len(rooms) == 1 and rooms[0].endswith(f":{value}")):
        return ""
    return value


def subject_of(event: str, room: str, key: str) -> str:
    """What an event is about, as patterns in settings say it: a quote's symbol, else the event's name.

    Args:
        event: Its name.
        room: Where it goes; of a quote without a key, the symbol's own room.
        key: See `key_of`.
    """
    if not describe_event(event).key:
        return event
    return key or room.partition(":")[2] or event
