"""How much each event of the contract matters to a client that was away: all of them, or the newest."""

from __future__ import annotations

from tradecast.delivery.envelope import COUNTED, LATEST, Kind

# Each tells the whole state, so an older one is of no use: only the newest is kept.
LATEST_WINS = frozenset(("watchlist:quote", "market:status"))


def kind_of(event: str) -> Kind:
    """Whether an event counts, or the newest of its room is enough."""
    return LATEST if event in LATEST_WINS else COUNTED
