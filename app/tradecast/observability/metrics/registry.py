"""Where the metrics of one server are registered and read. Collectors stand beside what they count."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from tradecast.observability.metrics.tally import Durations, Tally


class MetricsRegistry:
    """Makes metrics, all with names that begin with `tradecast_`, and renders them.

    Attributes:
        collectors: Prometheus' own registry, for queries.
    """

    def __init__(self) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # untyped there; half of all lines
        self.collectors = CollectorRegistry()

    def counter(self, name: str, meaning: str, *labels: str) -> Counter:
        """A counter; `_total` is added to its name."""
        return Counter(f"tradecast_{name}", meaning, labels, registry=self.collectors)

    def tally(self, name: str, meaning: str, label: str, known: Sequence[str], more: int = 0) -> Tally:
        """A counter with one label, for what happens often. Arguments as of `Tally`."""
        return Tally(self.collectors, f"tradecast_{name}", meaning, label, known, more)

    def gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        """A value that rises and falls."""
        return Gauge(f"tradecast_{name}", meaning, labels, registry=self.collectors)

    def histogram(self, name: str, meaning: str, buckets: Sequence[float]) -> Histogram:
        """A distribution, by the upper bounds of its buckets."""
        return Histogram(f"tradecast_{name}", meaning, buckets=buckets, registry=self.collectors)

    def durations(self, name: str, meaning: str, bounds: Sequence[float]) -> Durations:
        """A distribution of seconds, for what happens often. Arguments as of `Durations`."""
        return Durations(self.collectors, f"tradecast_{name}", meaning, bounds)

    def register(self, live: LiveMetrics) -> None:
        """Read these metrics whenever all are."""
        self.collectors.register(live)

    def render(self, accept: str = "") -> tuple[str, bytes]:
        """Content type and text, in the format that an Accept header asks for (text 0.0.4 by default)."""
        try:
            encoder, content_type = choose_encoder(accept)
            return content_type, encoder(self.collectors)
        except (ValueError, TypeError):  # it names a version or an escaping that does not exist
            encoder, content_type = choose_encoder("")
            return content_type, encoder(self.collectors)


class LiveMetrics(Collector):
    """Metrics that are computed when they are read."""

    def describe(self) -> Iterable[Metric]:
        """Nothing: nothing is computed only to be registered."""
        return ()


def create_gauge_family(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    """A value that is computed now, without labels."""
    return GaugeMetricFamily(f"tradecast_{name}", meaning, value=value)


def create_counter_family(name: str, meaning: str, value: float) -> CounterMetricFamily:
    """A count that is kept elsewhere, without labels; `_total` is added to its name."""
    return CounterMetricFamily(f"tradecast_{name}", meaning, value=value)


def create_labelled_family(
    name: str, meaning: str, label: str, values: Mapping[str, float], known: Sequence[str] = ()
) -> GaugeMetricFamily:
    """Values that are computed now, by one label; those of `known` that are missing are 0."""
    family = GaugeMetricFamily(f"tradecast_{name}", meaning, labels=[label])
    for value in dict.fromkeys((*known, *values)):
        family.add_metric([value], values.get(value, 0))
    return family
