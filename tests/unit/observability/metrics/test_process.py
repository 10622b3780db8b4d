from __future__ import annotations

from kit.metrics.values import read_samples, read_value
from tradecast.observability.metrics.process import ProcessMetrics, format_megabytes
from tradecast.observability.metrics.registry import MetricsRegistry


def test_resources_are_this_processs() -> None:
    registry = MetricsRegistry()
    ProcessMetrics(registry, "1.2.3")
    assert read_value(registry, "memory_rss_bytes") > 10_000_000
    assert read_value(registry, "memory_heap_used_bytes") <= read_value(registry, "memory_rss_bytes") * 1.1
    assert read_value(registry, "memory_limit_bytes") > read_value(registry, "memory_rss_bytes")
    assert read_value(registry, "cpu_limit_cores") > 0
    assert read_value(registry, "cpu_seconds_total") > 0
    samples = read_samples(registry.render()[1])
    assert [labels for name, labels in samples if name == "tradecast_build_info" and ("version", "1.2.3") in labels]


def test_megabytes() -> None:
    assert format_megabytes(47_395_635) == "45.2 MB"
