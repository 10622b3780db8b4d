"""A SocketFleet's `spec`, validated and completed by the API server, as typed values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tradecast_operator.model.adapter_spec import RedisAdapter
from tradecast_operator.model.answers import read_boolean, read_field, read_integer, read_name, read_number, read_object

Fields = Mapping[str, Any]
# The highest rate and the longest drain that servers accept; higher values are treated like these.
HIGHEST_RATE: Final = 100_000
LONGEST_DRAIN: Final = 86_400
LONGEST_TRIAL: Final = 3_600
# The key of the servers' token in its Secret.
TOKEN_KEY: Final = "ADMIN_TOKEN"  # noqa: S105 where it is, not what
# The upper bound of all counts and times of a SocketFleet.
HIGHEST: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Admin:
    """How the servers are reached.

    Attributes:
        port: Their admin port.
        secret: The name of the Secret with their ADMIN_TOKEN; empty: none.
        key: The key in it.
    """

    port: int = 9100
    secret: str = ""
    key: str = TOKEN_KEY


@dataclass(frozen=True, slots=True)
class Drain:
    """How pods are emptied before their deletion.

    Attributes:
        rate: Clients disconnected per second, by all pods of the fleet together.
        timeout: Seconds after which a pod is deleted although it is not empty.
    """

    rate: float = 100
    timeout: float = 600


@dataclass(frozen=True, slots=True)
class Rebalance:
    """When and how connections move from overloaded pods to others.

    Attributes:
        enabled: Whether they do.
        threshold: Connections of the fullest pod relative to the mean, above which connections move.
        min_pods: Ready pods below which nothing moves: of two, clients would only swap.
        min_age: Seconds for which the youngest ready pod must have been ready.
        observations: So many observations in a row must find the fleet uneven.
        quiet_change: The share by which the number of connections may have changed,
        quiet_seconds: within so many seconds.
        rate: Clients disconnected per second, by all pods of the fleet together.
        accept_rate: Clients per second that a pod can accept.
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
class Trial:
    """How a rollout's new servers are judged while the old ones are still there.

    Attributes:
        enabled: Whether they are.
        seconds: The Deployment's `minReadySeconds`; 0: it stays as it is.
        start: Seconds within which a new server must be ready.
        margin: By how much the share of failures may be above that of the old servers.
        least: Connects, or events, below which nothing is concluded from them.
        sample: Clients that are moved to the new servers for that, if fewer have connected there.
        deadline: The Deployment's `progressDeadlineSeconds`; None: it stays as it is.
    """

    enabled: bool = True
    seconds: int = 60
    start: float = 180
    margin: float = 0.05
    least: int = 20
    sample: int = 25
    deadline: int | None = None


@dataclass(frozen=True, slots=True)
class Metric:
    """What the autoscaler reads.

    Attributes:
        hold: Seconds for which the number does not fall.
        stale: Seconds after which an observation is too old.
    """

    hold: float = 120
    stale: float = 30


@dataclass(frozen=True, slots=True)
class Spec:
    """The whole spec.

    Attributes:
        deployment: The name of the Deployment of the servers.
        replicas: The requested replicas, written by an autoscaler or a person.
        min_replicas: The lower bound.
        max_replicas: The upper bound.
        connections_per_replica: The connections that a pod is meant to have.
        dry_run: Whether decisions are only reported.
        most: The maximum for now; None: as many as are requested.
        most_why: The reason for it.
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
    trial: Trial = field(default_factory=Trial)
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
        """The same, and not more than the maximum for now."""
        return self.bounded if self.most is None else min(self.bounded, self.most)

    @classmethod
    def of(cls, spec: Fields) -> Spec:
        """Parse a resource's `spec`; what is missing has its default.

        The CRD bounds most values. Values too high to make a difference are lowered to the highest that does.

        Raises:
            ValueError: The spec is invalid, although something has accepted it.
        """
        data = read_object(spec)
        return cls(
            deployment=read_field(data, "deployment", read_name),
            **_read_given(
                data,
                _read_count,
                replicas="replicas",
                min_replicas="minReplicas",
                max_replicas="maxReplicas",
                connections_per_replica="connectionsPerReplica",
            ),
            **_read_given(data, read_boolean, dry_run="dryRun"),
            admin=_read_admin(_read_part(data, "admin")),
            drain=_read_drain(_read_part(data, "drain")),
            rebalance=_read_rebalance(_read_part(data, "rebalance")),
            trial=_read_trial(_read_part(data, "rollout")),
            metric=Metric(
                **_read_given(_read_part(data, "metric"), _read_count, hold="holdSeconds", stale="staleSeconds")
            ),
            redis_adapter=RedisAdapter.of(_read_part(data, "redisAdapter")),
        )


def _read_admin(spec: Fields) -> Admin:
    given = _read_given(spec, lambda value: read_integer(value, 65_535), port="port")
    secret = read_field(spec, "tokenSecret", _token_secret) if spec.get("tokenSecret") else {}
    return Admin(**given, **secret)


def _token_secret(value: Any) -> dict[str, str]:
    data = read_object(value)
    return {"secret": read_field(data, "name", read_name), **_read_given(data, read_name, key="key")}


def _read_drain(spec: Fields) -> Drain:
    given = _read_given(spec, _read_count, rate="connectionsPerSecond", timeout="timeoutSeconds")
    for limited, most in (("rate", HIGHEST_RATE), ("timeout", LONGEST_DRAIN)):
        if limited in given:
            given[limited] = min(given[limited], most)
    return Drain(**given)


def _read_rebalance(spec: Fields) -> Rebalance:
    given = _read_given(
        spec,
        _read_count,
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
    return Rebalance(**given, **_read_given(spec, read_boolean, enabled="enabled"))


def _read_trial(rollout: Fields) -> Trial:
    spec = _read_part(rollout, "trial")
    given = _read_given(spec, lambda value: read_integer(value, LONGEST_TRIAL), seconds="seconds")
    given |= _read_given(rollout, lambda value: read_integer(value, LONGEST_DRAIN), deadline="progressDeadlineSeconds")
    given |= _read_given(spec, _read_count, start="readyWithinSeconds", margin="marginPercent")
    given |= _read_given(spec, lambda value: read_integer(value, HIGHEST), least="leastCount", sample="sampleClients")
    if "margin" in given:
        given["margin"] /= 100
    return Trial(**given, **_read_given(spec, read_boolean, enabled="enabled"))


def _read_part(spec: Fields, of: str) -> Fields:
    part: Fields = read_field({of: {}, **spec}, of, read_object)
    return part


def _read_count(value: Any) -> float:
    """A number from 0 on. Raises ValueError."""
    return min(read_number(value, 0, float("inf")), HIGHEST)


def _read_given(spec: Fields, read: Callable[[Any], Any], **names: str) -> dict[str, Any]:
    return {ours: read_field(spec, theirs, read) for ours, theirs in names.items() if theirs in spec}
