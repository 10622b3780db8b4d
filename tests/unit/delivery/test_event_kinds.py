"""What is declared of an event that nobody declared."""

from __future__ import annotations

from tradecast.delivery.envelope import COUNTED
from tradecast.delivery.event_kinds import EventKind


def test_an_event_counts_and_nothing_is_kept_of_it_unless_that_is_declared() -> None:
    assert EventKind() == EventKind(COUNTED, key="", recent=0, deltas=False, window=0.0)
