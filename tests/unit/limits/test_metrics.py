from __future__ import annotations

from kit.metrics.values import read_value
from tradecast.limits.metrics import LimitMetrics
from tradecast.observability.metrics.registry import MetricsRegistry


def test_the_way_back_shows() -> None:
    registry = MetricsRegistry()
    metrics = LimitMetrics(registry)
    metrics.limiter_fallback(True)
    metrics.limiter_fallback(False)
    assert read_value(registry, "limiter_fallback") == 0
    assert read_value(registry, "limiter_fallback_transitions_total", to="redis") == 1
