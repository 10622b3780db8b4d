"""How long things are kept."""

from __future__ import annotations

from tradecast.delivery.retention import Retention


def test_events_outlive_what_a_quiet_client_may_still_ask_for() -> None:
    kept = Retention(window=120, dead_after=85, refresh=30, events_per_room=10)
    assert kept.session_seconds == 120 + 85 + 2 * 30
    assert kept.seconds == 120 + 2 * 85 + 4 * 30
    assert kept.seconds > kept.session_seconds
