"""Rules that hold for every fleet: random ones, seen once, and lived through with all that can happen to them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from kit.kubernetes.socket_fleets import NOW, drained, pending, pod, seen, spec
from simulation.cluster import Cluster
from tradecast_operator.model.actions import Action, CancelDrain, PutFirst, SetReplicas, Shed, StartDrain
from tradecast_operator.model.observation import Observation, Pod
from tradecast_operator.model.spec import Drain, Metric, Rebalance, Spec
from tradecast_operator.planning import autoscaler_metric as metric
from tradecast_operator.planning.plan import PlannerState, make_plan
from tradecast_operator.planning.rebalance import RebalanceHistory
from tradecast_operator.planning.replicas import is_overdue

SEEDS = range(300)


def any_pod(draw: random.Random, name: str) -> Pod:
    """In any state that a pod can be in."""
    clients = draw.choice([0, 0, draw.randrange(1, 5000), draw.randrange(1, 5000), None])
    since = NOW - draw.choice([5, 300, 700])
    match draw.randrange(8):
        case 0:
            return pending(name)
        case 1 | 2:
            return drained(name, clients, since=since, goes_first=draw.random() < 0.5)
        case 3:
            return drained(name, clients, since=since, ready_since=NOW - 900, draining=draw.random() < 0.5)
        case 4:
            return pod(name, clients, ready_since=None)
        case 5:
            return pod(name, clients, ready_since=None, terminating=True)
        case _:
            return pod(name, clients)


def any_fleet(draw: random.Random) -> tuple[Observation, Spec]:
    pods = [any_pod(draw, f"{place:02}") for place in range(draw.randint(0, 30))]
    low = draw.randint(0, 10)
    wanted = spec(draw.randint(0, 40), min_replicas=low, max_replicas=draw.randint(low, 30))
    alive = sum(not one.terminating for one in pods)
    replicas = max(0, alive + draw.choice([0, 0, 0, -2, -1, 1, 2]))
    return seen(pods, replicas=replicas, rolling=draw.random() < 0.1, behind=draw.random() < 0.1), wanted


def by_uid(fleet: Observation) -> dict[str, Pod]:
    return {one.uid: one for one in fleet.pods}


def kept_marks(fleet: Observation, actions: Sequence[Action]) -> set[str]:
    """Who is on the way out, when all this has been done."""
    marks = {one.uid for one in fleet.pods if not one.terminating and one.drain_since is not None}
    for action in actions:
        if isinstance(action, StartDrain | PutFirst):
            marks.add(action.uid)
        elif isinstance(action, CancelDrain):
            marks.discard(action.uid)
    return marks


def deleted(fleet: Observation, count: int) -> list[Pod]:
    """Which pods the ReplicaSet takes: https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/."""
    alive = [one for one in fleet.pods if not one.terminating]
    alive.sort(key=lambda one: (one.started, one.ready, not one.goes_first))
    return alive[: max(0, len(alive) - count)]


@pytest.mark.parametrize("seed", SEEDS)
def test_bounds(seed: int) -> None:
    fleet, wanted = any_fleet(random.Random(seed))
    writes = [action for action in make_plan(fleet, wanted, PlannerState()).actions if isinstance(action, SetReplicas)]
    assert len(writes) <= 1
    for write in writes:
        assert write.replicas != fleet.replicas
        if write.replicas > fleet.replicas:
            assert write.replicas == wanted.wanted <= max(wanted.min_replicas, wanted.max_replicas)
        else:
            assert write.replicas >= wanted.wanted >= wanted.min_replicas
            assert not fleet.rolling
            assert not fleet.behind


@pytest.mark.parametrize("seed", SEEDS)
def test_never_drains_more_than_have_to_go_and_only_the_least_loaded(seed: int) -> None:
    fleet, wanted = any_fleet(random.Random(seed))
    actions = make_plan(fleet, wanted, PlannerState()).actions
    alive = [one for one in fleet.pods if not one.terminating]
    marks = kept_marks(fleet, actions)
    begun = {action.uid for action in actions if isinstance(action, StartDrain)}
    if fleet.behind:
        assert not begun
        return
    assert len(marks) <= max(0, len(alive) - min(wanted.wanted, fleet.replicas))
    pods = by_uid(fleet)
    staying = [one for one in alive if one.uid not in marks and one.connections is not None and one.drain_since is None]
    for uid in begun:
        assert not fleet.rolling
        most = pods[uid].connections
        if most is None and not pods[uid].ready:
            continue  # it hangs, out of service
        if pods[uid].drain_since is None:
            assert all(one.connections is not None and (most is None or one.connections >= most) for one in staying)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_the_replica_set_takes_is_empty_or_overdue(seed: int) -> None:
    fleet, wanted = any_fleet(random.Random(seed))
    for action in make_plan(fleet, wanted, PlannerState()).actions:
        if isinstance(action, SetReplicas) and action.replicas < fleet.replicas:
            # Those above what was asked for went by an earlier decision, or somebody else's.
            for one in deleted(fleet, action.replicas)[max(0, len(deleted(fleet, fleet.replicas))) :]:
                assert (one.connections == 0 and not one.ready) or is_overdue(one, fleet, wanted), one


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_reported_twice_and_nothing_is_both_begun_and_ended(seed: int) -> None:
    fleet, wanted = any_fleet(random.Random(seed))
    actions = make_plan(fleet, wanted, PlannerState()).actions
    named = [action.uid for action in actions if isinstance(action, StartDrain | PutFirst | CancelDrain | Shed)]
    assert len(named) == len(set(named))
    assert all(action.message and action.reason.isalpha() for action in actions)
    terminating = {one.uid for one in fleet.pods if one.terminating}
    assert not terminating.intersection(named)


def life(
    draw: random.Random, cluster: Cluster, wanted: Spec, state: PlannerState
) -> tuple[PlannerState, Sequence[Action]]:
    decided = make_plan(cluster.observe(), wanted, state)
    cluster.act(decided.actions, wanted.drain.timeout)
    return decided.state, decided.actions


@pytest.mark.parametrize("seed", range(25))
def test_a_fleet_to_which_anything_happens_converges_and_stays(seed: int) -> None:
    draw = random.Random(seed)
    people = draw.randint(0, 18_000)
    cluster = Cluster(draw.randint(1, 20), people, per_replica=2000, session=3600, seed=seed)
    wanted = spec(8, min_replicas=2, max_replicas=25, drain=Drain(rate=500))
    state = PlannerState()
    for _ in range(400):
        match draw.randrange(60):
            case 0:
                wanted = replace(wanted, replicas=draw.randint(0, 40))
            case 1 if cluster.alive:
                cluster.kill(draw.choice(cluster.servers))
            case 2:
                cluster.roll()
            case 3:
                cluster.set_replicas(draw.randint(2, 25))  # by hand
            case 4:
                state = PlannerState()  # the operator has started anew
            case 5 if cluster.servers:
                draw.choice(cluster.servers).fails_until = cluster.now + draw.choice([10, 60])
            case 6 if cluster.servers:
                server = draw.choice(cluster.servers)
                if not server.terminating:  # its container has started anew
                    server.drain_from, server.deadline = None, float("inf")
            case 7:
                wanted = replace(wanted, drain=Drain(rate=draw.choice([20, 500]), timeout=draw.choice([30, 600])))
        cluster.tick(people)
        state, _ = life(draw, cluster, wanted, state)
    wanted = replace(wanted, replicas=draw.randint(2, 25), drain=Drain(rate=500, timeout=600))
    for _ in range(600):
        cluster.tick(people)
        state, _ = life(draw, cluster, wanted, state)
    assert cluster.replicas == wanted.wanted == len(cluster.servers)
    assert all(server.ready_since is not None and server.mark is None for server in cluster.servers)
    assert abs(cluster.connected - people) <= people * 0.02 + 30
    writes = cluster.tally.writes
    for _ in range(100):  # and nothing is done any more but evening out
        cluster.tick(people)
        state, actions = life(draw, cluster, wanted, state)
        assert all(isinstance(action, Shed) for action in actions)
    assert cluster.tally.writes == writes


def test_a_full_pod_is_never_taken_in_the_place_of_an_empty_one() -> None:
    cluster = Cluster(6, 12_000, per_replica=2000)
    wanted, state = spec(3, drain=Drain(rate=500)), PlannerState()
    for _ in range(200):
        cluster.tick(12_000)
        state, _ = life(random.Random(1), cluster, wanted, state)
    assert len(cluster.servers) == 3
    assert not cluster.tally.cut


def test_a_great_step_down_by_hand_keeps_to_the_rate_and_cuts_nobody_off() -> None:
    people = 160_000  # half of them in 800 s, and a drain may take 600
    cluster = Cluster(40, people, per_replica=5000, session=1e9)
    wanted, state, away, steps = spec(20), PlannerState(), 0, 0
    while len(cluster.servers) > 20:
        cluster.tick(people)
        state, _ = life(random.Random(1), cluster, wanted, state)
        before, away = away, cluster.tally.forced["drain"]
        assert away - before <= wanted.drain.rate * 5 + 20
        steps += 1
        assert steps < 3000
    assert not cluster.tally.cut


def test_pods_that_never_become_ready_go_first_and_cost_nobody_a_reconnect() -> None:
    cluster = Cluster(4, 8000, per_replica=2000)
    wanted, state = spec(6), PlannerState()
    for at in range(100):
        if at == 2:
            for server in cluster.servers:
                if server.ready_since is None:
                    server.ready_at = float("inf")
        cluster.tick(8000)
        state, _ = life(random.Random(1), cluster, replace(wanted, replicas=6 if at < 50 else 4), state)
    assert len(cluster.servers) == 4
    assert not cluster.tally.forced


@pytest.mark.parametrize("seed", range(10))
def test_the_number_for_the_autoscaler_never_dips_while_clients_move(seed: int) -> None:
    draw = random.Random(seed)
    people = 20_000
    cluster = Cluster(10, people, per_replica=2000, session=1e9, seed=seed)
    wanted, state, reading, rules = spec(10, drain=Drain(rate=500)), PlannerState(), metric.Reading(), Metric(hold=120)
    for at in range(300):
        if at in (10, 60, 130, 200):
            wanted = replace(wanted, replicas=draw.randint(5, 14))
        if at == 240:
            cluster.roll()
        if at == 270:
            cluster.kill(max(cluster.servers, key=lambda server: server.clients))
        cluster.tick(people)
        state, _ = life(draw, cluster, wanted, state)
        reading = metric.update_reading(cluster.observe(), reading, rules)
        # Rebalancing goes on for longer than the hold: those who are on their way at one moment are missing.
        assert metric.count_connections(reading, cluster.now, rules) >= people - wanted.rebalance.rate * 10


def test_an_operator_that_begins_in_the_middle_continues() -> None:
    fleet = seen([pod("a", 300), pod("b", 200), drained("c", 90)])
    assert make_plan(fleet, spec(2), PlannerState()).actions == ()


def test_rebalancing_waits_while_replicas_change() -> None:
    quiet = PlannerState(RebalanceHistory([(NOW - 3600, 5000), (NOW - 5, 5000)], 50))
    pods = [pod("a", 3000), pod("b", 1000), pod("c", 1000), pod("d", 0)]
    assert [type(action) for action in make_plan(seen(pods), spec(4), quiet).actions] == [Shed]
    assert [type(action) for action in make_plan(seen(pods), spec(3), quiet).actions] == [StartDrain]
    assert [type(action) for action in make_plan(seen(pods), spec(5), quiet).actions] == [SetReplicas]


def test_clients_do_not_move_in_a_round_in_which_pods_do() -> None:
    quiet = PlannerState(RebalanceHistory([(NOW - 3600, 5000), (NOW - 5, 5000)], 50))
    pods = [pod("a", 3000), pod("b", 1000), pod("c", 1000, goes_first=True), pod("d", 0)]
    assert [type(action) for action in make_plan(seen(pods), spec(4), quiet).actions] == [CancelDrain]


def test_noise_does_not_move_anything() -> None:
    draw = random.Random(3)
    cluster = Cluster(20, 100_000, per_replica=5000, session=1800, seed=3)
    state, wanted = PlannerState(), replace(spec(20), rebalance=Rebalance(min_age=0))
    for _ in range(2000):
        cluster.tick(100_000 + draw.randint(-3000, 3000))
        state, actions = life(draw, cluster, wanted, state)
        assert not actions
