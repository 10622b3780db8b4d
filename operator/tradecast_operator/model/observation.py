"""A fleet as it was observed at one moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

# Of a large fleet some pods come and go at any time: this share of it makes no difference to a decision.
TOLERATED: Final = 0.02


def count_tolerated(pods: int) -> int:
    """The number of pods, out of `count`, that may be in an exceptional state; 0 below 50."""
    return int(pods * TOLERATED)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Totals of a server's successes and failures since its process started.

    Attributes:
        connects: Socket.IO connects that were answered, either way.
        connect_failures: Those that failed by the server's fault.
        events: Client events that were handled.
        event_errors: Those that failed by the server's fault.
    """

    connects: int = 0
    connect_failures: int = 0
    events: int = 0
    event_errors: int = 0


@dataclass(frozen=True, slots=True)
class Stats:
    """What a server reports (`GET /admin/stats`).

    Attributes:
        connections: Connected clients.
        draining: Whether the server drains, or has drained.
        shedding: Whether it disconnects some clients and stays in service.
        adapter: Mode, settings in effect, and rates, as it reports them.
        drain_rate: Clients that all terminating servers together disconnect per second (DRAIN_RATE); 0: not reported.
        drain_time: Seconds until it closes the remaining ones (DRAIN_TIMEOUT); 0: not reported.
        renewable: Whether it accepts drains that expire (`renewWithin`), and deadlines (`endsWithin`).
        rate: Clients per second that it disconnects at now; 0: not reported.
        ends_in: Seconds until it closes the rest; None: it has no such limit.
        urgent: Whether it had to raise its rate above the configured one.
        outcomes: How its work went; None: not reported.
    """

    connections: int
    draining: bool = False
    shedding: bool = False
    adapter: Any = field(default=None, compare=False)
    drain_rate: float = 0.0
    drain_time: float = 0.0
    renewable: bool = False
    rate: float = 0.0
    ends_in: float | None = None
    urgent: bool = False
    outcomes: Outcomes | None = None


@dataclass(frozen=True, slots=True)
class Pod:
    """One server.

    Attributes:
        name: Its name.
        uid: Its uid; names can be reused.
        ready_since: Since when it has been ready, in seconds since 1970; None: it is not.
        started: Whether its server can have clients: its container has run.
        terminating: Whether it has been deleted and is terminating.
        revision: The hash of its pod template.
        goes_first: Whether it has the lowest deletion cost.
        drain_since: Since when the operator has drained it, in seconds since 1970; None: it does not.
        stats: What its server reports; None: no answer.
        unready_since: Since when it has not been ready, in seconds since 1970; None: it is ready, or waits for a node.
        was_ready: Whether it has been ready before that.
        trouble: Why a container of it does not run, in Kubernetes' word (CrashLoopBackOff); empty: it does.
        killed_at: When Kubernetes kills it, in seconds since 1970 by the API server's clock; None: it was not deleted.
        grace: Seconds that it has from its deletion until then.
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
    unready_since: float | None = None
    was_ready: bool = False
    trouble: str = ""
    killed_at: float | None = None
    grace: float = 0.0

    @property
    def ready(self) -> bool:
        """Whether new clients connect to it."""
        return self.ready_since is not None

    @property
    def connections(self) -> int | None:
        """Its clients; None: unknown."""
        if self.stats is not None:
            return self.stats.connections
        return None if self.started else 0


@dataclass(frozen=True, slots=True)
class Hold:
    """A rollout that failed its trial, as it is recorded on the Deployment.

    Attributes:
        revision: The revision that failed.
        why: What it failed by.
        deadline: The Deployment's `progressDeadlineSeconds` before; None: there was none.
        minimum: The Deployment's `minReadySeconds` before.
        useless: Whether clients cannot even connect to its servers.
    """

    revision: str
    why: str
    deadline: int | None = 600
    minimum: int = 0
    useless: bool = False


@dataclass(frozen=True, slots=True)
class Pacing:
    """What determines when the Deployment's controller ends old pods.

    Attributes:
        minimum: `minReadySeconds`: new pods must be ready for so long before old ones end.
        deadline: `progressDeadlineSeconds`; None: there is none.
        hold: The failed trial that is recorded; None: there is none.
        release: The Helm release of the Deployment; empty: it was not deployed by Helm.
    """

    minimum: int = 0
    deadline: int | None = 600
    hold: Hold | None = None
    release: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """A fleet.

    Attributes:
        time: When, in seconds since 1970.
        replicas: The Deployment's replicas.
        version: The Deployment's resource version: decisions are valid for this one only.
        rolling: Whether there are pods of an earlier template.
        pods: All pods, including terminating ones.
        behind: Whether the Deployment's controller has not observed the present spec: a rollout may be about to begin.
        stuck: Whether its rollout has not progressed for the Deployment's `progressDeadlineSeconds`.
        mode_mark: The mode annotation of its pod template; empty: there is none.
        mode_from: Names of the ConfigMaps from which its containers take their mode.
        revision: The revision that the Deployment asks for; empty: unknown.
        pacing: What determines when old pods end.
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
    revision: str = ""
    pacing: Pacing = field(default_factory=Pacing)

    @property
    def held(self) -> Hold | None:
        """The failed trial of the revision that the Deployment asks for; None: it has not failed."""
        hold = self.pacing.hold
        return hold if hold is not None and self.revision and hold.revision == self.revision else None

    @property
    def in_service(self) -> Sequence[Pod]:
        """The pods to which new clients connect."""
        return [pod for pod in self.pods if pod.ready and not pod.terminating]

    @property
    def complete(self) -> bool:
        """Whether the connections of every pod in service are known, or of all but a tolerated share.

        A pod out of service does not count: one on a dead node stays for minutes, and never answers.
        """
        pods = self.in_service
        return sum(pod.connections is None for pod in pods) <= count_tolerated(len(pods))

    @property
    def total(self) -> int:
        """The known connections, including those of draining and terminating pods."""
        return sum(pod.connections or 0 for pod in self.pods)
