"""Metrics of what is done with events on their way to clients: throttling, staleness, and the age of quotes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, Metric

from tradecast.observability.metrics.registry import LiveMetrics, MetricsRegistry, create_gauge_family

AGE_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 3600)


class Shaping(Protocol):
    """What the metrics read of the intake each time that they are read."""

    @property
    def replaced(self) -> int:
        """Events that were not sent, as a newer one of their key took their place."""
        ...

    @property
    def buffered(self) -> int:
        """Events that will be sent later."""
        ...

    @property
    def stale(self) -> int:
        """Symbols that are stale now."""
        ...

    @property
    def is_market_open(self) -> bool | None:
        """Whether the market is open; None: that is not known."""
        ...


class ShapingMetrics(LiveMetrics):
    """Throttled events, stale symbols, the market's state, and the age of quotes.

    Args:
        registry: Where they are read.
    """

    def __init__(self, registry: MetricsRegistry) -> None:
        self._shaping: Shaping | None = None
        self._ages = registry.durations(
            "quote_age_seconds", "Age of quotes when they are sent, by their own timestamp", AGE_SECONDS
        )
        registry.register(self)

    def watch_shaping(self, shaping: Shaping) -> None:
        """Read this each time that metrics are read."""
        self._shaping = shaping

    def quote_age(self, seconds: float) -> None:
        """A quote was this old when it was sent."""
        self._ages.observe(seconds)

    def collect(self) -> Iterator[Metric]:
        """What there is now."""
        shaping = self._shaping
        yield CounterMetricFamily(
            "tradecast_throttled_events",
            "Latest-wins events that were not sent because a newer one replaced them within THROTTLE's interval",
            value=0 if shaping is None else shaping.replaced,
        )
        yield create_gauge_family(
            "throttle_buffered_events",
            "Latest-wins events that wait for the end of THROTTLE's interval",
            0 if shaping is None else shaping.buffered,
        )
        yield create_gauge_family(
            "stale_symbols",
            "Symbols with subscribers on this server for which no quote has come for longer than STALE_AFTER",
            0 if shaping is None else shaping.stale,
        )
        if shaping is not None and shaping.is_market_open is not None:
            yield create_gauge_family(
                "market_open",
                "1 while the market is open according to the last market:status, else 0; absent while that is unknown",
                shaping.is_market_open,
            )
