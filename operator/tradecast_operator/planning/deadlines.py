"""When terminating pods are killed, and how their servers' drains are adapted to that. Pure.

A server that ends disconnects its clients at the fleet's rate. If it has less time than that takes, it has to be
faster, and only Kubernetes knows how much time it has: `kubectl drain --grace-period`, an eviction or `kubectl delete
--grace-period` give another one than the pod's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tradecast_operator.model.actions import Action, UpdateDrain
from tradecast_operator.model.observation import Observation, Pod
from tradecast_operator.model.spec import Spec
from tradecast_operator.planning.conditions import list_names


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a pod is killed, by the operator's clock.

    Attributes:
        killed_at: When by the API server's clock: another value is a new deletion, with another grace period.
        at: When by the operator's clock, in seconds since 1970.
    """

    killed_at: float
    at: float


@dataclass(frozen=True, slots=True)
class Deadlines:
    """What is remembered from observation to observation. It is not persisted.

    Attributes:
        time: Of the last observation; 0: there was none.
        alive: Uids of the pods that were not terminating then.
        known: Deadlines by the pod's uid.
        hurried: Uids of the pods whose servers were reported to be faster than configured.
    """

    time: float = 0.0
    alive: frozenset[str] = frozenset()
    known: Mapping[str, Deadline] = field(default_factory=dict)
    hurried: frozenset[str] = frozenset()


def plan_deadlines(seen: Observation, spec: Spec, before: Deadlines) -> tuple[list[Action], Deadlines]:
    """Have drains of terminating pods end before the pod is killed, at a raised rate; report servers that hurry.

    A `deletionTimestamp` is when Kubernetes kills the pod: it includes the grace period. It is by the API server's
    clock, which may be another one; so it counts only within what the operator itself has seen: the pod was deleted
    between two observations, and has the grace period from then on.
    """
    ending = [pod for pod in seen.pods if pod.terminating and pod.killed_at is not None]
    known = {pod.uid: _find_deadline(pod, seen, before) for pod in ending}
    actions: list[Action] = []
    for pod in ending:
        update = _adapt_drain(pod, known[pod.uid].at - seen.time, spec)
        if update is not None:
            actions.append(update)
    urgent = [pod for pod in seen.pods if pod.stats is not None and pod.stats.urgent]
    fresh = [pod for pod in urgent if pod.uid not in before.hurried]
    if fresh:
        actions.append(_report_speed_up(fresh))
    alive = frozenset(pod.uid for pod in seen.pods if not pod.terminating)
    return actions, Deadlines(seen.time, alive, known, frozenset(pod.uid for pod in urgent))


def _find_deadline(pod: Pod, seen: Observation, before: Deadlines) -> Deadline:
    killed_at = pod.killed_at or 0.0
    known = before.known.get(pod.uid)
    if known is not None and known.killed_at == killed_at:
        return known
    # Deleted before this observation; and after the last one, if it was not terminating then.
    latest = seen.time + pod.grace
    earliest = before.time + pod.grace if pod.uid in before.alive else killed_at
    return Deadline(killed_at, min(max(killed_at, earliest), latest))


def _adapt_drain(pod: Pod, left: float, spec: Spec) -> UpdateDrain | None:
    """Update the drain of a terminating pod; None: it is up to date, cannot be changed, or ends with the pod now."""
    stats = pod.stats
    if stats is None or not stats.renewable or not stats.draining or left <= 0:
        return None
    sooner = stats.ends_in is None or stats.ends_in > left
    faster = 0 < stats.rate < spec.drain.rate
    if not stats.connections or not (sooner or faster):
        return None
    return UpdateDrain(pod=pod.name, uid=pod.uid, rate=spec.drain.rate, ends_within=left)


def _report_speed_up(pods: Sequence[Pod]) -> Action:
    clients = sum(pod.connections or 0 for pod in pods)
    rate = max(pod.stats.rate for pod in pods if pod.stats is not None)
    message = (
        f"{list_names([pod.name for pod in pods])}: {clients} clients are disconnected faster than configured, at up "
        f"to {rate:g}/s per server, since the servers end before the configured rate would be done"
    )
    return Action(reason="DrainSpedUp", message=message, warning=True)
