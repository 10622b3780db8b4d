"""Which events a client that was away gets when it is back."""

from __future__ import annotations

import pytest

from tradecast.delivery.envelope import COUNTED, LATEST, Kind
from tradecast.events.kinds import kind_of


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ("watchlist:quote", LATEST),
        ("market:status", LATEST),
        *((event, COUNTED) for event in ("trade:executed", "trade:failed", "portfolio:update", "notification", "own")),
    ],
)
def test_of_whole_states_the_newest_is_enough(event: str, kind: Kind) -> None:
    assert kind_of(event) == kind
