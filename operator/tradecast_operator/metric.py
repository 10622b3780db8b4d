"""The number that the autoscaler reads: the connections of a whole fleet, which does not dip while clients move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tradecast_operator.observation import Observation
from tradecast_operator.spec import Metric


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known of a fleet's connections.

    Attributes:
        time: When it was last seen whole, in seconds since 1970; 0 if never.
        total: Its connections then.
        pods: Of each pod then, by uid.
        floors: Below which the number does not fall, each until a time.
    """

    time: float = 0.0
    total: int = 0
    pods: Mapping[str, int] = field(default_factory=dict)
    floors: Sequence[tuple[float, int]] = ()


class Unknown(Exception):
    """There is no number that can be told; the text says why. An autoscaler must not take it for 0."""


def read(seen: Observation, before: Reading, rules: Metric) -> Reading:
    """The reading after an observation; the one before where that is not whole."""
    if not seen.complete:
        return before
    pods = {pod.uid: pod.connections or 0 for pod in seen.pods}
    floors = [(until, floor) for until, floor in before.floors if until > seen.time]
    if any(uid not in pods and count for uid, count in before.pods.items()):
        # The clients of a pod that is gone are on their way to another one.
        floors.append((seen.time + rules.hold, before.total))
    return Reading(seen.time, seen.total, pods, tuple(floors))


def connections(reading: Reading, now: float, rules: Metric) -> int:
    """What to tell.

    Raises:
        Unknown: The fleet has not been seen whole for too long.
    """
    if not reading.time:
        raise Unknown("The fleet has not been seen whole yet")
    if now - reading.time > rules.stale:
        raise Unknown(f"The fleet was last seen whole {now - reading.time:.0f} s ago; {rules.stale:g} s are allowed")
    return max([reading.total, *(floor for until, floor in reading.floors if until > now)])
