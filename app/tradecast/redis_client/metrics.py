"""Metrics of Redis itself."""

from __future__ import annotations

import math

from tradecast.observability.metrics.registry import MetricsRegistry


class RedisMetrics:
    """Whether Redis loses keys.

    Args:
        registry: Where they are read.
    """

    def __init__(self, registry: MetricsRegistry) -> None:
        self._may_evict = registry.gauge("redis_may_evict", "1 if a Redis may evict keys; NaN if its policy is unknown")
        self._evicted = registry.gauge("redis_evicted_keys", "Keys that Redis has evicted since it started")

    def redis_eviction(self, may_evict: bool | None, keys: int) -> None:
        """Whether Redis may evict keys (None: it does not say), and how many it has evicted."""
        self._may_evict.set(math.nan if may_evict is None else may_evict)
        self._evicted.set(keys)
