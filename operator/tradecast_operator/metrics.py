"""The operator's metrics: of each fleet, as in the table of docs/operator.md."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from tradecast_operator.model.actions import Action, SetReplicas
from tradecast_operator.model.observation import Observation
from tradecast_operator.model.spec import Spec
from tradecast_operator.planning.replicas import is_overdue
from tradecast_operator.planning.rollout import measure_progress

FLEET: Final = ("namespace", "fleet")
RESULTS: Final = ("ok", "incomplete", "paused", "waiting", "error")
READINGS: Final = ("answered", "unknown")
STATUSES: Final = ("True", "False", "Unknown")
# Counted from 0: Prometheus sees an increase only of a series that existed before.
REASONS: Final = (
    *("ScaledUp", "ScaledDown", "Draining", "Drained", "DrainOverdue", "DrainCancelled", "Rebalancing"),
    *("RolloutTooFast", "ReplicasHeld", "DrainSpedUp"),
    *("TrialConfigured", "RolloutSampled", "RolloutHeld", "RolloutReleased"),
    *("AdapterRecommended", "AdapterModeRecommended"),
    *("AdapterTuned", "AdapterConfirmed", "AdapterTakenBack", "AdapterRestored"),
    *("AdapterModeRolling", "AdapterModeRolled"),
)


class LeaseStatus(Protocol):
    """Whether this operator has a fleet's Lease."""

    def holds(self) -> bool:
        """Whether anything may be begun."""


class Metrics:
    """The metrics of all fleets, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.active = Gauge(
            "tradecast_operator_active", "1 if this operator holds the fleet's Lease", FLEET, registry=self.registry
        )
        self.rounds = Counter(
            "tradecast_operator_rounds_total",
            "Rounds of a fleet, by result",
            [*FLEET, "result"],
            registry=self.registry,
        )
        self.round_seconds = Histogram(
            "tradecast_operator_round_seconds", "Duration of a round in seconds", FLEET, registry=self.registry
        )
        self.last_round = Gauge(
            "tradecast_operator_last_round_timestamp_seconds",
            "End of a fleet's last good round, or its first observation, in seconds since 1970",
            FLEET,
            registry=self.registry,
        )
        self.actions = Counter(
            "tradecast_operator_actions_total", "Actions taken, by reason", [*FLEET, "reason"], registry=self.registry
        )
        self.suppressed_events = Counter(
            "tradecast_operator_suppressed_events_total",
            "Events that were not written, since there were too many",
            FLEET,
            registry=self.registry,
        )
        self.reversals = Counter(
            "tradecast_operator_replica_reversals_total",
            "Changes of direction of the Deployment's replicas, whoever wrote them",
            FLEET,
            registry=self.registry,
        )
        self.readings = Counter(
            "tradecast_operator_readings_total",
            "Requests of the autoscaler for its metric, by whether there was a number",
            [*FLEET, "result"],
            registry=self.registry,
        )
        self.replicas = Gauge(
            "tradecast_operator_replicas",
            "Replicas: wanted, asked (the Deployment's), ready, draining",
            [*FLEET, "which"],
            registry=self.registry,
        )
        self.connections = Gauge(
            "tradecast_operator_connections", "Connections of all pods", FLEET, registry=self.registry
        )
        self.spread = Gauge(
            "tradecast_operator_spread_ratio",
            "Connections of the fullest ready pod relative to the mean",
            FLEET,
            registry=self.registry,
        )
        self.spread_threshold = Gauge(
            "tradecast_operator_spread_threshold_ratio",
            "The spread above which connections are rebalanced",
            FLEET,
            registry=self.registry,
        )
        self.drain_seconds = Gauge(
            "tradecast_operator_oldest_drain_seconds", "Age of the oldest drain", FLEET, registry=self.registry
        )
        self.drain_limit_seconds = Gauge(
            "tradecast_operator_drain_limit_seconds", "Time limit of a drain", FLEET, registry=self.registry
        )
        self.drain_overdue = Gauge(
            "tradecast_operator_drains_overdue",
            "Drains that have exceeded their time limit",
            FLEET,
            registry=self.registry,
        )
        self.drains_urgent = Gauge(
            "tradecast_operator_drains_urgent",
            "Servers that disconnect their clients faster than configured, since they end soon",
            FLEET,
            registry=self.registry,
        )
        self.rollout = Gauge(
            "tradecast_operator_rollout_clients_ratio",
            "Share of the clients that are on servers of the new revision; 1 without a rollout",
            FLEET,
            registry=self.registry,
        )
        self.condition = Gauge(
            "tradecast_operator_condition",
            "Conditions of the SocketFleet: 1 for the current status, else 0",
            [*FLEET, "type", "status"],
            registry=self.registry,
        )

    def forget(self, namespace: str, fleet: str) -> None:
        """Remove all series of a fleet."""
        for metric in (
            *(self.active, self.rounds, self.round_seconds, self.last_round, self.actions, self.reversals),
            self.readings,
            self.suppressed_events,
            *(self.replicas, self.connections, self.spread, self.spread_threshold),
            *(self.drain_seconds, self.drain_limit_seconds, self.drain_overdue, self.drains_urgent, self.rollout),
            self.condition,
        ):
            metric.remove_by_labels({"namespace": namespace, "fleet": fleet})


class FleetMetrics:
    """The metrics of one fleet.

    Args:
        metrics: Of all fleets.
        namespace: The fleet's namespace.
        fleet: The fleet's name.
        lease: Whether this operator may act on the fleet.
    """

    def __init__(self, metrics: Metrics, namespace: str, fleet: str, lease: LeaseStatus) -> None:
        self._metrics = metrics
        self._labels = (namespace, fleet)
        self._lease = lease
        self._course = ReplicaCourse()

    def begin(self) -> None:
        """Start the counters at 0, before the first round: one that never ends must be visible as well."""
        metrics = self._metrics
        metrics.active.labels(*self._labels).set_function(self._lease.holds)
        metrics.last_round.labels(*self._labels).set(time.time())
        metrics.reversals.labels(*self._labels)
        metrics.suppressed_events.labels(*self._labels)
        for result in RESULTS:
            metrics.rounds.labels(*self._labels, result)
        for reading in READINGS:
            metrics.readings.labels(*self._labels, reading)
        for reason in REASONS:
            metrics.actions.labels(*self._labels, reason)

    def restart(self) -> None:
        """Forget what was reported: another operator acts on the fleet now."""
        self._course = ReplicaCourse()
        self._metrics.forget(*self._labels)
        self.begin()

    def forget_course(self) -> None:
        """Forget how replicas went: another operator has acted meanwhile."""
        self._course = ReplicaCourse()

    def report_round(self, result: str, seconds: float, good_at: float | None) -> None:
        """A round has ended.

        Args:
            result: One of `RESULTS`.
            seconds: How long the round took.
            good_at: When it ended, in seconds since 1970; None: it was not a good one.
        """
        self._metrics.rounds.labels(*self._labels, result).inc()
        self._metrics.round_seconds.labels(*self._labels).observe(seconds)
        if good_at is not None:
            self._metrics.last_round.labels(*self._labels).set(good_at)

    def report_conditions(self, statuses: Mapping[str, str]) -> None:
        """The conditions in the SocketFleet's status: statuses by type."""
        for kind, status in statuses.items():
            for one in STATUSES:
                self._metrics.condition.labels(*self._labels, kind, one).set(one == status)

    def report_suppressed_event(self) -> None:
        """An event was not written: there were too many."""
        self._metrics.suppressed_events.labels(*self._labels).inc()

    def report_actions(self, done: Sequence[Action]) -> None:
        """What was done."""
        for action in done:
            self._metrics.actions.labels(*self._labels, action.reason).inc()

    def report_fleet(self, seen: Observation, spec: Spec, done: Sequence[Action]) -> None:
        """The fleet as it was observed, and what was done.

        Args:
            seen: The fleet.
            spec: What is asked for.
            done: In this round.
        """
        metrics, labels = self._metrics, self._labels
        ready = [pod for pod in seen.pods if pod.ready]
        draining = [pod for pod in seen.pods if pod.drain_since is not None and not pod.terminating]
        replicas = {"wanted": spec.wanted, "asked": seen.replicas, "ready": len(ready), "draining": len(draining)}
        for which, count in replicas.items():
            metrics.replicas.labels(*labels, which).set(count)
        metrics.connections.labels(*labels).set(seen.total)
        mean = sum(pod.connections or 0 for pod in ready) / len(ready) if ready else 0
        most = max((pod.connections or 0 for pod in ready), default=0)
        metrics.spread.labels(*labels).set(most / mean if mean else 1)
        metrics.spread_threshold.labels(*labels).set(spec.rebalance.threshold)
        ages = [seen.time - (pod.drain_since or 0) for pod in draining]
        metrics.drain_seconds.labels(*labels).set(max(ages, default=0))
        metrics.drain_limit_seconds.labels(*labels).set(spec.drain.timeout)
        metrics.drain_overdue.labels(*labels).set(sum(is_overdue(pod, seen, spec) for pod in draining))
        urgent = sum(pod.stats is not None and pod.stats.urgent for pod in seen.pods)
        metrics.drains_urgent.labels(*labels).set(urgent)
        progress = measure_progress(seen)
        metrics.rollout.labels(*labels).set(1 if progress is None else progress.percent / 100)
        self.report_actions(done)
        written = [action.replicas for action in done if isinstance(action, SetReplicas)]
        metrics.reversals.labels(*labels).inc(self._course.count_reversals(seen.replicas, *written))


class ReplicaCourse:
    """Whether a fleet's replicas went up or down last, whoever wrote them: if they alternate, two writers compete."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._up: bool | None = None

    def count_reversals(self, *replicas: int) -> int:
        """How many of these steps go in another direction than the step before.

        Args:
            replicas: What was observed, then what was written.
        """
        reversals = 0
        for count in replicas:
            if self._last is not None and count != self._last:
                up = count > self._last
                reversals += self._up is not None and up != self._up
                self._up = up
            self._last = count
        return reversals
