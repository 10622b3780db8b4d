from __future__ import annotations

import json
import random

import pytest

from faults.faults import CLIENTS, FAULTS, FIGURES, GARBAGE, ONE_REDIS, SERVERS, draw_figures, draw_plan
from tradecast.config.runtime_settings import RuntimeSettings
from tradecast.config.settings import load_settings
from tradecast.runtime_config.overrides import OverridesError, extract_runtime_settings, parse_overrides

FIGURES_IN_FORCE = extract_runtime_settings(load_settings({}))
ALL = (*CLIENTS, *SERVERS, *FIGURES, *ONE_REDIS)


def test_the_same_seed_gives_the_same_plan() -> None:
    assert draw_plan(7, ALL, 60) == draw_plan(7, ALL, 60)
    assert draw_plan(7, ALL, 60) != draw_plan(8, ALL, 60)


def test_the_plan_does_not_depend_on_what_else_was_drawn() -> None:
    first = draw_plan(7, ALL, 60)
    random.random()
    assert draw_plan(7, (*CLIENTS, *SERVERS), 60)["clients"] == first["clients"]


def test_each_fault_comes_before_one_comes_again() -> None:
    plan = draw_plan(3, ALL, 300)
    for group, names in (("clients", CLIENTS), ("servers", SERVERS), ("redis", ONE_REDIS), ("figures", FIGURES)):
        steps = plan[group]  # type: ignore[index]
        for begin in range(0, len(steps), len(names)):
            assert sorted(step.fault for step in steps[begin : begin + len(names)]) == sorted(names)
        assert sum(step.pause for step in steps) >= 300


def test_a_group_without_faults_stays_idle() -> None:
    plan = draw_plan(3, CLIENTS, 60)
    assert plan["servers"] == plan["redis"] == plan["figures"] == []
    assert plan["clients"]
    assert draw_plan(3, [], 60) == {"clients": [], "servers": [], "redis": [], "figures": []}


def test_every_fault_says_what_it_is() -> None:
    assert set(ALL) < set(FAULTS)
    assert all(fault.inject.__doc__ for fault in FAULTS.values())


def test_the_figures_that_are_drawn_make_sense_and_cover_all() -> None:
    draw = random.Random(5)
    drawn = [draw_figures(draw) for _ in range(200)]
    assert None in drawn
    for figures in filter(None, drawn):
        assert parse_overrides(json.dumps(figures).encode(), FIGURES_IN_FORCE).unknown == ()
    assert {name for figures in filter(None, drawn) for name in figures} == set(RuntimeSettings.model_fields) - {
        "publish_both"
    }


def test_garbage_is_garbage() -> None:
    for content in GARBAGE:
        with pytest.raises(OverridesError):
            parse_overrides(content, FIGURES_IN_FORCE)
