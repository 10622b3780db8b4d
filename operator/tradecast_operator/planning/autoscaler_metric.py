"""The number that the autoscaler reads: a fleet's connections, without dips while clients reconnect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tradecast_operator.model.observation import Observation, Pod
from tradecast_operator.model.spec import Metric


@dataclass(frozen=True, slots=True)
class Held:
    """The connections that a pod had when it last answered.

    Attributes:
        count: So many.
        time: When, in seconds since 1970.
    """

    count: int
    time: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known of a fleet's connections.

    Attributes:
        time: When the fleet was last observed completely, in seconds since 1970; 0: never.
        pods: What each pod had when it last answered, by uid.
        totals: The fleet's connections then, and each higher number within the hold time before, with its time, in
            descending order.
        since: When the fleet was first observed, completely or not; 0: never.
    """

    time: float = 0.0
    pods: Mapping[str, Held] = field(default_factory=dict)
    totals: Sequence[tuple[float, int]] = ()
    since: float = 0.0


class Unknown(Exception):
    """The number is unknown; the text says why. An autoscaler must not take it for 0."""


def update_reading(seen: Observation, before: Reading, rules: Metric) -> Reading:
    """The reading after an observation; the number stays if the observation is incomplete.

    - A pod in service that does not answer counts with its last connections for the hold time, otherwise with the
      mean of those that answer. If there are more such pods than are tolerated, the observation is incomplete.
    - A pod out of service that does not answer is on a dead node, or hangs: its clients are back at other pods soon.
      It counts with its last connections, which decay to none within the hold time. If a new operator does not know
      them, it waits for so long before it leaves the pod out.

    So the number is never too low, and not too high for long.
    """
    since = before.since or seen.time
    pods = {
        pod.uid: found
        for pod in seen.pods
        if (found := before.pods.get(pod.uid) if pod.connections is None else Held(pod.connections, seen.time))
    }
    fills = -(-sum(pod.connections or 0 for pod in seen.in_service) // max(1, _count_known(seen)))
    counts = [_count_pod(pod, pods.get(pod.uid), fills, seen.time, rules, since) for pod in seen.pods]
    if not seen.complete or any(count is None for count in counts):
        return replace(before, pods=pods, since=since)
    total = sum(count or 0 for count in counts)
    higher = [(at, count) for at, count in before.totals if at > seen.time - rules.hold and count > total]
    return Reading(seen.time, pods, (*higher, (seen.time, total)), since)


def count_connections(reading: Reading, now: float, rules: Metric) -> int:
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


def _count_known(seen: Observation) -> int:
    return sum(pod.connections is not None for pod in seen.in_service)


def _count_pod(pod: Pod, held: Held | None, fill: int, now: float, rules: Metric, since: float) -> int | None:
    """The connections of a pod, or what stands for them; None: it may have any number."""
    if pod.connections is not None:
        return pod.connections
    if pod.ready and not pod.terminating:
        return fill if held is None or now - held.time > rules.hold else held.count
    if held is not None:
        left = 1 - (now - held.time) / rules.hold if rules.hold else 0
        return round(held.count * max(0, left))
    # A new operator waits for a pod that may still have clients, but not for those that are being deleted.
    return 0 if pod.terminating or now - since >= max(rules.hold, rules.stale) else None
