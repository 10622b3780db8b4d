from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import tradecast
from kit.clock import HandClock
from kit.metrics.values import read_value
from tradecast.events.contract import REFUSAL_REASONS
from tradecast.events.metrics import EventMetrics
from tradecast.events.subscriptions import TOPICS, count_subscriptions
from tradecast.observability.metrics.registry import MetricsRegistry


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def registry() -> MetricsRegistry:
    return MetricsRegistry()


@pytest.fixture
def metrics(registry: MetricsRegistry, clock: HandClock) -> EventMetrics:
    return EventMetrics(registry, clock)


def test_registered_events_count_by_their_name(metrics: EventMetrics, registry: MetricsRegistry) -> None:
    metrics.know_event("custom")
    metrics.event_received("custom")
    assert read_value(registry, "events_received_total", event="custom") == 1


def test_performance(metrics: EventMetrics, registry: MetricsRegistry, clock: HandClock) -> None:
    for n in range(100):
        metrics.event_received("subscribe:trades")
        metrics.event_handled("subscribe:trades", (n + 1) / 1000, failed=n < 5)
    clock.now += 50
    performance = metrics.performance()
    assert performance["latency"] == {"p50": 50, "p95": 95, "p99": 99}
    assert performance["throughput"] == 2
    assert performance["errorRate"] == 5
    assert performance["errorShare"] == 0.05
    assert read_value(registry, "event_latency_seconds", quantile="0.95") == pytest.approx(0.095)
    assert read_value(registry, "events_per_second") == 2
    assert read_value(registry, "errors_per_minute") == 5
    assert read_value(registry, "error_ratio") == 0.05
    clock.now += 20
    assert metrics.performance()["errorRate"] == 0
    assert metrics.performance()["latency"]["p50"] == 50
    clock.now += 300
    assert metrics.performance() == {
        "latency": {"p50": 0, "p95": 0, "p99": 0},
        "throughput": 0,
        "errorRate": 0,
        "errorShare": 0,
    }


def test_no_subscription_is_counted_before_there_are_rooms(metrics: EventMetrics) -> None:
    assert metrics.subscriptions() == dict.fromkeys(TOPICS, 0)


class Rooms:
    """As of `subscriptions.RoomSizes`."""

    def room_sizes(self) -> Iterator[tuple[str, int]]:
        """Rooms that are subscriptions, and others."""
        yield from {"portfolio:u": 1, "watchlist:AAPL": 3, "watchlist:MSFT": 2, "user:u": 9, "market:status": 9}.items()


def test_rooms_that_are_subscriptions_are_counted_by_topic() -> None:
    assert count_subscriptions(Rooms()) == {"portfolio": 1, "trades": 0, "watchlist": 5}


def test_each_reason_that_the_server_gives_is_there_from_the_start() -> None:
    given = {
        call.args[0].value
        for path in Path(tradecast.__file__).parent.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "EventRefused"
        if isinstance(call.args[0], ast.Constant)
    }
    assert given <= set(REFUSAL_REASONS)
