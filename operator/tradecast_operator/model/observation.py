"""A fleet as it was seen at one moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Stats:
    """What a server says of itself (`GET /admin/stats`).

    Attributes:
        connections: Clients that are connected.
        draining: Whether it sends them away, or has done so.
        shedding: Whether it sends some away.
        adapter: Mode, figures in force, and rates, as it tells them.
        drain_rate: Clients that it sends away per second when it ends, all servers together; 0: it does not tell.
        drain_time: Seconds that it gives itself for that; 0: it does not tell.
    """

    connections: int
    draining: bool = False
    shedding: bool = False
    adapter: Any = field(default=None, compare=False)
    drain_rate: float = 0.0
    drain_time: float = 0.0


@dataclass(frozen=True, slots=True)
class Pod:
    """One server.

    Attributes:
        name: Its name.
        uid: Its uid; a name can come again.
        ready_since: Seconds since 1970 since which it has been ready; None if it is not.
        started: Whether its server can have clients: its container has run.
        terminating: Whether it has been deleted and is ending.
        revision: Which pod template it is of.
        goes_first: Whether it has been given the lowest deletion cost.
        drain_since: Seconds since 1970 since which the operator has been draining it; None if it has not.
        stats: What its server says; None if it does not answer.
    """

    name: str
    uid: str
    ready_since: float | None = None
    started: bool = True
    terminating: bool = False
    revision: str = ""
    goes_first: bool = False
    drain_since: float | None = None
    stats: Stats | None = None

    @property
    def ready(self) -> bool:
        """Whether new clients come to it."""
        return self.ready_since is not None

    @property
    def connections(self) -> int | None:
        """Its clients; None if that is not known."""
        if self.stats is not None:
            return self.stats.connections
        return None if self.started else 0


@dataclass(frozen=True, slots=True)
class Observation:
    """A fleet.

    Attributes:
        time: When, in seconds since 1970.
        replicas: What the Deployment asks for.
        version: The Deployment's resource version: what is decided holds for this one only.
        rolling: Whether pods of an earlier template are there.
        pods: All pods, those that end included.
        behind: Whether the Deployment's controller has not taken up the present spec: a rollout may be about to begin.
        stuck: Whether its rollout has not got on for the Deployment's `progressDeadlineSeconds`.
        mode_mark: The adapter's mode that its pod template is annotated with; empty: it is not.
        mode_from: Names of the ConfigMaps that its containers take their mode from.
    """

    time: float
    replicas: int
    version: str
    rolling: bool
    pods: Sequence[Pod]
    behind: bool = False
    stuck: bool = False
    mode_mark: str = ""
    mode_from: frozenset[str] = frozenset()

    @property
    def complete(self) -> bool:
        """Whether the connections of every pod are known."""
        return all(pod.connections is not None for pod in self.pods)

    @property
    def total(self) -> int:
        """The connections that are known of, those of pods that drain or end included."""
        return sum(pod.connections or 0 for pod in self.pods)
