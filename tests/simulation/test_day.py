"""A short day under the operator and under a plain HPA: what the operator is for, measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simulation.autoscaler import Autoscaler, Behavior
from simulation.cluster import Cluster
from simulation.curve import SHORT_DAY, TRADING_DAY, Curve
from simulation.run import Day, Scenario, under_operator, under_plain_hpa
from tradecast_operator.model.spec import Drain, Spec
from tradecast_operator.planning import autoscaler_metric as metric
from tradecast_operator.planning.plan import PlannerState, make_plan

# Nothing but the operator keeps this HPA from mistakes.
HASTY = Behavior(down_pods=10, down_period=15, down_window=0)
SHORT = Scenario(
    "short",
    30,
    shape=SHORT_DAY,
    rollout=2.2,
    behavior=Behavior(down_pods=2),
    rate=200,
    shed=200,
    grace=30,
)


@pytest.fixture(scope="module", params=[1, 2, 3])
def days(request: pytest.FixtureRequest) -> tuple[Day, Day, Day]:
    """Under the operator, under the operator without rebalancing, under a plain HPA."""
    scenario = replace(SHORT, seed=request.param)
    return under_operator(scenario), under_operator(scenario, rebalance=False), under_plain_hpa(scenario)


def test_fewer_pod_minutes_are_overloaded(days: tuple[Day, Day, Day]) -> None:
    operator, _, plain = days
    assert operator.tally.overload_seconds < 0.9 * plain.tally.overload_seconds


def test_scale_down_sends_fewer_clients_away_and_at_the_rate(days: tuple[Day, Day, Day]) -> None:
    operator, unbalanced, plain = days
    assert unbalanced.tally.forced["drain"] < plain.tally.forced["drain"]
    assert operator.tally.cut["drain"] == unbalanced.tally.cut["drain"] == 0
    assert max(operator.tally.peak["drain"], unbalanced.tally.peak["drain"]) <= 1.02 * SHORT.rate
    # A pod that the ReplicaSet has chosen has 30 s, and hurries.
    assert plain.tally.peak["drain"] > 1.2 * SHORT.rate


def test_what_evenness_costs_is_known(days: tuple[Day, Day, Day]) -> None:
    operator, unbalanced, plain = days
    assert operator.tally.forced["shed"] < 1.5 * max(operator.people)
    assert unbalanced.tally.forced["shed"] == plain.tally.forced["shed"] == 0
    uneven = [sum(spread > 1.25 for spread in day.spread) for day in (operator, plain)]
    assert uneven[0] < 0.6 * uneven[1]


def test_it_does_not_oscillate(days: tuple[Day, Day, Day]) -> None:
    operator, unbalanced, plain = days
    # Up in the morning, down for lunch, up again, down: three turns; the HPA alone makes as many.
    assert operator.tally.turns <= max(3, plain.tally.turns)
    assert unbalanced.tally.turns <= max(3, plain.tally.turns)
    assert operator.tally.writes <= 1.25 * plain.tally.writes


def test_little_has_to_move_where_clients_come_to_the_emptiest_pods(days: tuple[Day, Day, Day]) -> None:
    fewest = under_operator(replace(SHORT, fewest=True))
    assert fewest.tally.forced["shed"] < 0.3 * days[0].tally.forced["shed"]
    assert fewest.tally.overload_seconds < 0.5 * days[0].tally.overload_seconds


def test_bounds_are_held(days: tuple[Day, Day, Day]) -> None:
    for day in days[:2]:
        assert 3 <= day.replicas[0] <= day.replicas[1] <= 36


def test_nobody_is_away_for_long(days: tuple[Day, Day, Day]) -> None:
    assert days[0].tally.away <= 15


def test_it_takes_about_as_many_pods(days: tuple[Day, Day, Day]) -> None:
    operator, _, plain = days
    assert operator.tally.pod_seconds < 1.05 * plain.tally.pod_seconds


def test_the_same_seed_is_the_same_day() -> None:
    assert under_operator(SHORT).tally == under_operator(SHORT).tally


def test_a_fleet_at_its_bounds_is_left_alone() -> None:
    quiet = Scenario("flat", 10, shape=((0.0, 0.5), (0.5, 0.5)), rollout=-1)
    assert under_operator(quiet).tally.writes == 0


def test_a_scale_down_does_not_cascade() -> None:
    """Four pods of 100 clients, 200 allowed: two go. Without the clients of those two, one would be enough."""
    cluster, scaler = Cluster(4, 400, per_replica=200, rate=1, session=1e9), Autoscaler(200, 1, 10, HASTY)
    state, reading, wanted = (
        PlannerState(),
        metric.Reading(),
        Spec("x", replicas=4, min_replicas=1, drain=Drain(rate=1)),
    )
    for at in range(400):
        cluster.tick(400)
        seen = cluster.observe()
        reading = metric.update_reading(seen, reading, wanted.metric)
        decided = make_plan(seen, wanted, state)
        state = decided.state
        cluster.act(decided.actions, wanted.drain.timeout)
        if at % 3 == 0:
            total = metric.count_connections(reading, cluster.now, wanted.metric)
            status = sum(pod.drain_since is None and not pod.terminating for pod in seen.pods)
            wanted = replace(wanted, replicas=scaler.replicas(cluster.now, total, wanted.replicas, status))
        assert wanted.replicas >= 2
    assert len(cluster.servers) == cluster.replicas == 2
    assert cluster.tally.writes <= 2


def test_the_curve_has_its_ups_and_downs() -> None:
    curve = Curve(TRADING_DAY, 1000, noise=0.0)
    assert [curve.people(hour * 3600.0) for hour in (3, 9.4, 10, 12.5, 15.7, 24)] == [100, 350, 1000, 550, 850, 100]


def test_the_autoscaler_follows_the_documented_algorithm() -> None:
    scaler = Autoscaler(100, 2, 20, Behavior())
    assert scaler.replicas(0, 549, 5, 5) == 5  # within the tolerance
    assert scaler.replicas(15, 1500, 5, 5) == 10  # twice as many, at most, in 30 s
    assert scaler.replicas(30, 1500, 10, 10) == 10
    assert scaler.replicas(60, 1500, 10, 10) == 15
    assert scaler.replicas(75, 500, 15, 15) == 15  # 300 s of lower need
    assert scaler.replicas(359, 500, 15, 15) == 15
    assert scaler.replicas(400, 500, 15, 15) == 14  # one in 120 s
    assert scaler.replicas(415, 500, 14, 14) == 14
    assert scaler.replicas(525, 500, 14, 14) == 13
    assert scaler.replicas(540, None, 13, 13) == 13
    assert scaler.replicas(900, 99_999, 13, 13) == 20
