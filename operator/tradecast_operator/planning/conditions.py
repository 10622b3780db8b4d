"""The status of a SocketFleet: what a person sees with kubectl. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from tradecast_operator.model.observation import TOLERATED, Observation
from tradecast_operator.model.spec import Spec
from tradecast_operator.planning.replicas import is_overdue

# Of a status: more conditions, and more characters of a message, are left out.
MOST_CONDITIONS: Final = 20
LONGEST_MESSAGE: Final = 2_000
Truth = Literal["True", "False", "Unknown"]


@dataclass(frozen=True, slots=True)
class Condition:
    """One of the conditions (https://kubernetes.io/docs/reference/using-api/, `metav1.Condition`)."""

    type: str
    status: Truth
    reason: str
    message: str


def describe_fleet(
    seen: Observation, spec: Spec, *, paused: bool, rolling_mode: bool = False, owner: str = ""
) -> list[Condition]:
    """The conditions of a fleet that was observed.

    Args:
        seen: The fleet.
        spec: What is asked for.
        paused: Whether a person has paused the fleet.
        rolling_mode: Whether the fleet is rolled onto another mode of the adapter.
        owner: The older SocketFleet of the same Deployment; empty: there is none.
    """
    ready = sum(pod.ready for pod in seen.pods)
    return [
        _judge_available(ready, spec),
        _judge_progressing(seen, spec, ready, paused=paused, owner=owner),
        _judge_draining(seen, spec),
        _judge_degraded(seen, spec, rolling_mode=rolling_mode, owner=owner),
    ]


def describe_failure(why: str, reason: str = "NotSeen") -> list[Condition]:
    """The conditions of a fleet that cannot be observed, or whose spec is invalid."""
    return [
        Condition("Available", "Unknown", reason, why),
        Condition("Degraded", "True", reason, why),
    ]


def describe_trust(problems: Sequence[tuple[str, str]], *, has_token: bool) -> Condition:
    """Whether credentials for the servers' admin ports go to the right servers only, and signed.

    Args:
        problems: Reasons and messages, the worst first.
        has_token: Whether there are credentials.
    """
    if problems:
        return Condition(
            "AdminTrusted", "False", problems[0][0], "; ".join(message for _, message in problems)[:LONGEST_MESSAGE]
        )
    if not has_token:
        return Condition("AdminTrusted", "Unknown", "NoToken", "admin.tokenSecret names no Secret")
    return Condition("AdminTrusted", "True", "Signed", "requests to servers are signed, each for one pod")


def list_names(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    first = ", ".join(sorted(names)[:5])
    return first if len(names) <= 5 else f"{first} and {len(names) - 5} more"


def merge_conditions(
    before: Sequence[Mapping[str, Any]], now: Sequence[Condition], generation: int, time: float
) -> list[Any]:
    """Conditions as they are stored, each with the time since which it has had its status.

    Args:
        before: The stored conditions.
        now: The new ones; others stay.
        generation: Of the SocketFleet that they are about.
        time: Now, in seconds since 1970.
    """
    known = {one.get("type"): one for one in before}
    merged = []
    for one in now:
        old = known.get(one.type, {})
        same = old.get("status") == one.status and old.get("lastTransitionTime")
        merged.append(
            {
                "type": one.type,
                "status": one.status,
                "reason": one.reason,
                "message": one.message[:LONGEST_MESSAGE],
                "observedGeneration": generation,
                "lastTransitionTime": old["lastTransitionTime"] if same else _format_time(time),
            }
        )
    names = {one.type for one in now}
    others = [dict(one) for one in before if one.get("type") not in names]
    return [*merged, *others][:MOST_CONDITIONS]


def round_count(count: int) -> int:
    """Round to two digits: a value that changes all the time must not change the status each time."""
    digits = len(str(count)) - 2
    return round(count, -digits) if digits > 0 else count


def _judge_available(ready: int, spec: Spec) -> Condition:
    message = f"{ready} ready, at least {spec.min_replicas} wanted"
    if ready >= spec.min_replicas:
        return Condition("Available", "True", "EnoughReady", message)
    return Condition("Available", "False", "TooFewReady", message)


def _judge_progressing(seen: Observation, spec: Spec, ready: int, *, paused: bool, owner: str) -> Condition:
    if paused:
        return Condition("Progressing", "False", "Paused", "paused by the annotation tradecast.dev/paused")
    if owner:
        return Condition("Progressing", "False", "DeploymentShared", _explain_shared(spec, owner))
    message = f"{seen.replicas} replicas, {spec.wanted} wanted, {ready} ready"
    if seen.rolling:
        return Condition("Progressing", "True", "RollingOut", f"{message}; there are pods of two templates")
    if seen.replicas < spec.wanted:
        return Condition("Progressing", "True", "ScalingUp", message)
    if seen.replicas > spec.wanted:
        return Condition("Progressing", "True", "ScalingDown", message)
    if ready < seen.replicas:
        return Condition("Progressing", "True", "PodsStarting", message)
    return Condition("Progressing", "False", "Stable", message)


def _judge_draining(seen: Observation, spec: Spec) -> Condition:
    pods = [pod for pod in seen.pods if pod.drain_since is not None and not pod.terminating]
    if not pods:
        return Condition("Draining", "False", "NoDrain", "no pod is draining")
    late = [pod.name for pod in pods if is_overdue(pod, seen, spec)]
    names = list_names([pod.name for pod in pods])
    if late:
        return Condition("Draining", "True", "Overdue", f"for longer than {spec.drain.timeout:g} s: {list_names(late)}")
    return Condition("Draining", "True", "Draining", f"{names}, at {spec.drain.rate:g} connections/s together")


def _explain_shared(spec: Spec, owner: str) -> str:
    return f"the older SocketFleet {owner} alone acts on the same Deployment {spec.deployment}: delete one of them"


def _judge_degraded(seen: Observation, spec: Spec, *, rolling_mode: bool, owner: str) -> Condition:
    if owner:
        return Condition("Degraded", "True", "DeploymentShared", _explain_shared(spec, owner))
    # Servers that start or terminate do not answer for a moment.
    silent = [pod.name for pod in seen.in_service if pod.connections is None]
    if not seen.complete:
        return Condition("Degraded", "True", "ServersSilent", f"no answer at the admin port: {list_names(silent)}")
    if spec.most is not None:
        message = f"{spec.bounded} are wanted, {spec.most} are kept for now: {spec.most_why}"
        # While the fleet is rolled that is normal.
        return Condition("Degraded", "False" if rolling_mode else "True", "Held", message)
    if spec.wanted != spec.replicas:
        message = f"{spec.replicas} are requested, {spec.min_replicas} to {spec.max_replicas} are allowed"
        return Condition("Degraded", "False", "Bounded", message)
    if silent:
        most = f"at most {TOLERATED:.0%} of the servers in service do not answer"
        return Condition("Degraded", "False", "AsExpected", most)
    return Condition("Degraded", "False", "AsExpected", "every server answers")


def _format_time(time: float) -> str:
    return datetime.datetime.fromtimestamp(time, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
