"""Metrics of throttling, staleness and the age of quotes."""

from __future__ import annotations

from tradecast.delivery.shaping.metrics import ShapingMetrics
from tradecast.observability.metrics.registry import MetricsRegistry


class Some:
    """What there is."""

    replaced, buffered, stale = 17, 3, 2

    def __init__(self) -> None:
        self.is_market_open: bool | None = None


def read(registry: MetricsRegistry) -> dict[str, float]:
    return {
        sample.name.removeprefix("tradecast_"): sample.value
        for family in registry.collectors.collect()
        for sample in family.samples
    }


def test_a_new_server_has_all_but_the_state_of_the_market() -> None:
    registry = MetricsRegistry()
    ShapingMetrics(registry)
    found = read(registry)
    assert (found["throttled_events_total"], found["throttle_buffered_events"], found["stale_symbols"]) == (0, 0, 0)
    assert "market_open" not in found


def test_what_there_is() -> None:
    registry, some = MetricsRegistry(), Some()
    metrics = ShapingMetrics(registry)
    metrics.watch_shaping(some)
    metrics.quote_age(0.3)
    found = read(registry)
    assert (found["throttled_events_total"], found["throttle_buffered_events"], found["stale_symbols"]) == (17, 3, 2)
    assert (found["quote_age_seconds_count"], found["quote_age_seconds_sum"]) == (1, 0.3)
    assert "market_open" not in found
    some.is_market_open = False
    assert read(registry)["market_open"] == 0
    some.is_market_open = True
    assert read(registry)["market_open"] == 1
