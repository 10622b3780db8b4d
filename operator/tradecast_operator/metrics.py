"""What the operator tells Prometheus of itself and its fleets."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

FLEET = ("namespace", "fleet")


class Metrics:
    """Metrics in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.rounds = Counter(
            "tradecast_operator_rounds_total", "Rounds of a fleet by result", [*FLEET, "result"], registry=self.registry
        )
        self.round_seconds = Histogram(
            "tradecast_operator_round_seconds", "Seconds that a round took", FLEET, registry=self.registry
        )
        self.last_round = Gauge(
            "tradecast_operator_last_round_timestamp_seconds",
            "When a fleet's last good round ended, in seconds since 1970",
            FLEET,
            registry=self.registry,
        )
        self.actions = Counter(
            "tradecast_operator_actions_total", "What was done, by reason", [*FLEET, "reason"], registry=self.registry
        )
        self.replicas = Gauge(
            "tradecast_operator_replicas",
            "Replicas: wanted, asked for (the Deployment's), ready, draining",
            [*FLEET, "which"],
            registry=self.registry,
        )
        self.connections = Gauge(
            "tradecast_operator_connections", "Connections of all pods", FLEET, registry=self.registry
        )
        self.spread = Gauge(
            "tradecast_operator_spread_ratio",
            "Connections of the fullest ready pod to the mean",
            FLEET,
            registry=self.registry,
        )
        self.drain_seconds = Gauge(
            "tradecast_operator_oldest_drain_seconds", "Age of the oldest drain", FLEET, registry=self.registry
        )
        self.drain_overdue = Gauge(
            "tradecast_operator_drains_overdue", "Drains that are past their time", FLEET, registry=self.registry
        )

    def forget(self, namespace: str, fleet: str) -> None:
        """A fleet is gone."""
        for metric in (self.round_seconds, self.last_round, self.connections, self.spread, self.drain_seconds):
            _remove(metric, namespace, fleet)
        _remove(self.drain_overdue, namespace, fleet)
        for which in ("wanted", "asked", "ready", "draining"):
            _remove(self.replicas, namespace, fleet, which)


def _remove(metric: Counter | Gauge | Histogram, *labels: str) -> None:
    try:
        metric.remove(*labels)
    except KeyError:
        return
