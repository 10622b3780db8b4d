"""Whether full pods send clients to others, and how many."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from kit.kubernetes.socket_fleets import NOW, drained, pod, seen, spec
from tradecast_operator.model.actions import Shed
from tradecast_operator.model.observation import Observation, Pod
from tradecast_operator.model.spec import Rebalance, Spec
from tradecast_operator.planning.rebalance import SMALLEST_EXCESS, RebalanceHistory, plan_rebalance

UNEVEN = [pod("a", 3000), pod("b", 1000), pod("c", 1000), pod("d", 1000)]


def sheds(pods: Sequence[Pod], wanted: Spec | None = None, **fields: object) -> list[Shed]:
    """What is shed first when a fleet stays so, five seconds from round to round."""
    history = RebalanceHistory()
    for at in range(30):
        fleet = replace(seen(pods, **fields), time=NOW + 5 * at)
        actions, history = plan_rebalance(fleet, wanted or spec(len(pods)), history)
        if actions:
            return [action for action in actions if isinstance(action, Shed)]
    return []


def rules(**fields: object) -> Spec:
    return replace(spec(4), rebalance=Rebalance(**fields))  # type: ignore[arg-type]


def test_the_fullest_pods_shed_their_excess_until_halfway_to_the_mean() -> None:
    (shed,) = sheds(UNEVEN)
    # mean 1500, level 1.125 times that; a quarter of those who leave come back to it
    assert (shed.pod, shed.count) == ("a", 1750)
    assert shed.message == (
        "a has 3000 connections, 2.00 times the mean of 4 pods, 1500 (1.25 is allowed): "
        "it sheds 1750, at 50/s for the fleet"
    )


def test_pods_are_shed_until_the_spread_is_under_the_threshold() -> None:
    """Just at it, it is not under it."""
    at = [pod("a", 125), pod("b", 115), pod("c", 80), pod("d", 80)]
    assert sheds(at)
    assert not sheds([pod("a", 124), *at[1:3], pod("d", 81)])


def test_servers_that_say_more_of_themselves_are_rebalanced_too() -> None:
    assert UNEVEN[0].stats is not None
    assert isinstance(UNEVEN[0].stats.adapter, dict)  # not hashable
    assert sheds(UNEVEN)


@pytest.mark.parametrize(
    ("rule", "pods", "wanted", "fields"),
    [
        ("switched off", UNEVEN, rules(enabled=False), {}),
        ("under the threshold", [pod("a", 1300), *UNEVEN[1:]], spec(4), {}),
        ("a higher threshold", UNEVEN, rules(threshold=2.1), {}),
        ("fewer than three ready pods", UNEVEN[:2], spec(2), {}),
        ("more ready pods are asked for", UNEVEN, rules(min_pods=5), {}),
        ("a rollout", UNEVEN, spec(4), {"rolling": True}),
        ("a rollout may begin", UNEVEN, spec(4), {"behind": True}),
        ("a drain", [*UNEVEN, drained("e", 5)], spec(5), {}),
        ("a drain that nobody asked for", [*UNEVEN[:3], pod("d", 1000, draining=True)], spec(4), {}),
        ("pods are to come", UNEVEN, spec(5), {}),
        ("pods are to go", UNEVEN, spec(3), {}),
        ("a pod has not come yet", UNEVEN, spec(5), {"replicas": 5}),
        ("a pod is not ready", [*UNEVEN, pod("e", 0, ready_since=None)], spec(5), {}),
        ("a pod ends", [*UNEVEN, pod("e", 9, ready_since=None, terminating=True)], spec(4), {"replicas": 4}),
        ("a pod does not answer", [*UNEVEN, pod("e", None)], spec(5), {}),
        ("clients are on their way", [*UNEVEN[:3], pod("d", 1000, shedding=True)], spec(4), {}),
        ("too few to be worth it", [pod("a", 8), pod("b", 4), pod("c", 4)], spec(3), {}),
        ("nobody is there", [pod("a"), pod("b"), pod("c")], spec(3), {}),
        ("no pod is there", [], spec(1, min_replicas=0), {}),
    ],
)
def test_nothing_moves(rule: str, pods: list[Pod], wanted: Spec, fields: dict[str, object]) -> None:
    assert sheds(pods, wanted, **fields) == [], rule


def first_shed(fleet: Sequence[Pod], wanted: Spec, totals: Sequence[int]) -> int | None:
    """In which round something is shed: the fleet has those in all, the first pod what the others have not."""
    history = RebalanceHistory()
    for at, total in enumerate(totals):
        pods = [replace(fleet[0], stats=replace(fleet[0].stats, connections=total - 3000)), *fleet[1:]]  # type: ignore[type-var]
        actions, history = plan_rebalance(seen(pods, time=NOW + 5 * at), wanted, history)
        if actions:
            return at
    return None


def test_it_waits_for_quiet_and_for_observations_in_a_row() -> None:
    # Twelve rounds are a minute; the thirteenth is the first that finds it quiet, and three have to.
    assert first_shed(UNEVEN, spec(4), [6000] * 40) == 12 + 2
    assert first_shed(UNEVEN, rules(observations=1), [6000] * 40) == 12
    assert first_shed(UNEVEN, rules(quiet_seconds=10), [6000] * 40) == 2 + 2


def test_quiet_is_less_than_five_per_cent_in_a_minute() -> None:
    grows = [6000 + 20 * at for at in range(60)]  # 12 rounds: 240, 4 %
    assert first_shed(UNEVEN, spec(4), grows) == 14
    crowd = [6000 + 40 * at for at in range(40)]  # 8 %, less as it grows
    assert first_shed(UNEVEN, spec(4), crowd) is None
    assert first_shed(UNEVEN, rules(quiet_change=0.10), crowd) == 14


def test_the_row_starts_again_when_one_says_otherwise() -> None:
    history, wanted = RebalanceHistory(), rules(quiet_seconds=5, observations=3)
    even = [pod(name, 1500) for name in "abcd"]
    when = []
    for at, pods in enumerate([UNEVEN, UNEVEN, UNEVEN, even, UNEVEN, UNEVEN, UNEVEN]):
        actions, history = plan_rebalance(seen(pods, time=NOW + 5 * at), wanted, history)
        when += [at] if actions else []
    assert when == [3 + 3]


def test_it_waits_for_the_youngest_pod() -> None:
    history, when = RebalanceHistory(), []
    young = [*UNEVEN[:3], pod("d", 1000, ready_since=NOW)]
    for at in range(100):
        actions, history = plan_rebalance(
            seen(young, time=NOW + 5 * at), rules(min_age=120, observations=1, quiet_seconds=10), history
        )
        when += [at * 5] if actions else []
    assert when[0] == 120


def test_it_is_never_faster_than_allowed_nor_than_receivers_accept() -> None:
    assert [shed.rate for shed in sheds(UNEVEN)] == [50]
    assert [shed.rate for shed in sheds(UNEVEN, rules(rate=1000, accept_rate=20))] == [60]
    # Servers share one row of moments, so each is told the rate of all.
    two = [pod("a", 3000), pod("b", 3000), pod("c", 10), pod("d", 10)]
    assert [shed.rate for shed in sheds(two, rules(rate=80))] == [80, 80]


def test_no_more_than_a_minutes_worth_is_disconnected_before_the_fleet_is_looked_at_again() -> None:
    two = [pod("a", 30_000), pod("b", 29_000), pod("c", 10), pod("d", 10)]
    assert [(shed.pod, shed.count) for shed in sheds(two)] == [("a", 3000)]
    two = [pod("a", 3000), pod("b", 2900), pod("c", 10), pod("d", 10)]
    assert [(shed.pod, shed.count) for shed in sheds(two)] == [("a", 1780), ("b", 1220)]


def test_an_answer_that_is_missing_keeps_it_from_being_quiet() -> None:
    history = RebalanceHistory()
    partial = [*UNEVEN[:3], pod("d", None)]
    for at in range(40):
        fleet: Observation = seen(partial if at % 2 else UNEVEN, time=NOW + 5 * at)
        actions, history = plan_rebalance(fleet, spec(4), history)
        assert actions == []


@pytest.mark.parametrize("seed", range(200))
def test_random_fleets_converge_below_the_threshold_and_stay(seed: int) -> None:
    draw = random.Random(seed)
    counts = [draw.choice([0, draw.randrange(20_000), draw.randrange(200)]) for _ in range(draw.randint(3, 60))]
    total = sum(counts)
    history, moved, last = RebalanceHistory(), 0, 0
    wanted = replace(spec(len(counts)), rebalance=Rebalance(rate=draw.choice([50, 500, 5000])))
    for at in range(3000):
        pods = [pod(f"{name:02}", count) for name, count in enumerate(counts)]
        actions, history = plan_rebalance(seen(pods, time=NOW + 5 * at), wanted, history)
        left = 0
        for action in actions:
            assert isinstance(action, Shed)
            assert 0 < action.count <= counts[int(action.pod)]
            assert action.rate <= wanted.rebalance.rate
            counts[int(action.pod)] -= action.count
            left += action.count
        assert left <= max(SMALLEST_EXCESS, wanted.rebalance.rate * 60 + 1)
        for _ in range(min(left, 500)):  # as if each drew for several
            counts[draw.randrange(len(counts))] += left // min(left, 500)
        for place in draw.sample(range(len(counts)), left % min(left, 500) % len(counts)) if left else ():
            counts[place] += 1
        counts[0] += total - sum(counts)
        moved, last = moved + left, at if left else last
        if at - last > 40:
            break
    mean = total / len(counts)
    assert max(counts) <= mean * 1.25 or max(counts) - mean < SMALLEST_EXCESS
    # Not much more than everybody once, and half of them again: those who come back to full pods.
    assert moved <= 2 * total + 100


LARGE = [pod("full", 3_000), *(pod(str(number), 1_000) for number in range(199))]


@pytest.mark.parametrize(
    "others",
    [
        [pod("dead", None, ready_since=None, terminating=True)],
        [pod("dead", None, ready_since=None, drain_since=NOW - 10)],
        [pod("ends", 700, ready_since=None, terminating=True, draining=True)],
        [pod("new", 0, ready_since=None)],
    ],
    ids=["on a dead node", "on a dead node, and was drained", "ends", "begins"],
)
def test_a_large_fleet_in_which_pods_come_and_go_is_rebalanced(others: list[Pod]) -> None:
    assert sheds([*LARGE, *others], spec(200), replicas=200)
    assert sheds([*LARGE[:-2], pod("198", None), pod("young", 900, ready_since=NOW - 5)], spec(200))


def test_a_server_that_does_not_answer_gets_nobody_and_lowers_no_mean() -> None:
    (with_it,) = sheds([*LARGE, pod("silent", None)], spec(201))
    (without,) = sheds(LARGE, spec(200))
    assert with_it.count == without.count


def test_the_lingering_pod_of_a_dead_node_keeps_no_fleet_uneven() -> None:
    """Its replacement is there."""
    dead = pod("dead", None, ready_since=None, terminating=True, draining=False)
    assert sheds([*UNEVEN, dead], spec(4), replicas=4)
