"""Metrics of limits: where they are kept, and whose places are freed."""

from __future__ import annotations

from typing import Literal, get_args

from tradecast.limits.redis_store import Limit
from tradecast.observability.metrics.registry import MetricsRegistry

ProbeResult = Literal["replaced", "answered", "unknown", "limited"]


class LimitMetrics:
    """What becomes of the limits of users.

    Args:
        registry: Where they are read.
    """

    def __init__(self, registry: MetricsRegistry) -> None:
        self._fallback = registry.gauge("limiter_fallback", "1 while limits are kept in memory because Redis is away")
        self._fallbacks = registry.tally(
            "limiter_fallback_transitions", "Switches between Redis and memory", "to", ("memory", "redis")
        )
        self._probes = registry.tally(
            "probes", "Probes of the connections of users with too many", "result", get_args(ProbeResult)
        )
        self._foreign_keys = registry.tally(
            "foreign_keys", "Requests that found foreign data under a user's keys", "of", get_args(Limit)
        )

    def limiter_fallback(self, fallen_back: bool) -> None:
        """Memory took over from Redis, or Redis is back."""
        self._fallback.set(fallen_back)
        self._fallbacks.count("memory" if fallen_back else "redis")

    def probed(self, result: str) -> None:
        """The connections of a user with too many were probed: one was `replaced`, all `answered`, or neither."""
        self._probes.count(result)

    def foreign_key(self, of: str) -> None:
        """Something that is none of ours lay under keys of a user's `rates` or `quotas`, and was removed."""
        self._foreign_keys.count(of)
