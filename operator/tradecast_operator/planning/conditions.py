"""The status of a SocketFleet: what a person sees with kubectl. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tradecast_operator.model.observation import Observation
from tradecast_operator.model.spec import Spec
from tradecast_operator.planning.replicas import is_overdue

Truth = Literal["True", "False", "Unknown"]


@dataclass(frozen=True, slots=True)
class Condition:
    """One of the conditions (https://kubernetes.io/docs/reference/using-api/, `metav1.Condition`)."""

    type: str
    status: Truth
    reason: str
    message: str


def conditions(seen: Observation, spec: Spec, *, paused: bool, rolls: bool = False, owner: str = "") -> list[Condition]:
    """How a fleet is, in words.

    Args:
        seen: The fleet.
        spec: What is asked for.
        paused: Whether a person wants nothing done.
        rolls: Whether it is being rolled from one mode of the adapter to another.
        owner: The SocketFleet that has had its Deployment before; empty: this one has it.
    """
    ready = sum(pod.ready for pod in seen.pods)
    return [
        _available(ready, spec),
        _progressing(seen, spec, ready, paused=paused, owner=owner),
        _draining(seen, spec),
        _degraded(seen, spec, rolls=rolls, owner=owner),
    ]


def lost(why: str, reason: str = "NotSeen") -> list[Condition]:
    """How a fleet is that cannot be seen, or of which nothing can be made."""
    return [
        Condition("Available", "Unknown", reason, why),
        Condition("Degraded", "True", reason, why),
    ]


def trusted(problems: Sequence[tuple[str, str]], *, has_token: bool) -> Condition:
    """Whether what opens the servers' admin ports goes to the right ones only, and in the right form.

    Args:
        problems: Reasons and messages, the worst first.
        has_token: Whether there is anything to send.
    """
    if problems:
        return Condition("AdminTrusted", "False", problems[0][0], "; ".join(message for _, message in problems)[:2_000])
    if not has_token:
        return Condition("AdminTrusted", "Unknown", "NoToken", "admin.tokenSecret names no Secret")
    return Condition("AdminTrusted", "True", "Signed", "requests to servers are signed, and hold for one pod each")


def named(names: Sequence[str]) -> str:
    """Some names, and how many more there are."""
    first = ", ".join(sorted(names)[:5])
    return first if len(names) <= 5 else f"{first} and {len(names) - 5} more"


def merged(before: Sequence[Mapping[str, Any]], now: Sequence[Condition], generation: int, time: float) -> list[Any]:
    """Conditions as they are kept: each with the time since which its status has been what it is."""
    known = {one.get("type"): one for one in before}
    told = []
    for one in now:
        old = known.get(one.type, {})
        same = old.get("status") == one.status and old.get("lastTransitionTime")
        told.append(
            {
                "type": one.type,
                "status": one.status,
                "reason": one.reason,
                "message": one.message,
                "observedGeneration": generation,
                "lastTransitionTime": old["lastTransitionTime"] if same else _written(time),
            }
        )
    names = {one.type for one in now}
    return [*told, *(dict(one) for one in before if one.get("type") not in names)]


def rounded(count: int) -> int:
    """To two digits, for what changes all the time and must not change the status each time."""
    digits = len(str(count)) - 2
    return round(count, -digits) if digits > 0 else count


def _available(ready: int, spec: Spec) -> Condition:
    told = f"{ready} ready, at least {spec.min_replicas} wanted"
    if ready >= spec.min_replicas:
        return Condition("Available", "True", "EnoughReady", told)
    return Condition("Available", "False", "TooFewReady", told)


def _progressing(seen: Observation, spec: Spec, ready: int, *, paused: bool, owner: str) -> Condition:
    if paused:
        return Condition("Progressing", "False", "Paused", "the annotation tradecast.dev/paused says so")
    if owner:
        return Condition("Progressing", "False", "DeploymentShared", _shared(spec, owner))
    told = f"{seen.replicas} replicas, {spec.wanted} wanted, {ready} ready"
    if seen.rolling:
        return Condition("Progressing", "True", "RollingOut", f"{told}; pods of two templates are there")
    if seen.replicas < spec.wanted:
        return Condition("Progressing", "True", "ScalingUp", told)
    if seen.replicas > spec.wanted:
        return Condition("Progressing", "True", "ScalingDown", told)
    if ready < seen.replicas:
        return Condition("Progressing", "True", "PodsStarting", told)
    return Condition("Progressing", "False", "Stable", told)


def _draining(seen: Observation, spec: Spec) -> Condition:
    pods = [pod for pod in seen.pods if pod.drain_since is not None and not pod.terminating]
    if not pods:
        return Condition("Draining", "False", "NoDrain", "no pod is drained")
    late = [pod.name for pod in pods if is_overdue(pod, seen, spec)]
    names = named([pod.name for pod in pods])
    if late:
        return Condition("Draining", "True", "Overdue", f"longer than {spec.drain.timeout:g} s: {named(late)}")
    return Condition("Draining", "True", "Draining", f"{names}, at {spec.drain.rate:g} connections/s together")


def _shared(spec: Spec, owner: str) -> str:
    return f"SocketFleet {owner} has had Deployment {spec.deployment} before, and alone acts on it: remove one of them"


def _degraded(seen: Observation, spec: Spec, *, rolls: bool, owner: str) -> Condition:
    if owner:
        return Condition("Degraded", "True", "DeploymentShared", _shared(spec, owner))
    # Those that begin or end are silent for a moment.
    silent = [pod.name for pod in seen.pods if pod.ready and pod.connections is None]
    if silent:
        return Condition("Degraded", "True", "ServersSilent", f"no answer at the admin port: {named(silent)}")
    if spec.most is not None:
        told = f"{spec.bounded} are wanted, {spec.most} kept for now: {spec.most_why}"
        # For as long as a rollout takes that is as it should be.
        return Condition("Degraded", "False" if rolls else "True", "Held", told)
    if spec.wanted != spec.replicas:
        told = f"{spec.replicas} are asked for, {spec.min_replicas} to {spec.max_replicas} allowed"
        return Condition("Degraded", "False", "Bounded", told)
    return Condition("Degraded", "False", "AsExpected", "every server answers")


def _written(time: float) -> str:
    return datetime.datetime.fromtimestamp(time, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
