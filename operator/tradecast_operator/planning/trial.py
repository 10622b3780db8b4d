"""Whether the new servers of a rollout are worse than the old ones: a pure judgement.

The old servers are there until the Deployment's `minReadySeconds` have passed. New clients go to the new servers
meanwhile, and a few are moved there as a sample.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tradecast_operator.model.actions import Action, Shed
from tradecast_operator.model.observation import Observation, Outcomes, Pod
from tradecast_operator.model.spec import Spec, Trial
from tradecast_operator.planning.conditions import list_names

# Failures of the last so many seconds count.
WINDOW = 120.0
# The share of new servers that may have trouble of their own, such as a node's.
FEW = 0.1
# A new server is sent a sample only so long after it became ready: until then old servers accept clients as well
# (DRAIN_DELAY, and a second to report it).
SETTLED = 8.0
# The share of the ready servers that must be new ones, so that old ones leave new clients to them (lifecycle/rollout.py
# of the servers).
ENOUGH = 0.2
# The share of the old servers' clients that a sample may have at most.
SMALL = 0.1
SAMPLE_RATE = 10.0
# Standard deviations by which failures may exceed what is expected by chance.
CHANCE = 3.0
# Failures below which nothing is concluded from them.
FEWEST = 3


@dataclass(frozen=True, slots=True)
class Interval:
    """What happened between two observations.

    Attributes:
        time: When it ended.
        new: On servers of the new revision.
        old: On the others that are in service.
    """

    time: float
    new: Outcomes
    old: Outcomes


@dataclass(frozen=True, slots=True)
class TrialState:
    """What is remembered from observation to observation. It is not persisted.

    Attributes:
        revision: The revision on trial; empty: none.
        totals: What each server reported last, by the pod's uid.
        intervals: Those of the last `WINDOW` seconds.
        sampled: Whether clients were moved to the new servers.
    """

    revision: str = ""
    totals: Mapping[str, Outcomes] = field(default_factory=dict)
    intervals: Sequence[Interval] = ()
    sampled: bool = False


def split_revisions(seen: Observation) -> tuple[list[Pod], list[Pod]]:
    """The pods of the new revision, and those of other ones, without terminating ones."""
    alive = [pod for pod in seen.pods if not pod.terminating]
    return (
        [pod for pod in alive if pod.revision == seen.revision],
        [pod for pod in alive if pod.revision != seen.revision],
    )


def is_on_trial(seen: Observation, spec: Spec) -> bool:
    """Whether there are new servers to judge, and old ones in service to return to."""
    if not spec.trial.enabled or not seen.revision or seen.behind:
        return False
    new, old = split_revisions(seen)
    return bool(new) and any(pod.ready for pod in old)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a revision is worse than the one before.

    Attributes:
        why: In words.
        useless: Whether clients cannot even connect to its servers.
    """

    why: str
    useless: bool = False


def judge_trial(seen: Observation, spec: Spec, state: TrialState) -> tuple[Fault | None, TrialState]:
    """What is wrong with the new revision, and what to remember; None: nothing speaks against it."""
    if not is_on_trial(seen, spec):
        return None, TrialState()
    if state.revision != seen.revision:
        state = TrialState(revision=seen.revision)
    new, old = split_revisions(seen)
    in_service = [pod for pod in old if pod.ready]
    state = _observe_outcomes(seen, new, in_service, state)
    fault = _find_trouble(seen.time, new, in_service, spec.trial) or _find_failures(in_service, spec.trial, state)
    return fault, state


def plan_sample(seen: Observation, spec: Spec, state: TrialState) -> tuple[list[Action], TrialState]:
    """Move a few clients to the new servers, once, if fewer have connected there."""
    if state.sampled or not spec.trial.sample or not is_on_trial(seen, spec) or seen.held is not None:
        return [], state
    new, old = split_revisions(seen)
    settled = [pod for pod in new if pod.ready and seen.time - (pod.ready_since or 0) >= SETTLED]
    ready = sum(pod.ready for pod in (*new, *old))
    reports = [pod.stats.outcomes for pod in settled if pod.stats is not None and pod.stats.outcomes is not None]
    if not reports or len(settled) < ENOUGH * ready:
        return [], state
    givers = [pod for pod in old if pod.ready and pod.stats is not None and not pod.stats.draining]
    clients = sum(pod.connections or 0 for pod in givers)
    missing = min(spec.trial.sample - sum(one.connects for one in reports), math.floor(clients * SMALL))
    state = replace(state, sampled=True)
    if missing <= 0:
        return [], state
    fullest = max(givers, key=lambda pod: (pod.connections or 0, pod.name))
    count = min(missing, fullest.connections or 0)
    message = f"{fullest.name} sends {count} of {clients} clients to the new servers, as a sample"
    action = Shed(
        pod=fullest.name, uid=fullest.uid, count=count, rate=SAMPLE_RATE, reason="RolloutSampled", message=message
    )
    return [action], state


def _find_trouble(now: float, new: Sequence[Pod], old: Sequence[Pod], trial: Trial) -> Fault | None:
    """New servers that do not start, are not ready in time, or do not answer."""
    troubled: dict[str, list[str]] = {}
    answered = any(pod.stats is not None for pod in old)
    for pod in new:
        what = _describe_trouble(pod, now, trial, answered=answered)
        if what:
            troubled.setdefault(what, []).append(pod.name)
    count = sum(map(len, troubled.values()))
    if not count or count < FEW * len(new):
        return None
    found = "; ".join(f"{what}: {list_names(names)}" for what, names in sorted(troubled.items()))
    return Fault(f"{count} of {len(new)} new servers have trouble ({found})")


def _describe_trouble(pod: Pod, now: float, trial: Trial, *, answered: bool) -> str:
    if pod.trouble:
        return pod.trouble
    draining = pod.stats is not None and pod.stats.draining
    # One that was ready, and does not answer now, is on a node that is gone; if its process hangs, it is restarted.
    gone = pod.was_ready and pod.stats is None
    if pod.unready_since is not None and now - pod.unready_since > trial.start and not draining and not gone:
        return f"not ready for {trial.start:g} s"
    silent = pod.ready_since is not None and pod.stats is None and now - pod.ready_since > trial.start
    return "no answer at the admin port" if silent and answered else ""


def _find_failures(old: Sequence[Pod], trial: Trial, state: TrialState) -> Fault | None:
    """Failures on new servers that are more than on old ones by the margin, and more than chance explains."""
    new_now = _sum_outcomes([interval.new for interval in state.intervals])
    old_now = _sum_outcomes([interval.old for interval in state.intervals])
    old_ever = _sum_outcomes(
        [pod.stats.outcomes for pod in old if pod.stats is not None and pod.stats.outcomes is not None]
    )
    for what, count, failed, base in (
        ("connects", new_now.connects, new_now.connect_failures, _share_connects(old_now, old_ever, trial.least)),
        ("events", new_now.events, new_now.event_errors, _share_events(old_now, old_ever, trial.least)),
    ):
        expected = count * (base + trial.margin) + CHANCE * math.sqrt(count * base * (1 - base))
        if count >= trial.least and failed >= FEWEST and failed > expected:
            why = f"{failed} of {count} {what} failed on the new servers, and {base:.1%} on the old ones"
            return Fault(why, useless=what == "connects")
    return None


def _share_connects(now: Outcomes, ever: Outcomes, least: int) -> float:
    """The old servers' share of failures: at the same time if there is enough to say so, else since they started."""
    return _compute_share(now.connects, now.connect_failures, ever.connects, ever.connect_failures, least)


def _share_events(now: Outcomes, ever: Outcomes, least: int) -> float:
    return _compute_share(now.events, now.event_errors, ever.events, ever.event_errors, least)


def _compute_share(now: int, failed_now: int, ever: int, failed_ever: int, least: int) -> float:
    count, failed = (now, failed_now) if now >= max(1, least) else (ever, failed_ever)
    return min(1.0, failed / count) if count else 0.0


def _observe_outcomes(seen: Observation, new: Sequence[Pod], old: Sequence[Pod], state: TrialState) -> TrialState:
    """Add what has happened since the last observation."""
    totals: dict[str, Outcomes] = {}
    happened: list[Outcomes] = []
    for pods in (new, old):
        changes: list[Outcomes] = []
        for pod in pods:
            now = None if pod.stats is None else pod.stats.outcomes
            before = state.totals.get(pod.uid)
            if now is None:
                if before is not None:
                    totals[pod.uid] = before
                continue
            totals[pod.uid] = now
            if before is not None:
                changes.append(_subtract_outcomes(now, before))
            elif pods is new and seen.time - (pod.ready_since or seen.time) <= WINDOW:
                changes.append(now)  # it is young: all that it did is recent
        happened.append(_sum_outcomes(changes))
    kept = [one for one in state.intervals if one.time > seen.time - WINDOW]
    return replace(state, totals=totals, intervals=(*kept, Interval(seen.time, *happened)))


def _subtract_outcomes(now: Outcomes, before: Outcomes) -> Outcomes:
    """What has been added; a server that was restarted began at 0."""
    if now.connects < before.connects or now.events < before.events:
        return now
    return Outcomes(
        now.connects - before.connects,
        max(0, now.connect_failures - before.connect_failures),
        now.events - before.events,
        max(0, now.event_errors - before.event_errors),
    )


def _sum_outcomes(outcomes: Sequence[Outcomes]) -> Outcomes:
    return Outcomes(
        sum(one.connects for one in outcomes),
        sum(one.connect_failures for one in outcomes),
        sum(one.events for one in outcomes),
        sum(one.event_errors for one in outcomes),
    )
