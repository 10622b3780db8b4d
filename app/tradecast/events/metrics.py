"""Metrics of events from clients: what comes, how long it takes, what fails, and to what clients are subscribed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client.core import Metric

from tradecast.events.contract import CLIENT_EVENTS, REFUSAL_REASONS
from tradecast.events.subscriptions import TOPICS, RoomSizes, count_subscriptions
from tradecast.observability.metrics.registry import (
    LiveMetrics,
    MetricsRegistry,
    create_gauge_family,
    create_labelled_family,
)
from tradecast.observability.metrics.rolling import LastMinute, RecentLatencies
from tradecast.observability.metrics.tally import MOST_CODES

PERCENTILES = (50.0, 95.0, 99.0)
EVENT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class EventMetrics(LiveMetrics):
    """Events from clients. Names that clients made up count as `other`.

    Args:
        registry: Where they are read.
        clock: Seconds that never go back.

    Attributes:
        received: Events received since the start.
    """

    def __init__(self, registry: MetricsRegistry, clock: Callable[[], float] = time.monotonic) -> None:
        self.received = 0
        self._handled_total = self._failed_total = 0
        self._rooms: RoomSizes | None = None
        self._latencies = RecentLatencies(clock)
        self._minute_received, self._minute_failed = LastMinute(clock), LastMinute(clock)
        events = tuple(CLIENT_EVENTS)
        self._received = registry.tally("events_received", "Events from clients", "event", events)
        self._failed = registry.tally("events_failed", "Events that failed because of a server error", "event", events)
        self._refused = registry.tally(
            "events_refused", "Events answered with an error", "reason", REFUSAL_REASONS, MOST_CODES
        )
        self._rate_limited = registry.tally("rate_limited", "Events that exceeded a rate limit", "event", events)
        self._seconds = registry.durations("event_duration_seconds", "Time to handle an event", EVENT_SECONDS)
        registry.register(self)

    def watch_subscriptions(self, rooms: RoomSizes) -> None:
        """Count subscriptions each time that metrics are read. Before that there is no such metric."""
        self._rooms = rooms

    def know_event(self, event: str) -> None:
        """Count a client event that is not the contract's by its own name: one with a handler registered for it."""
        for tally in (self._received, self._failed, self._rate_limited):
            tally.know(event)

    def event_received(self, event: str) -> None:
        """A client sent an event, whatever comes of it."""
        self.received += 1
        self._minute_received.add()
        self._received.count(event)

    def event_handled(self, event: str, seconds: float, failed: bool) -> None:
        """An event was carried out or refused in `seconds`; `failed`: through no fault of the client's."""
        self._latencies.add(seconds)
        self._seconds.observe(seconds)
        self._handled_total += 1
        if failed:
            self._failed_total += 1
            self._minute_failed.add()
            self._failed.count(event)

    def event_refused(self, event: str, reason: str) -> None:
        """A client's event was answered with an error. One label: both would be too many series."""
        self._refused.count(reason)

    def rate_limited(self, event: str) -> None:
        """A client's event was over a limit."""
        self._rate_limited.count(event)

    def subscriptions(self) -> dict[str, int]:
        """Subscriptions now, by topic."""
        return dict.fromkeys(TOPICS, 0) if self._rooms is None else count_subscriptions(self._rooms)

    def outcomes(self) -> dict[str, int]:
        """Events that were handled since the start, and those of them that failed through no fault of the client's."""
        return {"events": self._handled_total, "eventErrors": self._failed_total}

    def performance(self) -> dict[str, Any]:
        """Latency, throughput and errors as `/metrics` has them in JSON."""
        p50, p95, p99 = (round(seconds * 1000, 3) for seconds in self._latencies.percentiles(*PERCENTILES))
        return {
            "latency": {"p50": p50, "p95": p95, "p99": p99},
            "throughput": round(self._minute_received.per_second(), 3),
            "errorRate": self._minute_failed.total(),
            "errorShare": round(self._error_share(), 6),
        }

    def collect(self) -> Iterator[Metric]:
        """Subscriptions now, and the events of the last minutes."""
        if self._rooms is not None:
            yield create_labelled_family("subscriptions", "Current subscriptions", "kind", self.subscriptions(), TOPICS)
        latencies = self._latencies.percentiles(*PERCENTILES)
        quantiles = {f"{percent / 100:g}": value for percent, value in zip(PERCENTILES, latencies, strict=True)}
        yield create_labelled_family("event_latency_seconds", "Recent event handling", "quantile", quantiles)
        yield create_gauge_family(
            "events_per_second", "Events from clients over the last minute", self._minute_received.per_second()
        )
        yield create_gauge_family(
            "errors_per_minute", "Events that failed in the last minute", self._minute_failed.total()
        )
        yield create_gauge_family("error_ratio", "Share of the last minute's events that failed", self._error_share())

    def _error_share(self) -> float:
        errors = self._minute_failed.total()
        # an event that came before the minute may have failed in it
        return errors / max(self._minute_received.total(), errors, 1)
