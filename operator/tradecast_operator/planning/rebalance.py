"""Whether overloaded pods shed clients to others, and how many: pure decisions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tradecast_operator.model.actions import Action, Shed
from tradecast_operator.model.observation import Observation, Pod, count_tolerated
from tradecast_operator.model.spec import Rebalance, Spec

# Fewer connections than this above the mean are not worth a reconnect.
SMALLEST_EXCESS = 5
# How far overloaded pods go down, from the threshold (1) to the mean (0). All the way down would cost twice as many
# reconnects and gain little; only to the threshold, the next few clients would make the fleet uneven again.
DOWN_TO = 0.5
# Clients are shed for so many seconds before the fleet is observed again: shedding cannot be cancelled, so it must be
# over soon, whatever begins meanwhile (a rollout, a drain, a crowd).
PORTION = 60.0


@dataclass(frozen=True, slots=True)
class RebalanceHistory:
    """What is remembered from observation to observation. It is not persisted.

    Attributes:
        totals: The fleet's connections, each with its time, over the period in which they must be stable.
        uneven: How many observations in a row have found the fleet uneven.
    """

    totals: Sequence[tuple[float, int]] = ()
    uneven: int = 0


def plan_rebalance(seen: Observation, spec: Spec, history: RebalanceHistory) -> tuple[list[Action], RebalanceHistory]:
    """Plan what rebalances the fleet, and what to remember.

    The fullest pods shed their excess above a level between mean and threshold, divided by 1 - 1/n, since that share of
    the clients that leave one of n pods reconnects to another one. Pods are added until a minute's worth of clients is
    moving; later observations find what is still uneven. All pods together shed no more per second than is allowed, and
    no more than the pods below the mean accept: servers share one schedule of disconnects, so each gets the rate of the
    fleet.
    """
    rules = spec.rebalance
    totals = _remember_totals(history.totals, seen, rules)
    why_not = _find_obstacle(seen, spec, totals)
    pods = [pod for pod in seen.in_service if pod.connections is not None]
    if why_not or not _is_uneven(pods, rules):
        return [], RebalanceHistory(totals, 0)
    uneven = history.uneven + 1
    if uneven < rules.observations:
        return [], RebalanceHistory(totals, uneven)
    return _shed_clients(pods, rules), RebalanceHistory(totals, 0)


def _shed_clients(pods: Sequence[Pod], rules: Rebalance) -> list[Action]:
    mean = _compute_mean(pods)
    level = mean * (1 + (rules.threshold - 1) * DOWN_TO)
    excess = [((pod.connections or 0) - level, pod) for pod in pods]
    takers = sum((pod.connections or 0) < mean for pod in pods)
    rate = min(rules.rate, rules.accept_rate * takers)
    left = max(SMALLEST_EXCESS, round(rate * PORTION))
    actions: list[Action] = []
    for more, pod in sorted(excess, key=lambda item: (-item[0], item[1].name)):
        count = min(pod.connections or 0, math.ceil(more / (1 - 1 / len(pods))), left)
        if more <= 0 or left <= 0:
            break
        left -= count
        message = (
            f"{pod.name} has {pod.connections} connections, {(pod.connections or 0) / mean:.2f} times the mean of "
            f"{len(pods)} pods, {mean:.0f} ({rules.threshold:g} is allowed): it sheds {count}, at {rate:g}/s for "
            "the fleet"
        )
        actions.append(Shed(pod=pod.name, uid=pod.uid, count=count, rate=rate, reason="Rebalancing", message=message))
    return actions


def _find_obstacle(seen: Observation, spec: Spec, totals: Sequence[tuple[float, int]]) -> str:
    """Why no clients are moved now; empty: they can be."""
    rules = spec.rebalance
    ready, tolerated = seen.in_service, count_tolerated(seen.replicas)
    if not rules.enabled:
        return "rebalancing is disabled"
    if seen.rolling or seen.behind:
        return "a rollout is under way"
    others = [pod for pod in seen.pods if not pod.ready and not _is_dead(pod)]
    if seen.replicas != spec.wanted or abs(len(ready) - seen.replicas) > tolerated or len(others) > tolerated:
        return "pods start or terminate"
    if any(pod.drain_since is not None and not pod.terminating and not _is_dead(pod) for pod in seen.pods):
        return "pods drain"
    if sum(pod.stats is not None and pod.stats.draining for pod in seen.pods) > tolerated:
        return "pods drain"
    if any(pod.stats is not None and pod.stats.shedding for pod in ready):
        return "clients are moving already"
    if len(ready) < rules.min_pods:
        return f"{len(ready)} pods are too few"
    if not seen.complete:
        return "not every pod answers"
    if sum(seen.time - (pod.ready_since or 0) < rules.min_age for pod in ready) > tolerated:
        return "a pod has become ready too recently"
    return "" if _is_quiet(totals, seen.time, rules) else "the number of connections changes"


def _is_dead(pod: Pod) -> bool:
    """Whether a pod is on a dead node or hangs: it has been ready, is out of service and does not answer."""
    return not pod.ready and pod.connections is None


def _is_uneven(pods: Sequence[Pod], rules: Rebalance) -> bool:
    mean = _compute_mean(pods)
    most = max((pod.connections or 0 for pod in pods), default=0)
    return most >= mean * rules.threshold and most - mean >= SMALLEST_EXCESS


def _is_quiet(totals: Sequence[tuple[float, int]], now: float, rules: Rebalance) -> bool:
    if now - totals[0][0] < rules.quiet_seconds:
        return False  # not observed for long enough
    counts = [count for _, count in totals]
    return max(counts) - min(counts) <= rules.quiet_change * max(counts)


def _compute_mean(pods: Sequence[Pod]) -> float:
    return sum(pod.connections or 0 for pod in pods) / len(pods) if pods else 0.0


def _remember_totals(
    totals: Sequence[tuple[float, int]], seen: Observation, rules: Rebalance
) -> Sequence[tuple[float, int]]:
    """The totals of the period in which connections must be stable, and the one before."""
    if not seen.complete:
        return totals or ((seen.time, seen.total),)
    kept = [*totals, (seen.time, seen.total)]
    while len(kept) > 1 and kept[1][0] <= seen.time - rules.quiet_seconds:
        del kept[0]
    return tuple(kept)
