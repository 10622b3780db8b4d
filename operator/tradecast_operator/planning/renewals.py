"""Keeping the operator's drains going: a pure decision.

A drain that nobody renews expires, so a fleet whose operator is gone has all its servers in service.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from tradecast_operator.model.actions import Action, CancelDrain, StartDrain, UpdateDrain
from tradecast_operator.model.observation import Observation, Pod
from tradecast_operator.model.spec import Spec

# A drain lasts for so many seconds without a renewal: time for a round that takes long, and for another operator to
# take over.
LEAST: Final = 120.0
# The same in rounds, where they are further apart.
ROUNDS: Final = 4
# Before it is known how far apart rounds are.
UNKNOWN: Final = 600.0
# What servers accept.
MOST: Final = 3_600.0


def plan_renewals(actions: Sequence[Action], seen: Observation, spec: Spec, last_time: float) -> list[Action]:
    """The actions, with the time for which drains last, and renewals of the drains that are not cancelled.

    A renewal has the rate and the time limit that the spec has by now. Servers of earlier versions know of no renewals:
    their drains last until they are cancelled.

    Args:
        actions: What is planned.
        seen: The fleet.
        spec: What is asked for.
        last_time: When it was observed last, in seconds since 1970; 0: never.
    """
    within = min(MOST, max(LEAST, ROUNDS * (seen.time - last_time))) if 0 < last_time <= seen.time else UNKNOWN
    renewable = {pod.uid for pod in seen.pods if pod.stats is not None and pod.stats.renewable}
    planned = [
        replace(one, renew_within=within) if isinstance(one, StartDrain) and one.uid in renewable else one
        for one in actions
    ]
    changed = {one.uid for one in actions if isinstance(one, StartDrain | CancelDrain)}
    return [
        *planned,
        *(
            _renew_drain(pod, seen, spec, within)
            for pod in seen.pods
            if pod.uid in renewable and pod.uid not in changed and _is_drained(pod)
        ),
    ]


def _is_drained(pod: Pod) -> bool:
    """Whether the operator drains a pod that does not terminate: a terminating pod keeps its drain."""
    draining = pod.stats is not None and pod.stats.draining
    return pod.drain_since is not None and draining and not pod.terminating


def _renew_drain(pod: Pod, seen: Observation, spec: Spec, within: float) -> UpdateDrain:
    left = spec.drain.timeout - (seen.time - (pod.drain_since or seen.time))
    return UpdateDrain(pod=pod.name, uid=pod.uid, rate=spec.drain.rate, timeout=max(1.0, left), renew_within=within)
