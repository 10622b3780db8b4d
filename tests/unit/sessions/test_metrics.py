from __future__ import annotations

from kit.metrics.values import read_value
from tradecast.observability.metrics.registry import MetricsRegistry
from tradecast.sessions.metrics import SessionMetrics


def test_the_way_back_shows() -> None:
    registry = MetricsRegistry()
    metrics = SessionMetrics(registry)
    metrics.store_available(False)
    metrics.store_available(True)
    assert read_value(registry, "session_store_up") == 1
    assert read_value(registry, "session_store_outages_total") == 1
