"""Rollouts of 100,000 clients: at the rate, with a place for each, and once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simulation.picture import Line, Panel, svg
from simulation.rollout import ROLLOUTS, Rollout, picture, roll_out, table

AT_ONCE, HURRIED, *DERIVED = ROLLOUTS


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("plan", DERIVED, ids=lambda plan: plan.name)
def test_the_derived_time_is_enough_for_the_rate(plan: Rollout, seed: int) -> None:
    assert plan.grace == plan.clients / plan.rate
    outcome = roll_out(replace(plan, seed=seed))
    tally = outcome.tally
    assert tally.peak["rollout"] <= plan.rate * 1.01
    assert tally.cut.total() == 0
    assert tally.refused == 0
    # Nobody moves to a pod that ends next, and nobody stays behind.
    assert tally.forced.total() == pytest.approx(plan.clients, abs=20)
    assert plan.grace <= outcome.seconds <= plan.grace + 65
    assert tally.away <= 10


def test_a_minute_is_not_enough_and_servers_then_hurry() -> None:
    at_once, hurried = roll_out(AT_ONCE), roll_out(HURRIED)
    assert at_once.tally.peak["rollout"] > 10_000
    assert at_once.tally.cut.total() > 0.9 * AT_ONCE.clients
    assert hurried.tally.peak["rollout"] < 0.2 * at_once.tally.peak["rollout"]
    assert hurried.tally.cut.total() < 0.01 * HURRIED.clients


def test_clients_are_refused_where_new_pods_accept_too_few() -> None:
    """The simulation can find a closed door."""
    tally = roll_out(Rollout("two pods", 1, adaptive=False, pods=2, per_replica=9000)).tally
    assert tally.refused > 0
    assert tally.peak_refused > 0
    assert tally.refusing >= 5


def test_the_table_and_the_picture_have_each() -> None:
    outcomes = [(plan, roll_out(plan)) for plan in ROLLOUTS]
    assert [line.split(" | ")[0] for line in table(outcomes).splitlines()[2:]] == [f"| {one.name}" for one in ROLLOUTS]
    assert picture(outcomes).count("<polyline") == 3 * len(ROLLOUTS)


def test_a_picture_s_ticks_are_hours_unless_others_are_given() -> None:
    panel = Panel("p", [Line("l", "#000", [(0.0, 1.0)])], 2)
    assert ">4:00<" in svg([panel], 4)
    assert ">9:30<" in svg([panel], 4, [(1.0, "9:30")])
