"""The number that the autoscaler reads: the connections of a whole fleet, which does not dip while clients move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tradecast_operator.model.observation import Observation, Pod
from tradecast_operator.model.spec import Metric


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known of a fleet's connections.

    Attributes:
        time: When it was last seen whole, in seconds since 1970; 0 if never.
        pods: Of each pod then, by uid.
        totals: The fleet's connections then, and each higher number that it has had since a hold ago, with its time;
            falling.
    """

    time: float = 0.0
    pods: Mapping[str, int] = field(default_factory=dict)
    totals: Sequence[tuple[float, int]] = ()


class Unknown(Exception):
    """There is no number that can be told; the text says why. An autoscaler must not take it for 0."""


def read(seen: Observation, before: Reading, rules: Metric) -> Reading:
    """The reading after an observation; the one before where that is not whole.

    A pod that is not in service and does not answer counts what it last held: never too few, and a server that
    hangs at its start or on a dead node does not keep the autoscaler from a number.
    """
    pods = {}
    for pod in seen.pods:
        count = pod.connections if pod.connections is not None else _last_held(pod, before)
        if count is None:
            return before
        pods[pod.uid] = count
    total = sum(pods.values())
    higher = [(at, count) for at, count in before.totals if at > seen.time - rules.hold and count > total]
    return Reading(seen.time, pods, (*higher, (seen.time, total)))


def connections(reading: Reading, now: float, rules: Metric) -> int:
    """What to tell: the most that the fleet has held since a hold ago.

    Clients that a drain, a shed, a rollout or a crash has sent away are connected nowhere for some seconds, and
    are back. Whatever the cause, a number that fell with them would take pods from under them.

    Raises:
        Unknown: The fleet has not been seen whole for too long.
    """
    if not reading.totals:
        raise Unknown("The fleet has not been seen whole yet")
    if now - reading.time > rules.stale:
        raise Unknown(f"The fleet was last seen whole {now - reading.time:.0f} s ago; {rules.stale:g} s are allowed")
    held = [count for at, count in reading.totals if at > now - rules.hold]
    return max([reading.totals[-1][1], *held])


def _last_held(pod: Pod, before: Reading) -> int | None:
    """The clients of a pod that does not answer; None if it may have others by now."""
    if pod.ready or not before.time:
        # An operator that has just begun waits for every pod but those that are being deleted.
        return 0 if pod.terminating else None
    return before.pods.get(pod.uid, 0)
