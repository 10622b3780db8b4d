from __future__ import annotations

from kit.clock import HandClock
from kit.metrics.values import read_samples
from tradecast.delivery.metrics import DeliveryMetrics
from tradecast.observability.metrics.process import ProcessMetrics
from tradecast.observability.metrics.registry import MetricsRegistry


def test_deltas_and_what_they_spare() -> None:
    registry = MetricsRegistry()
    metrics = DeliveryMetrics(registry)
    metrics.watch_deltas(["room"])
    metrics.deltas_delivered(3, 100, 300)
    metrics.wholes_delivered(2, 300)

    samples = read_samples(registry.render("")[1])

    def value(name: str, **labels: str) -> float:
        return samples[f"tradecast_{name}", frozenset(labels.items())]

    assert [value("delta_messages_total", form=form) for form in ("delta", "whole")] == [3, 2]
    assert [value("delta_bytes_total", form=form) for form in ("delta", "whole")] == [300, 600]
    assert value("delta_replaced_bytes_total") == 900
    assert value("delta_rooms") == 1


def test_traffic_with_redis() -> None:
    registry, clock = MetricsRegistry(), HandClock()
    metrics = DeliveryMetrics(registry, clock=clock)
    process = ProcessMetrics(registry, sampled=[metrics], clock=clock)
    quiet = metrics.adapter_traffic()
    assert quiet["lagMs"] == {"last": None, "p99": None}
    assert quiet["publishedPerSecond"] == quiet["messagesPerSecond"] == 0
    clock.now += 10
    for lag in (0.002, 0.009, 0.004):
        metrics.redis_lag(lag)
    metrics.redis_published("ok", 50)
    metrics.redis_published("failed", 50)
    for _ in range(20):
        metrics.redis_message()
    metrics.gap_repaired(7)
    metrics.gap_repaired(0)
    metrics.gap_lost(3)
    assert metrics.adapter_traffic() == {
        "publishedPerSecond": 5,
        "messagesPerSecond": 2,
        "lagMs": {"last": 4, "p99": 9},
        "gapsRepaired": 2,
        "eventsReadBack": 7,
        "clientsBegunAnew": 3,
    }
    for _ in range(240):  # sampled as long as the loop turns
        clock.now += 0.5
        process.loop_lag(0)
    assert metrics.adapter_traffic()["publishedPerSecond"] == metrics.adapter_traffic()["messagesPerSecond"] == 0
