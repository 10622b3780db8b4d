"""Holds a rollout whose new servers are worse, and releases it. Pure.

The Deployment's controller ends an old pod for each new one that is *available*: ready for `minReadySeconds`. It writes
a changed `minReadySeconds` into the ReplicaSet of the new template only. So while a rollout is under way a very long
one makes the new pods unavailable again and leaves the old ones as they are: no further old pod ends, and the Service
routes as before (https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#min-ready-seconds).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from tradecast_operator.model.actions import Action, CancelDrain, SetPacing, UpdateDrain
from tradecast_operator.model.observation import Hold, Observation, Pod
from tradecast_operator.model.spec import Spec
from tradecast_operator.planning.conditions import Condition
from tradecast_operator.planning.trial import TrialState, is_on_trial, judge_trial, plan_sample, split_revisions

# `minReadySeconds` of a rollout that is held: 63 years. No person would set just this.
HELD: Final = 2_000_000_000
# `progressDeadlineSeconds` must be above `minReadySeconds`, else the API server refuses both; this value stands for no
# deadline (HasProgressDeadline in Kubernetes' pkg/controller/deployment/util).
NO_DEADLINE: Final = 2_147_483_647
# What the API server fills in.
DEFAULT_DEADLINE: Final = 600
# A server of the failed revision accepts clients again if the operator is gone for so long: the longest that servers
# accept. The old pods stay all the same.
WITHDRAWN_FOR: Final = 3_600.0
# Old servers take the clients back up to so many times as many as they are meant to have.
CROWDED: Final = 2
# Seconds between two renewals of that.
RENEWED_EVERY: Final = 300.0


@dataclass(frozen=True, slots=True)
class RolloutState:
    """What is remembered from observation to observation. It is not persisted.

    Attributes:
        trial: Of the judgement.
        renewed: When the drains of the failed servers were last renewed, in seconds since 1970.
    """

    trial: TrialState = field(default_factory=TrialState)
    renewed: float = 0.0


def plan_rollout(seen: Observation, spec: Spec, state: RolloutState) -> tuple[list[Action], RolloutState]:
    """Plan what a rollout needs: a trial, a hold if it fails, and an end of the hold."""
    pacing, held = seen.pacing, seen.held
    if seen.behind or not seen.revision:
        return [], state  # what the Deployment asks for is not known
    if held is not None and spec.trial.enabled and _has_old(seen):
        return _keep_hold(seen, spec, held, state)
    if pacing.hold is not None or pacing.minimum == HELD:
        return _release_hold(seen, spec), RolloutState()
    fault, trial = judge_trial(seen, spec, state.trial)
    state = replace(state, trial=trial)
    if fault is not None:
        # The new servers are taken out of service once the hold is recorded: without it nobody would put them back.
        hold = Hold(seen.revision, fault.why, pacing.deadline, pacing.minimum, fault.useless)
        return [_set_hold(seen, spec, hold)], state
    minimum, deadline = _find_configured(seen, spec)
    if (minimum, deadline) != (pacing.minimum, pacing.deadline) and _may_configure(seen, minimum):
        message = (
            f"minReadySeconds {pacing.minimum} → {minimum}: an old server ends when a new one was ready so long; "
            f"progressDeadlineSeconds {pacing.deadline} → {deadline}"
        )
        return [_set_pacing(seen, minimum, deadline, None, message, reason="TrialConfigured")], state
    sample, trial = plan_sample(seen, spec, state.trial)
    return sample, replace(state, trial=trial)


def describe_trial(seen: Observation, spec: Spec) -> Condition:
    """Whether a rollout is held."""
    kind, held = "RolloutHeld", seen.held
    if held is not None and spec.trial.enabled and _has_old(seen):
        return Condition(kind, "True", "TrialFailed", _advise_person(seen, spec, held))
    if not spec.trial.enabled:
        return Condition(kind, "False", "TrialDisabled", "rollout.trial.enabled is false: new servers are not judged")
    if is_on_trial(seen, spec):
        return Condition(kind, "False", "OnTrial", f"nothing speaks against revision {seen.revision} so far")
    return Condition(kind, "False", "NoRollout", "no rollout with old servers in service is under way")


def _keep_hold(seen: Observation, spec: Spec, held: Hold, state: RolloutState) -> tuple[list[Action], RolloutState]:
    actions: list[Action] = []
    if seen.pacing.minimum != HELD or seen.pacing.deadline != NO_DEADLINE:  # somebody has overwritten it
        actions.append(_set_hold(seen, spec, held))
    _, old = split_revisions(seen)
    if not any(pod.ready for pod in old):
        # Bad servers are better than none.
        return [*actions, *_return_new(seen, "no old server is ready")], replace(state, renewed=0.0)
    if _stays_in_service(seen, spec, held):
        return actions, state
    everybody = seen.time - state.renewed >= RENEWED_EVERY
    actions += _withdraw_new(seen, spec, everybody=everybody)
    return actions, replace(state, renewed=seen.time if everybody else state.renewed)


def _stays_in_service(seen: Observation, spec: Spec, held: Hold) -> bool:
    """Whether the failed servers keep their clients: the old ones that are left are too few for all.

    Servers that nobody can connect to are of no use to anyone, and what has begun continues.
    """
    new, old = split_revisions(seen)
    if held.useless or any(pod.stats is not None and pod.stats.draining for pod in new):
        return False
    return seen.total > sum(pod.ready for pod in old) * spec.connections_per_replica * CROWDED


def _has_old(seen: Observation) -> bool:
    _, old = split_revisions(seen)
    return bool(old)


def _withdraw_new(seen: Observation, spec: Spec, *, everybody: bool) -> list[Action]:
    """Take the new servers out of service: the old ones are not superseded any more then, and get the clients back.

    Args:
        seen: The fleet.
        spec: What is asked for.
        everybody: Whether the drains of servers that drain already are renewed.
    """
    new, _ = split_revisions(seen)
    return [
        UpdateDrain(
            pod=pod.name,
            uid=pod.uid,
            rate=spec.drain.rate,
            timeout=spec.drain.timeout,
            renew_within=WITHDRAWN_FOR if pod.stats.renewable else None,
        )
        for pod in new
        if pod.stats is not None and (everybody or not pod.stats.draining)
    ]


def _return_new(seen: Observation, why: str) -> list[Action]:
    new, _ = split_revisions(seen)
    return [_accept_clients(pod, why) for pod in new if pod.stats is not None and pod.stats.draining]


def _set_hold(seen: Observation, spec: Spec, hold: Hold) -> SetPacing:
    return _set_pacing(
        seen, HELD, NO_DEADLINE, hold, _advise_person(seen, spec, hold), reason="RolloutHeld", warning=True
    )


def _release_hold(seen: Observation, spec: Spec) -> list[Action]:
    """End a hold: the rollout was undone, has ended, or a person wants it to continue."""
    hold = seen.pacing.hold
    if hold is None:
        why = "no failed trial is recorded"
    elif hold.revision != seen.revision:
        why = f"revision {hold.revision} is not rolled out any more"
    else:
        why = "no old server is left" if spec.trial.enabled else "rollout.trial.enabled is false"
    deadline = seen.pacing.deadline if hold is None else hold.deadline
    deadline = spec.trial.deadline if spec.trial.enabled and spec.trial.deadline else deadline
    if deadline is None or deadline >= NO_DEADLINE:
        deadline = DEFAULT_DEADLINE
    minimum = _bound_minimum(
        spec.trial.seconds if spec.trial.enabled and spec.trial.seconds else _find_minimum_before(hold), deadline
    )
    message = f"minReadySeconds is {minimum} again: {why}"
    # The new revision is the failed one only if it is to continue; else its servers are about to terminate.
    back = _return_new(seen, why) if hold is not None and hold.revision == seen.revision else []
    return [_set_pacing(seen, minimum, deadline, None, message, reason="RolloutReleased"), *back]


def end_hold(seen: Observation) -> list[Action]:
    """Restore a Deployment whose fleet is no longer controlled; no action if its rollout is not held.

    Its servers may not have been asked, so all of them accept clients again.
    """
    hold = seen.pacing.hold
    if hold is None and seen.pacing.minimum != HELD:
        return []
    deadline = DEFAULT_DEADLINE if hold is None or hold.deadline is None else hold.deadline
    minimum = _bound_minimum(_find_minimum_before(hold), deadline)
    why = "the SocketFleet is gone"
    message = f"minReadySeconds is {minimum} again: {why}"
    pods = [pod for pod in seen.pods if hold is not None and pod.revision == hold.revision and not pod.terminating]
    return [
        _set_pacing(seen, minimum, deadline, None, message, reason="RolloutReleased"),
        *(_accept_clients(pod, why) for pod in pods if pod.started),
    ]


def _accept_clients(pod: Pod, why: str) -> CancelDrain:
    message = f"{pod.name} accepts clients again: {why}"
    return CancelDrain(pod=pod.name, uid=pod.uid, reason="DrainCancelled", message=message)


def _find_minimum_before(hold: Hold | None) -> int:
    return 0 if hold is None or hold.minimum >= HELD else hold.minimum


def _find_configured(seen: Observation, spec: Spec) -> tuple[int, int | None]:
    """`minReadySeconds` and `progressDeadlineSeconds` of a Deployment whose rollout is not held."""
    if not spec.trial.enabled or not spec.trial.seconds:
        return seen.pacing.minimum, seen.pacing.deadline
    deadline = spec.trial.deadline or seen.pacing.deadline
    return _bound_minimum(spec.trial.seconds, deadline), deadline


def _bound_minimum(minimum: int, deadline: int | None) -> int:
    return minimum if deadline is None else max(0, min(minimum, deadline - 1))


def _may_configure(seen: Observation, minimum: int) -> bool:
    """Whether `minReadySeconds` can be written now.

    In a rollout it is what holds the old pods. Otherwise not before all pods were ready for so long: pods that became
    unavailable by it would keep `helm install --wait` waiting.
    """
    new, old = split_revisions(seen)
    return bool(old) or all(pod.ready_since is not None and seen.time - pod.ready_since >= minimum for pod in new)


def _set_pacing(
    seen: Observation,
    minimum: int,
    deadline: int | None,
    hold: Hold | None,
    message: str,
    *,
    reason: str,
    warning: bool = False,
) -> SetPacing:
    return SetPacing(
        version=seen.version,
        minimum=minimum,
        deadline=deadline,
        hold=hold,
        reason=reason,
        message=message,
        warning=warning,
    )


def _advise_person(seen: Observation, spec: Spec, hold: Hold) -> str:
    undo = (
        f"helm rollback {seen.pacing.release}"
        if seen.pacing.release
        else f"kubectl rollout undo deployment/{spec.deployment}"
    )
    clients = (
        "and the new ones keep their clients, for whom they are too few"
        if _stays_in_service(seen, spec, hold)
        else "and clients go back to them"
    )
    return (
        f"the rollout of revision {hold.revision} is held: {hold.why}. The remaining old servers stay, {clients}. "
        f"Undo it ({undo}), or deploy another version. To continue nevertheless, set rollout.trial.enabled to false"
    )
