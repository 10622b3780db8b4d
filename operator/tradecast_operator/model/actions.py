"""What can be done to a fleet. Each action says why: `reason` is the event's reason, `message` has the values."""

from __future__ import annotations

from dataclasses import dataclass

from tradecast_operator.model.observation import Hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Something to do, or only to report."""

    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SetReplicas(Action):
    """Write the Deployment's replicas, if it still has the version that was observed."""

    replicas: int
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartDrain(Action):
    """Mark a pod and have its server drain; also if the pod is marked and its server has forgotten the drain.

    Attributes:
        rate: Clients disconnected per second, by the whole fleet.
        since: When the drain first began, in seconds since 1970, so that a server that keeps restarting does not defer
            the time limit.
        timeout: Seconds after which the server closes the remaining clients at once.
        renew_within: Seconds after which the drain expires unless it is renewed; None: never, since the server
            does not know of that.
    """

    pod: str
    uid: str
    rate: float
    since: float
    timeout: float
    renew_within: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelDrain(Action):
    """Have a server accept clients again, and remove the pod's marks."""

    pod: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PutFirst(Action):
    """Give a pod the lowest deletion cost, so that the ReplicaSet deletes it next."""

    pod: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shed(Action):
    """Have a server disconnect some of its clients, and stay in service.

    Attributes:
        count: So many clients.
        rate: Clients disconnected per second, by the whole fleet.
    """

    pod: str
    uid: str
    count: int
    rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateDrain(Action):
    """Start, renew or change a server's drain. The request is repeated, so it is not reported as an event.

    Attributes:
        rate: Clients disconnected per second, by the whole fleet.
        timeout: Seconds after which the server closes the remaining clients at once; None: by its own settings.
        renew_within: Seconds after which the drain expires unless it is renewed; None: never.
        ends_within: Seconds until Kubernetes kills the process; None: unknown.
    """

    pod: str
    uid: str
    rate: float
    timeout: float | None = None
    renew_within: float | None = None
    ends_within: float | None = None
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPacing(Action):
    """Write what determines when the Deployment's controller ends old pods, if the Deployment still has this version.

    Attributes:
        minimum: `minReadySeconds`.
        deadline: `progressDeadlineSeconds`; None: it is not written.
        hold: The failed trial to record; None: none, and a recorded one is removed.
    """

    version: str
    minimum: int
    deadline: int | None
    hold: Hold | None
