"""The market opens: a cron trigger has servers there before the clients come."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simulation.autoscaler import Autoscaler, Behavior
from simulation.opening import BEFORE, OPENINGS, open_market, picture, table
from simulation.run import Cron, Day


@pytest.fixture(scope="module")
def days() -> list[Day]:
    return [open_market(scenario) for scenario in OPENINGS]


def test_nobody_is_refused_where_servers_are_there_before(days: list[Day]) -> None:
    alone, early, alone_new_nodes, early_new_nodes = (day.tally for day in days)
    assert early.refused == early_new_nodes.refused == 0
    assert alone.peak_refused > 1000
    assert alone_new_nodes.peak_refused > 2 * alone.peak_refused


def test_it_costs_a_few_pod_hours(days: list[Day]) -> None:
    alone, early = (day.tally.pod_seconds / 3600 for day in days[:2])
    assert early - alone < 1.2 * (BEFORE.end - BEFORE.begin) * BEFORE.pods
    assert early > alone


def test_nobody_is_disconnected_at_the_end_of_the_window_whose_clients_have_come(days: list[Day]) -> None:
    day = days[1]
    around = [pods for hour, pods in zip(day.times, day.pods, strict=True) if 0.9 <= hour <= 1.4]
    assert min(around) == max(around) >= BEFORE.pods


def test_pods_leave_one_by_one_after_a_window_to_which_nobody_came() -> None:
    """A holiday."""
    holiday = replace(OPENINGS[1], shape=((0.0, 0.2), (3.0, 0.2)))
    day = open_market(holiday)
    assert max(day.pods) == BEFORE.pods
    at = dict(zip((round(3600 * hour) for hour in day.times), day.pods, strict=True))
    assert at[3600 + 300] == BEFORE.pods, "five minutes of stabilization"
    assert at[3600 + 300 + 600] >= BEFORE.pods - 7, "one pod in two minutes"
    assert at[2 * 3600] <= 5
    assert day.tally.cut.total() == 0


def test_a_cron_trigger_is_a_floor() -> None:
    cron = Cron(9.0, 10.0, 16)
    assert [cron.scheduled(hour) for hour in (8.99, 9.0, 9.99, 10.0)] == [0, 16, 16, 0]
    scaler = Autoscaler(100, 2, 20, Behavior(up_pods=20))
    assert scaler.replicas(0, 400, 4, 4, 16) == 16
    assert scaler.replicas(15, 1900, 16, 16, 16) == 19, "the connections ask for more"
    assert scaler.replicas(30, 400, 19, 19, 0) == 19, "not before the window of stabilization has passed"


def test_without_readings_a_cron_trigger_adds_pods_and_removes_none() -> None:
    scaler = Autoscaler(100, 2, 20, Behavior(up_pods=20, down_window=0))
    assert scaler.replicas(0, None, 4, 4, 16) == 16
    assert scaler.replicas(15, None, 16, 16, 0) == 16
    assert scaler.replicas(30, None, 16, 16) == 16
    assert scaler.replicas(45, 400, 16, 16, 0) == 15


def test_the_table_and_the_picture_have_each(days: list[Day]) -> None:
    named = list(zip(OPENINGS, days, strict=True))
    rows = table(named).splitlines()[2:]
    assert [line.split(" | ")[0] for line in rows] == [f"| {one.name}" for one in OPENINGS]
    assert "10:00" in picture(named)
