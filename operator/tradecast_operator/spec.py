"""What a SocketFleet asks for: the `spec` that the API server has checked and filled in, as typed values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tradecast_operator.adapter_spec import RedisAdapter

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Drain:
    """How pods are emptied before they go.

    Attributes:
        rate: Clients sent away per second, by all pods of the fleet together.
        timeout: Seconds after which a pod goes though it is not empty.
    """

    rate: float = 100
    timeout: float = 600


@dataclass(frozen=True, slots=True)
class Rebalance:
    """When and how connections move from full pods to others.

    Attributes:
        enabled: Whether they do.
        threshold: Of the fullest pod to the mean; above it, connections move.
        min_pods: Ready pods below which nothing moves: with two, clients would only change places.
        min_age: Seconds that the youngest ready pod must have been ready.
        observations: So many in a row must say so.
        quiet_change: Share by which the number of connections may have changed.
        quiet_seconds: In so many seconds.
        rate: Clients sent away per second, by all pods of the fleet together.
        accept_rate: Clients per second that a pod can take.
    """

    enabled: bool = True
    threshold: float = 1.25
    min_pods: int = 3
    min_age: float = 60
    observations: int = 3
    quiet_change: float = 0.05
    quiet_seconds: float = 60
    rate: float = 50
    accept_rate: float = 50


@dataclass(frozen=True, slots=True)
class Metric:
    """What the autoscaler reads.

    Attributes:
        hold: Seconds for which it does not fall below what it has been.
        stale: Seconds after which an observation is too old to be told.
    """

    hold: float = 120
    stale: float = 30


@dataclass(frozen=True, slots=True)
class Spec:
    """All of it.

    Attributes:
        deployment: The name of the Deployment of the servers.
        replicas: How many there should be; the autoscaler's or a person's.
        min_replicas: But not fewer.
        max_replicas: And not more.
        connections_per_replica: What a pod is meant to hold.
        dry_run: Whether decisions are only reported.
        most: Not more replicas than this for now; None: as many as are asked for.
        most_why: Why.
    """

    deployment: str
    replicas: int = 2
    min_replicas: int = 2
    max_replicas: int = 10
    connections_per_replica: int = 5000
    dry_run: bool = False
    drain: Drain = field(default_factory=Drain)
    rebalance: Rebalance = field(default_factory=Rebalance)
    metric: Metric = field(default_factory=Metric)
    redis_adapter: RedisAdapter = field(default_factory=RedisAdapter)
    most: int | None = None
    most_why: str = ""

    @property
    def bounded(self) -> int:
        """Replicas within the bounds."""
        return max(self.min_replicas, min(self.max_replicas, self.replicas))

    @property
    def wanted(self) -> int:
        """The same, and not more than may be for now."""
        return self.bounded if self.most is None else min(self.bounded, self.most)

    @classmethod
    def of(cls, spec: Fields) -> Spec:
        """Of a resource's `spec`; what is missing has its default."""
        return cls(
            deployment=spec["deployment"],
            **_given(
                spec,
                replicas="replicas",
                min_replicas="minReplicas",
                max_replicas="maxReplicas",
                connections_per_replica="connectionsPerReplica",
                dry_run="dryRun",
            ),
            drain=Drain(**_given(spec.get("drain", {}), rate="connectionsPerSecond", timeout="timeoutSeconds")),
            rebalance=_rebalance(spec.get("rebalance", {})),
            metric=Metric(**_given(spec.get("metric", {}), hold="holdSeconds", stale="staleSeconds")),
            redis_adapter=RedisAdapter.of(spec.get("redisAdapter", {})),
        )


def _rebalance(spec: Fields) -> Rebalance:
    given = _given(
        spec,
        enabled="enabled",
        threshold="thresholdPercent",
        min_pods="minPods",
        min_age="minPodAgeSeconds",
        observations="observations",
        quiet_change="quietPercent",
        quiet_seconds="quietSeconds",
        rate="connectionsPerSecond",
        accept_rate="acceptPerSecond",
    )
    for percent in ("threshold", "quiet_change"):
        if percent in given:
            given[percent] /= 100
    return Rebalance(**given)


def _given(spec: Fields, **names: str) -> dict[str, Any]:
    return {ours: spec[theirs] for ours, theirs in names.items() if theirs in spec}
