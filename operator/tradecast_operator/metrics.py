"""What the operator tells Prometheus of itself and its fleets: the table of docs/operator.md."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

FLEET: Final = ("namespace", "fleet")
RESULTS: Final = ("ok", "incomplete", "paused", "waiting", "error")
STATUSES: Final = ("True", "False", "Unknown")
# Those that are counted from 0: an increase can be told of a counter only that was there before.
REASONS: Final = (
    *("ScaledUp", "ScaledDown", "Draining", "Drained", "DrainOverdue", "DrainCancelled", "Rebalancing"),
    *("RolloutTooFast", "ReplicasHeld"),
    *("AdapterRecommended", "AdapterModeRecommended"),
    *("AdapterTuned", "AdapterConfirmed", "AdapterTakenBack", "AdapterRestored"),
    *("AdapterModeRolling", "AdapterModeRolled"),
)


class Metrics:
    """Metrics in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.active = Gauge(
            "tradecast_operator_active", "1 where this operator has the fleet's Lease", FLEET, registry=self.registry
        )
        self.rounds = Counter(
            "tradecast_operator_rounds_total", "Rounds of a fleet by result", [*FLEET, "result"], registry=self.registry
        )
        self.round_seconds = Histogram(
            "tradecast_operator_round_seconds", "Seconds that a round took", FLEET, registry=self.registry
        )
        self.last_round = Gauge(
            "tradecast_operator_last_round_timestamp_seconds",
            "When a fleet's last good round ended, or it was seen first, in seconds since 1970",
            FLEET,
            registry=self.registry,
        )
        self.actions = Counter(
            "tradecast_operator_actions_total", "What was done, by reason", [*FLEET, "reason"], registry=self.registry
        )
        self.reversals = Counter(
            "tradecast_operator_replica_reversals_total",
            "Times that the Deployment's replicas went the other way than before, whoever wrote them",
            FLEET,
            registry=self.registry,
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
        self.spread_threshold = Gauge(
            "tradecast_operator_spread_threshold_ratio",
            "The spread above which connections are moved",
            FLEET,
            registry=self.registry,
        )
        self.drain_seconds = Gauge(
            "tradecast_operator_oldest_drain_seconds", "Age of the oldest drain", FLEET, registry=self.registry
        )
        self.drain_limit_seconds = Gauge(
            "tradecast_operator_drain_limit_seconds", "Time that a drain may take", FLEET, registry=self.registry
        )
        self.drain_overdue = Gauge(
            "tradecast_operator_drains_overdue", "Drains that are past their time", FLEET, registry=self.registry
        )

        self.condition = Gauge(
            "tradecast_operator_condition",
            "Conditions of the SocketFleet: 1 for the status that each has, else 0",
            [*FLEET, "type", "status"],
            registry=self.registry,
        )

    def tell_conditions(self, namespace: str, fleet: str, conditions: Mapping[str, str]) -> None:
        """What the SocketFleet's status says.

        Args:
            namespace: Where it is.
            fleet: Its name.
            conditions: Statuses by type.
        """
        for kind, status in conditions.items():
            for one in STATUSES:
                self.condition.labels(namespace, fleet, kind, one).set(one == status)

    def begin(self, namespace: str, fleet: str, is_active: Callable[[], bool]) -> None:
        """A fleet is looked after from now on: one whose first round never ends must be seen as well.

        Args:
            namespace: Where it is.
            fleet: Its name.
            is_active: Whether this operator may act on it.
        """
        self.active.labels(namespace, fleet).set_function(is_active)
        self.last_round.labels(namespace, fleet).set(time.time())
        self.reversals.labels(namespace, fleet)
        for result in RESULTS:
            self.rounds.labels(namespace, fleet, result)
        for reason in REASONS:
            self.actions.labels(namespace, fleet, reason)

    def forget(self, namespace: str, fleet: str) -> None:
        """A fleet is gone, and all that was told of it."""
        for metric in (
            *(self.active, self.rounds, self.round_seconds, self.last_round, self.actions, self.reversals),
            *(self.replicas, self.connections, self.spread, self.spread_threshold),
            *(self.drain_seconds, self.drain_limit_seconds, self.drain_overdue, self.condition),
        ):
            metric.remove_by_labels({"namespace": namespace, "fleet": fleet})


class Course:
    """Which way a fleet's replicas went last, by whomever: what goes up and down again and again is a fight."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._up: bool | None = None

    def turns(self, *replicas: int) -> int:
        """How many times these, one after the other, go the other way than what came before.

        Args:
            replicas: What was seen, then what was written.
        """
        turns = 0
        for count in replicas:
            if self._last is not None and count != self._last:
                up = count > self._last
                turns += self._up is not None and up != self._up
                self._up = up
            self._last = count
        return turns
