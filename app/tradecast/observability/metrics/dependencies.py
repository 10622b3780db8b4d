"""Metrics of what the server depends on: the results of health checks."""

from __future__ import annotations

from tradecast.causes import Code
from tradecast.observability.health import DEPENDENCIES
from tradecast.observability.metrics.registry import MetricsRegistry
from tradecast.observability.metrics.tally import OTHER

CAUSES = frozenset(Code)
# Those that come first to most: there from the first check on, so that a rate sees the first failure.
USUAL_CAUSES = (Code.REFUSED, Code.TIMED_OUT, Code.CLOSED)


class DependencyMetrics:
    """Results of health checks (`Health`'s observer).

    Args:
        registry: Where they are read.
    """

    def __init__(self, registry: MetricsRegistry) -> None:
        self._up = registry.gauge("dependency_up", "1 if the last check found it up", "dependency")
        self._failures = registry.counter(
            "dependency_failures", "Checks that found it down, by why", "dependency", "cause"
        )
        self._seconds = registry.gauge("dependency_latency_seconds", "Duration of the last check", "dependency")

    def dependency(self, name: str, up: bool, seconds: float) -> None:
        """A check of a dependency is done; `seconds`: how long it took."""
        label = name if name in DEPENDENCIES else OTHER
        self._up.labels(label).set(up)
        for cause in USUAL_CAUSES:
            self._failures.labels(label, cause)
        self._seconds.labels(label).set(seconds)

    def dependency_failed(self, name: str, cause: str) -> None:
        """A check found a dependency down; `cause`: why, one of `causes.Code`."""
        label = name if name in DEPENDENCIES else OTHER
        self._failures.labels(label, cause if cause in CAUSES else OTHER).inc()
