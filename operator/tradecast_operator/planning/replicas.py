"""How many replicas the Deployment gets, and which pods are drained for that: pure decisions."""

from __future__ import annotations

from collections.abc import Sequence

from tradecast_operator.model.actions import Action, CancelDrain, PutFirst, SetReplicas, StartDrain
from tradecast_operator.model.observation import Observation, Pod
from tradecast_operator.model.spec import Spec

# The share of the clients that can be disconnected within a drain's time limit which is begun at once: clients still
# connect to draining pods for a moment, and some read slowly.
IN_TIME = 0.5


def plan_replicas(seen: Observation, spec: Spec) -> list[Action]:
    """Plan what brings the Deployment to the wanted replicas.

    Scale up at once. Scale down by as many pods as are empty, each after it got the lowest deletion cost; drain the
    least loaded pods to empty them. Pods that are not in service go before all others.

    ReplicaSets delete in this order: not scheduled, pending, not ready, then by deletion cost
    (https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#scaling-down-a-replicaset). So a
    decision holds only for what was observed: when another pod has gone, the next round decides again.
    """
    alive = [pod for pod in seen.pods if not pod.terminating]
    marked = [pod for pod in alive if pod.drain_since is not None or (pod.goes_first and pod.ready)]
    excess = seen.replicas - spec.wanted
    if excess < 0:
        message = f"{seen.replicas} → {spec.wanted} replicas: {_explain_wanted(spec)}"
        up = SetReplicas(replicas=spec.wanted, version=seen.version, reason="ScaledUp", message=message)
        return [up, *_cancel_drains(marked, f"{spec.wanted} replicas are wanted now")]
    if seen.behind:
        return []  # what the controller will make of the pods is unknown yet: begin nothing, end nothing
    if seen.rolling:
        return _cancel_drains(marked, "a rollout is under way")
    if excess == 0:
        # Surplus pods are about to be deleted: without their marks, loaded pods would be deleted instead.
        going = _list_uids(_first_to_go(alive)[: max(0, len(alive) - seen.replicas)])
        staying = [pod for pod in marked if pod.uid not in going]
        return _cancel_drains(staying, f"{spec.wanted} replicas are wanted, as many as there are")
    return _scale_down(seen, spec, alive, excess)


def _scale_down(seen: Observation, spec: Spec, alive: Sequence[Pod], excess: int) -> list[Action]:
    actions: list[Action] = []
    # Negative: pods that are about to be deleted still exist.
    missing = seen.replicas - len(alive)
    excess_alive = excess - missing
    if excess_alive <= 0:
        # Other pods have gone instead, and their replacements are not there yet: none are needed.
        marked = [pod for pod in alive if pod.drain_since is not None]
        return [_lower_replicas(seen, spec, excess), *_cancel_drains(marked, "another pod has gone instead")]
    empty = sorted((pod for pod in alive if _may_go(pod, seen, spec)), key=_least_lost)
    going = empty[:excess_alive]
    may_go = _list_uids(empty)
    leaving = sorted((pod for pod in alive if pod.drain_since is not None and pod.uid not in may_go), key=_rank_load)
    # If too many drain, the pods that would lose the most clients stay.
    kept = max(0, excess_alive - len(going))
    staying = [*leaving[kept:], *(pod for pod in empty[excess_alive:] if pod.drain_since is not None)]
    actions += _cancel_drains(staying, f"{spec.wanted} replicas are wanted now")
    leaving = leaving[:kept]
    actions += [_put_first(pod, seen, spec) for pod in going if not pod.goes_first]
    gone = missing + _ready_to_go(alive, going)
    if gone > 0:
        actions.append(_lower_replicas(seen, spec, gone))
    for pod in leaving:
        if pod.stats is not None and not pod.stats.draining:
            message = f"{pod.name} has stopped draining, with {pod.connections} connections: draining it again"
            actions.append(_start_drain(pod, seen, spec, message))
    rest = sorted((pod for pod in alive if pod.drain_since is None and pod.uid not in may_go), key=_rank_load)
    for pod in _in_time(rest[: kept - len(leaving)], leaving, spec):
        message = (
            f"draining {pod.name} with {_format_count(pod)} of {seen.total} connections, at {spec.drain.rate:g}/s "
            f"for the fleet: {_explain_wanted(spec)}, there are {seen.replicas}"
        )
        actions.append(_start_drain(pod, seen, spec, message))
    return actions


def _in_time(pods: Sequence[Pod], leaving: Sequence[Pod], spec: Spec) -> Sequence[Pod]:
    """The first of the pods that can be emptied in time together with those that drain already; at least one.

    All drains share one rate. If too many began, all would exceed their time limit at once, with many clients left.
    """
    clients = sum(pod.connections or 0 for pod in leaving)
    for place, pod in enumerate(pods):
        clients += pod.connections or 0
        if (leaving or place) and clients > spec.drain.rate * spec.drain.timeout * IN_TIME:
            return pods[:place]
    return pods


def _lower_replicas(seen: Observation, spec: Spec, gone: int) -> SetReplicas:
    count = seen.replicas - gone
    message = f"{seen.replicas} → {count} replicas: {gone} empty or gone, {_explain_wanted(spec)}"
    return SetReplicas(replicas=count, version=seen.version, reason="ScaledDown", message=message)


def _ready_to_go(alive: Sequence[Pod], going: Sequence[Pod]) -> int:
    """How many pods can be deleted without the ReplicaSet choosing any other pod."""
    uids = _list_uids(going)
    count = 0
    for pod in _first_to_go(alive):
        if pod.uid not in uids or not pod.goes_first:
            break
        count += 1
    return count


def _first_to_go(pods: Sequence[Pod]) -> list[Pod]:
    """Sort pods in the ReplicaSet's order of deletion, as far as it is known."""
    return sorted(pods, key=lambda pod: (pod.started, pod.ready, not pod.goes_first))


def _may_go(pod: Pod, seen: Observation, spec: Spec) -> bool:
    """Whether a pod can be deleted: it is empty and accepts no clients, or its drain has exceeded the time limit."""
    return (pod.connections == 0 and not pod.ready) or is_overdue(pod, seen, spec)


def is_overdue(pod: Pod, seen: Observation, spec: Spec) -> bool:
    """Whether a pod's drain has exceeded the time limit."""
    return pod.drain_since is not None and seen.time - pod.drain_since > spec.drain.timeout


def _put_first(pod: Pod, seen: Observation, spec: Spec) -> PutFirst:
    if pod.connections == 0:
        return PutFirst(pod=pod.name, uid=pod.uid, reason="Drained", message=f"{pod.name} is empty and is deleted next")
    message = (
        f"{pod.name} still has {_format_count(pod)} connections after {spec.drain.timeout:g} s: "
        "it is deleted nevertheless"
    )
    return PutFirst(pod=pod.name, uid=pod.uid, reason="DrainOverdue", message=message, warning=True)


def _start_drain(pod: Pod, seen: Observation, spec: Spec, message: str) -> StartDrain:
    since = seen.time if pod.drain_since is None else pod.drain_since
    return StartDrain(
        pod=pod.name,
        uid=pod.uid,
        rate=spec.drain.rate,
        since=since,
        timeout=spec.drain.timeout,
        reason="Draining",
        message=message,
    )


def _cancel_drains(pods: Sequence[Pod], why: str) -> list[Action]:
    return [
        CancelDrain(
            pod=pod.name, uid=pod.uid, reason="DrainCancelled", message=f"{pod.name} accepts clients again: {why}"
        )
        for pod in pods
    ]


def _list_uids(pods: Sequence[Pod]) -> frozenset[str]:
    return frozenset(pod.uid for pod in pods)


def _rank_load(pod: Pod) -> tuple[int, int, str]:
    """Sort key: servers out of service without an answer, then by load, then servers in service without an answer."""
    if pod.connections is None:
        return 2 if pod.ready else 0, 0, pod.name
    return 1, pod.connections, pod.name


def _least_lost(pod: Pod) -> tuple[bool, bool, bool, int, str]:
    """Sort key: pods that do not run, as ReplicaSets do; then marked ones; then empty ones; then overdue ones."""
    return pod.started, not pod.goes_first, pod.connections is None, pod.connections or 0, pod.name


def _format_count(pod: Pod) -> str:
    return "an unknown number" if pod.connections is None else str(pod.connections)


def _explain_wanted(spec: Spec) -> str:
    if spec.wanted < spec.bounded:
        return f"{spec.bounded} are wanted, but {spec.most_why}"
    if spec.wanted == spec.replicas:
        return f"{spec.wanted} are wanted"
    bound = "minReplicas" if spec.wanted == spec.min_replicas else "maxReplicas"
    return f"{spec.replicas} are requested, and {bound} is {spec.wanted}"
