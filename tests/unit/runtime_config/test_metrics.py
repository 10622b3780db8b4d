from __future__ import annotations

from kit.metrics.values import read_value
from tradecast.observability.metrics.registry import MetricsRegistry
from tradecast.runtime_config.metrics import RuntimeConfigMetrics


def test_a_good_file_ends_the_error() -> None:
    registry = MetricsRegistry()
    metrics = RuntimeConfigMetrics(registry)
    metrics.adapter_file("refused")
    metrics.adapter_file("applied")
    assert read_value(registry, "adapter_settings_error") == 0
