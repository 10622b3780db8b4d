"""Whether full pods send clients to others, and how many: pure decisions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tradecast_operator.model.actions import Action, Shed
from tradecast_operator.model.observation import Observation, Pod
from tradecast_operator.model.spec import Rebalance, Spec

# Fewer connections than this above the mean are not worth anybody's reconnect.
SMALLEST_EXCESS = 5
# How far down full pods go, from the threshold (1) to the mean (0): the last ones would cost as many reconnects again
# and win little, and with none below the threshold the next few clients would make it uneven again.
DOWN_TO = 0.5
# Seconds' worth of clients that are sent away before the fleet is looked at again: servers cannot be told to stop, so
# whatever begins meanwhile (a rollout, a drain, a crowd), this is soon over.
PORTION = 60.0


@dataclass(frozen=True, slots=True)
class History:
    """What is remembered from observation to observation; nothing of it must outlive the operator.

    Attributes:
        totals: The fleet's connections, each with its time, as far back as quiet is measured.
        uneven: How many observations in a row have found the fleet uneven.
    """

    totals: Sequence[tuple[float, int]] = ()
    uneven: int = 0


def plan_rebalance(seen: Observation, spec: Spec, history: History) -> tuple[list[Action], History]:
    """What evens the fleet out, and what to remember.

    The fullest pods send away what they have above a level between mean and threshold, over 1 - 1/n: that share of
    those that leave one of n pods come to another one. One pod after the other is told to, until a minute's worth of
    clients is under way; what is uneven then is found so again. All together send no more per second than is allowed,
    nor than the pods below the mean take: servers share one row of moments at which a client may leave, so each is
    told the rate of all.
    """
    rules = spec.rebalance
    totals = _remember(history.totals, seen, rules)
    why_not = _obstacle(seen, spec, totals)
    pods = [pod for pod in seen.pods if pod.ready and not pod.terminating]
    if why_not or not _is_uneven(pods, rules):
        return [], History(totals, 0)
    uneven = history.uneven + 1
    if uneven < rules.observations:
        return [], History(totals, uneven)
    return _shed(pods, rules), History(totals, 0)


def _shed(pods: Sequence[Pod], rules: Rebalance) -> list[Action]:
    mean = _mean(pods)
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
            f"{len(pods)} pods, {mean:.0f} ({rules.threshold:g} is allowed): it sends {count} away, at {rate:g}/s for "
            "the fleet"
        )
        actions.append(Shed(pod=pod.name, uid=pod.uid, count=count, rate=rate, reason="Rebalancing", message=message))
    return actions


def _obstacle(seen: Observation, spec: Spec, totals: Sequence[tuple[float, int]]) -> str:
    """Why nothing moves now; empty if nothing stands against it."""
    rules = spec.rebalance
    ready = [pod for pod in seen.pods if pod.ready and not pod.terminating]
    if not rules.enabled:
        return "it is switched off"
    if seen.rolling or seen.behind:
        return "a rollout is under way"
    if seen.replicas != spec.wanted or len(ready) != seen.replicas or len(seen.pods) != seen.replicas:
        return "pods come or go"
    if any(pod.drain_since is not None or (pod.stats is not None and pod.stats.draining) for pod in seen.pods):
        return "pods drain"
    if any(pod.stats is not None and pod.stats.shedding for pod in ready):
        return "clients are on their way"
    if len(ready) < rules.min_pods:
        return f"{len(ready)} pods are too few"
    if not seen.complete:
        return "not every pod answers"
    if any(seen.time - (pod.ready_since or 0) < rules.min_age for pod in ready):
        return "a pod is too young"
    return "" if _is_quiet(totals, seen.time, rules) else "connections come or go"


def _is_uneven(pods: Sequence[Pod], rules: Rebalance) -> bool:
    mean = _mean(pods)
    most = max((pod.connections or 0 for pod in pods), default=0)
    return most >= mean * rules.threshold and most - mean >= SMALLEST_EXCESS


def _is_quiet(totals: Sequence[tuple[float, int]], now: float, rules: Rebalance) -> bool:
    if now - totals[0][0] < rules.quiet_seconds:
        return False  # not watched for long enough
    counts = [count for _, count in totals]
    return max(counts) - min(counts) <= rules.quiet_change * max(counts)


def _mean(pods: Sequence[Pod]) -> float:
    return sum(pod.connections or 0 for pod in pods) / len(pods) if pods else 0.0


def _remember(totals: Sequence[tuple[float, int]], seen: Observation, rules: Rebalance) -> Sequence[tuple[float, int]]:
    """The totals of the time in which the fleet must have been quiet, and the one before."""
    if not seen.complete:
        return totals or ((seen.time, seen.total),)
    kept = [*totals, (seen.time, seen.total)]
    while len(kept) > 1 and kept[1][0] <= seen.time - rules.quiet_seconds:
        del kept[0]
    return tuple(kept)
