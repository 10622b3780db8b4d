"""Counters and histograms for what happens thousands of times a second, as Prometheus collectors."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

OTHER = "other"
# Codes and reasons come from our code and are few; the bound is for the day on which that is no longer so.
MOST_CODES = 50


class Tally(Collector):
    """A counter with one label. Counting is one addition, from the thread of the event loop only.

    prometheus_client's own takes a lock and asks twice whether the counter may be used, which costs four times as
    much; a connection and an event are counted several times.

    Args:
        registry: Where it is read.
        name: Without `_total`.
        meaning: For people.
        label: The name of its label.
        known: Label values that are there from the start, at 0: a rate misses the first step of a series that begins
            above it.
        more: How many others may come; what is beyond them counts as `other`.
    """

    def __init__(
        self, registry: CollectorRegistry, name: str, meaning: str, label: str, known: Sequence[str], more: int = 0
    ) -> None:
        self._name = name
        self._meaning = meaning
        self._label = label
        self._counts: dict[str, int] = dict.fromkeys((*known, OTHER), 0)
        self._more = more
        registry.register(self)

    def count(self, value: str, by: int = 1) -> None:
        """Count something under a label value."""
        counts = self._counts
        if value not in counts:
            if self._more <= 0:
                value = OTHER
            else:
                self._more -= 1
                counts[value] = 0
        counts[value] += by

    def know(self, value: str) -> None:
        """Count this value by its own name from now on."""
        self._counts.setdefault(value, 0)

    def describe(self) -> list[Metric]:
        """What it is, so that no other has its name."""
        return [CounterMetricFamily(self._name, self._meaning, labels=[self._label])]

    def collect(self) -> Iterator[Metric]:
        """The counts as they are now."""
        family = CounterMetricFamily(self._name, self._meaning, labels=[self._label])
        # Copied in one step: a list of its items is not, where the garbage collection that it starts runs Python code.
        for value, count in self._counts.copy().items():
            family.add_metric([value], count)
        yield family


class Durations(Collector):
    """A histogram without labels, for seconds. As `Tally`: one search and two additions.

    Args:
        registry: Where it is read.
        name: Its name.
        meaning: For people.
        bounds: The upper bounds of its buckets, rising; one without a bound is added.
    """

    def __init__(self, registry: CollectorRegistry, name: str, meaning: str, bounds: Sequence[float]) -> None:
        self._name = name
        self._meaning = meaning
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        registry.register(self)

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def describe(self) -> list[Metric]:
        """See `Tally`."""
        return [HistogramMetricFamily(self._name, self._meaning)]

    def collect(self) -> Iterator[Metric]:
        """The counts as they are now, each with those of the smaller buckets."""
        bounds = (*self._bounds, float("inf"))
        names = [floatToGoString(bound) for bound in bounds]  # type: ignore[no-untyped-call]
        buckets = list(zip(names, accumulate(self._counts), strict=True))
        yield HistogramMetricFamily(self._name, self._meaning, buckets=buckets, sum_value=self._sum)
