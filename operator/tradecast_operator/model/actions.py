"""What can be done to a fleet. Each action says why: `reason` in one word for events, `message` with the figures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Something to do."""

    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SetReplicas(Action):
    """Write the Deployment's replicas, if it is still the version that was seen."""

    replicas: int
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartDrain(Action):
    """Mark a pod and have its server send its clients away; also where it is marked and its server does not know.

    Attributes:
        since: What the mark says, in seconds since 1970: of a drain that is begun again, when it was begun first, so
            that a server that restarts time and again does not put off its time limit.
        timeout: Seconds after which the server closes those at once who are left.
    """

    pod: str
    uid: str
    rate: float
    since: float
    timeout: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelDrain(Action):
    """Have a server take clients again, and remove the pod's marks."""

    pod: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PutFirst(Action):
    """Give a pod the lowest deletion cost, so that it is the one to go."""

    pod: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shed(Action):
    """Have a server send some of its clients away while it goes on."""

    pod: str
    uid: str
    count: int
    rate: float
