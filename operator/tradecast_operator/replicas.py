"""How many pods there are to be, and which of them go: pure decisions."""

from __future__ import annotations

from collections.abc import Sequence

from tradecast_operator.actions import Action, CancelDrain, PutFirst, SetReplicas, StartDrain
from tradecast_operator.observation import Observation, Pod
from tradecast_operator.spec import Spec


def plan_replicas(seen: Observation, spec: Spec) -> list[Action]:
    """What brings the Deployment to the wanted number of replicas.

    Up at once. Down by as many pods as are empty, each first put first in the order of deletion; those that are not
    empty are drained before, the least loaded ones. Pods that are not in service go before any that are.

    ReplicaSets delete in this order: not scheduled, pending, not ready, then by deletion cost
    (https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#scaling-down-a-replicaset). So what is
    decided holds for what was seen only: when another pod has gone, the next round decides anew.
    """
    drained = [pod for pod in seen.pods if pod.drain_since is not None and not pod.terminating]
    excess = seen.replicas - spec.wanted
    if excess < 0:
        message = f"{seen.replicas} → {spec.wanted} replicas: {_wanted_because(spec)}"
        up = SetReplicas(replicas=spec.wanted, version=seen.version, reason="ScaledUp", message=message)
        return [up, *_cancel(drained, f"{spec.wanted} replicas are wanted now")]
    if excess == 0:
        return _cancel(drained, f"{spec.wanted} replicas are wanted, and so many there are")
    if seen.rolling:
        return _cancel(drained, "a rollout is under way")
    return _down(seen, spec, excess)


def _down(seen: Observation, spec: Spec, excess: int) -> list[Action]:
    actions: list[Action] = []
    alive = [pod for pod in seen.pods if not pod.terminating]
    missing = max(0, seen.replicas - len(alive))
    empty = [pod for pod in alive if _may_go(pod, seen, spec)]
    leaving = [pod for pod in alive if pod.drain_since is not None and pod not in empty]
    # More of them than have to go: those that would lose the most clients stay.
    spare = missing + len(empty) + len(leaving) - excess
    if spare > 0:
        leaving.sort(key=_load)
        staying, leaving = leaving[len(leaving) - min(spare, len(leaving)) :], leaving[: len(leaving) - spare]
        actions += _cancel(staying, f"{spec.wanted} replicas are wanted now")
    for pod in empty[: max(0, excess - missing)]:
        if not pod.goes_first:
            actions.append(_put_first(pod, seen, spec))
    gone = missing + sum(pod.goes_first for pod in empty)
    if gone:
        count = seen.replicas - min(excess, gone)
        message = f"{seen.replicas} → {count} replicas: {min(excess, gone)} empty, {_wanted_because(spec)}"
        actions.append(SetReplicas(replicas=count, version=seen.version, reason="ScaledDown", message=message))
    for pod in leaving:
        if pod.stats is not None and not pod.stats.draining:
            message = f"{pod.name} does not drain any more, with {pod.connections} connections: again"
            actions.append(_drain(pod, spec, message))
    rest = [pod for pod in alive if pod.drain_since is None and pod not in empty]
    fewer = excess - missing - len(empty) - len(leaving)
    for pod in sorted(rest, key=_load)[: max(0, fewer)]:
        message = (
            f"{pod.name} with {_count(pod)} of {seen.total} connections is drained, at {spec.drain.rate:g}/s for the "
            f"fleet: {_wanted_because(spec)}, and there are {seen.replicas}"
        )
        actions.append(_drain(pod, spec, message))
    return actions


def _may_go(pod: Pod, seen: Observation, spec: Spec) -> bool:
    """Whether a pod can be deleted: nobody is connected, or its time is over."""
    if pod.drain_since is None:
        return not pod.ready and pod.connections == 0
    return pod.connections == 0 or is_overdue(pod, seen, spec)


def is_overdue(pod: Pod, seen: Observation, spec: Spec) -> bool:
    """Whether a pod has been drained for longer than that may take."""
    return pod.drain_since is not None and seen.time - pod.drain_since > spec.drain.timeout


def _put_first(pod: Pod, seen: Observation, spec: Spec) -> PutFirst:
    if pod.connections == 0:
        return PutFirst(pod=pod.name, uid=pod.uid, reason="Drained", message=f"{pod.name} is empty, and goes first")
    message = f"{pod.name} still has {_count(pod)} connections after {spec.drain.timeout:g} s: it goes nevertheless"
    return PutFirst(pod=pod.name, uid=pod.uid, reason="DrainOverdue", message=message, warning=True)


def _drain(pod: Pod, spec: Spec, message: str) -> StartDrain:
    return StartDrain(pod=pod.name, uid=pod.uid, rate=spec.drain.rate, reason="Draining", message=message)


def _cancel(pods: Sequence[Pod], why: str) -> list[Action]:
    return [
        CancelDrain(
            pod=pod.name, uid=pod.uid, reason="DrainCancelled", message=f"{pod.name} takes clients again: {why}"
        )
        for pod in pods
    ]


def _load(pod: Pod) -> tuple[bool, int, str]:
    """The least loaded first; what is not known last."""
    return pod.connections is None, pod.connections or 0, pod.name


def _count(pod: Pod) -> str:
    return "an unknown number" if pod.connections is None else str(pod.connections)


def _wanted_because(spec: Spec) -> str:
    if spec.wanted == spec.replicas:
        return f"{spec.wanted} are wanted"
    bound = "minReplicas" if spec.wanted == spec.min_replicas else "maxReplicas"
    return f"{spec.replicas} are asked for, and {bound} is {spec.wanted}"
