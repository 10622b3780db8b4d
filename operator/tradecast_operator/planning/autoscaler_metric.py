"""The number that the autoscaler reads: a fleet's connections, without dips while clients reconnect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tradecast_operator.model.observation import Observation, Pod
from tradecast_operator.model.spec import Metric


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known of a fleet's connections.

    Attributes:
        time: When the fleet was last observed completely, in seconds since 1970; 0: never.
        pods: The connections of each pod then, by uid.
        totals: The fleet's connections then, and each higher number within the hold time before, with its time, in
            descending order.
    """

    time: float = 0.0
    pods: Mapping[str, int] = field(default_factory=dict)
    totals: Sequence[tuple[float, int]] = ()


class Unknown(Exception):
    """The number is unknown; the text says why. An autoscaler must not take it for 0."""


def read(seen: Observation, before: Reading, rules: Metric) -> Reading:
    """The reading after an observation; the previous one if the observation is incomplete.

    A pod out of service that does not answer counts with its last connections: never too few, and a server that hangs
    at its start or on a dead node does not deprive the autoscaler of a number.
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
    """The number to report: the most connections within the hold time.

    Clients that a drain, a shed, a rollout or a crash has disconnected are back after some seconds. If the number fell
    meanwhile, the autoscaler would remove the pods that they need.

    Raises:
        Unknown: The fleet has not been observed completely for too long.
    """
    if not reading.totals:
        raise Unknown("The fleet has not been observed completely yet")
    if now - reading.time > rules.stale:
        raise Unknown(f"The last complete observation is {now - reading.time:.0f} s old; {rules.stale:g} s are allowed")
    held = [count for at, count in reading.totals if at > now - rules.hold]
    return max([reading.totals[-1][1], *held])


def _last_held(pod: Pod, before: Reading) -> int | None:
    """The last known clients of a pod that does not answer; None: it may have others by now."""
    if pod.ready or not before.time:
        # A new operator waits for every pod except for those that are being deleted.
        return 0 if pod.terminating else None
    return before.pods.get(pod.uid, 0)
