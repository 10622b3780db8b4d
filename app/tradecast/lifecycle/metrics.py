"""Metrics of drains, shedding, rollouts and the admission of new clients."""

from __future__ import annotations

from typing import Protocol, get_args

from tradecast.lifecycle.draining.paced_disconnect import Reason
from tradecast.observability.metrics.registry import MetricsRegistry


class DrainTime(Protocol):
    """A drain as the metrics read it.

    Attributes:
        seconds: Since it began; 0 when there is none.
        rate: Clients that it disconnects per second; 0 when there is none.
        limit: Its maximum duration in seconds; without a drain, that of one with the configured values.
    """

    @property
    def seconds(self) -> float: ...
    @property
    def rate(self) -> float: ...
    @property
    def limit(self) -> float: ...


class WaitingHandshakes(Protocol):
    """A handshake gate as the metrics read it.

    Attributes:
        waiting: Handshakes that wait for their turn.
    """

    @property
    def waiting(self) -> int: ...


class Supersession(Protocol):
    """Knows whether this server is superseded in a rollout."""

    def is_superseded(self) -> bool:
        """Whether new clients should go to servers of a newer revision."""
        ...


class LifecycleMetrics:
    """Drains, shedding and rollouts of this server.

    Args:
        registry: Registers the metrics.
    """

    def __init__(self, registry: MetricsRegistry) -> None:
        self._closed = registry.tally(
            "connections_closed", "Connections closed by a drain or shed", "reason", get_args(Reason)
        )
        self._drain_limit = registry.gauge("drain_limit_seconds", "Maximum duration of a drain")
        self._drain_seconds = registry.gauge("drain_seconds", "Time since the drain began; 0 if not draining")
        self._drain_rate = registry.gauge(
            "drain_rate", "Clients that the drain disconnects per second; 0 if not draining"
        )
        self._hurried = registry.counter(
            "drains_hurried", "Drains at a rate of their own, because the fleet's was too slow for their time"
        )
        self._expired = registry.counter("drains_expired", "Drains that ended because nobody renewed them")
        self._draining = registry.gauge("draining", "1 while this server drains or is drained")
        self._superseded = registry.gauge("superseded", "1 while new clients are left to servers of a newer revision")
        self._waiting = registry.gauge("handshakes_held", "Handshakes that wait because too many arrived at once")

    def watch_lifecycle(self, drain: DrainTime, gate: WaitingHandshakes, rollout: Supersession) -> None:
        """Read the state of the drain, the handshake gate and the rollout each time that metrics are read."""
        self._drain_seconds.set_function(lambda: drain.seconds)
        self._drain_limit.set_function(lambda: drain.limit)
        self._drain_rate.set_function(lambda: drain.rate)
        self._draining.set_function(lambda: drain.seconds > 0)
        self._waiting.set_function(lambda: gate.waiting)
        self._superseded.set_function(rollout.is_superseded)

    def drain_hurried(self) -> None:
        """A drain has become urgent."""
        self._hurried.inc()

    def drain_expired(self) -> None:
        """A drain has ended because it was not renewed in time."""
        self._expired.inc()

    def connection_closed(self, reason: str) -> None:
        """A client's transport was closed by a drain, by shedding, or because a drain took too long."""
        self._closed.count(reason)
