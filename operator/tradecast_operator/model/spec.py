"""What a SocketFleet asks for: the `spec` that the API server has checked and filled in, as typed values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tradecast_operator.model.adapter_spec import RedisAdapter
from tradecast_operator.model.answers import field as read_field
from tradecast_operator.model.answers import fields, name, number, truth, whole

Fields = Mapping[str, Any]
# The highest rate and the longest drain that servers take; above them is the same as at them.
HIGHEST_RATE: Final = 100_000
LONGEST_DRAIN: Final = 86_400
# Where a Secret has the servers' token.
TOKEN_KEY: Final = "ADMIN_TOKEN"  # noqa: S105 where it is, not what
# No count or time of a SocketFleet is more than this.
HIGHEST: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Admin:
    """How the servers are reached.

    Attributes:
        port: Their admin port.
        secret: The name of the Secret with their ADMIN_TOKEN; empty: there is none.
        key: The key in it.
    """

    port: int = 9100
    secret: str = ""
    key: str = TOKEN_KEY


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
    admin: Admin = field(default_factory=Admin)
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
        """Of a resource's `spec`; what is missing has its default.

        The CRD bounds most of it. Figures above what makes a difference are taken for the highest that does.

        Raises:
            ValueError: It is none, whatever has let it pass.
        """
        said = fields(spec)
        return cls(
            deployment=read_field(said, "deployment", name),
            **_given(
                said,
                _figure,
                replicas="replicas",
                min_replicas="minReplicas",
                max_replicas="maxReplicas",
                connections_per_replica="connectionsPerReplica",
            ),
            **_given(said, truth, dry_run="dryRun"),
            admin=_admin(_part(said, "admin")),
            drain=_drain(_part(said, "drain")),
            rebalance=_rebalance(_part(said, "rebalance")),
            metric=Metric(**_given(_part(said, "metric"), _figure, hold="holdSeconds", stale="staleSeconds")),
            redis_adapter=RedisAdapter.of(_part(said, "redisAdapter")),
        )


def _admin(spec: Fields) -> Admin:
    given = _given(spec, lambda value: whole(value, 65_535), port="port")
    secret = read_field(spec, "tokenSecret", _token_secret) if spec.get("tokenSecret") else {}
    return Admin(**given, **secret)


def _token_secret(value: Any) -> dict[str, str]:
    said = fields(value)
    return {"secret": read_field(said, "name", name), **_given(said, name, key="key")}


def _drain(spec: Fields) -> Drain:
    given = _given(spec, _figure, rate="connectionsPerSecond", timeout="timeoutSeconds")
    for figure, most in (("rate", HIGHEST_RATE), ("timeout", LONGEST_DRAIN)):
        if figure in given:
            given[figure] = min(given[figure], most)
    return Drain(**given)


def _rebalance(spec: Fields) -> Rebalance:
    given = _given(
        spec,
        _figure,
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
    for rate in ("rate", "accept_rate"):
        if rate in given:
            given[rate] = min(given[rate], HIGHEST_RATE)
    return Rebalance(**given, **_given(spec, truth, enabled="enabled"))


def _part(spec: Fields, of: str) -> Fields:
    part: Fields = read_field({of: {}, **spec}, of, fields)
    return part


def _figure(value: Any) -> float:
    """A number from 0 on. Raises ValueError."""
    return min(number(value, 0, float("inf")), HIGHEST)


def _given(spec: Fields, read: Callable[[Any], Any], **names: str) -> dict[str, Any]:
    return {ours: read_field(spec, theirs, read) for ours, theirs in names.items() if theirs in spec}
