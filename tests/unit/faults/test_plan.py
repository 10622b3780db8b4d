from __future__ import annotations

import random

from faults.faults import CLIENTS, FAULTS, ONE_REDIS, SERVERS, draw_plan

ALL = (*CLIENTS, *SERVERS, *ONE_REDIS)


def test_the_same_seed_gives_the_same_plan() -> None:
    assert draw_plan(7, ALL, 60) == draw_plan(7, ALL, 60)
    assert draw_plan(7, ALL, 60) != draw_plan(8, ALL, 60)


def test_the_plan_does_not_depend_on_what_else_was_drawn() -> None:
    first = draw_plan(7, ALL, 60)
    random.random()
    assert draw_plan(7, (*CLIENTS, *SERVERS), 60)["clients"] == first["clients"]


def test_each_fault_comes_before_one_comes_again() -> None:
    plan = draw_plan(3, ALL, 300)
    for group, names in (("clients", CLIENTS), ("servers", SERVERS), ("redis", ONE_REDIS)):
        steps = plan[group]  # type: ignore[index]
        for begin in range(0, len(steps), len(names)):
            assert sorted(step.fault for step in steps[begin : begin + len(names)]) == sorted(names)
        assert sum(step.pause for step in steps) >= 300


def test_a_group_without_faults_stays_idle() -> None:
    plan = draw_plan(3, CLIENTS, 60)
    assert plan["servers"] == plan["redis"] == []
    assert plan["clients"]
    assert draw_plan(3, [], 60) == {"clients": [], "servers": [], "redis": []}


def test_every_fault_says_what_it_is() -> None:
    assert set(ALL) < set(FAULTS)
    assert all(fault.inject.__doc__ for fault in FAULTS.values())
