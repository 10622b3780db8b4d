"""Which events a client that was away gets when it is back: all of them, or the newest."""

from __future__ import annotations

from tradecast.delivery.envelope import COUNTED, LATEST, Kind

# Each carries the whole state, so an older one is of no use: only the newest is kept.
LATEST_WINS = frozenset(("watchlist:quote", "market:status"))


def kind_of(event: str) -> Kind:
    """The kind of an event: `COUNTED`, or `LATEST` where the newest of its room is enough."""
    return LATEST if event in LATEST_WINS else COUNTED
