"""How far a rollout is; one that leaves too little time is told of, once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kit.kubernetes.socket_fleets import pod, seen, spec
from tradecast_operator.model.observation import Hold, Observation, Pacing, Pod, Stats
from tradecast_operator.planning.plan import PlannerState, make_plan
from tradecast_operator.planning.rollout import describe_too_fast_rollout, measure_progress


def server(name: str, clients: int, revision: str = "old", rate: float = 100, time: float = 60) -> Pod:
    return replace(pod(name), revision=revision, stats=Stats(clients, drain_rate=rate, drain_time=time))


def rollout(*pods: Pod) -> Observation:
    return seen(pods, rolling=True, revision="new", pacing=Pacing(minimum=60))


@pytest.mark.parametrize(
    ("fleet", "told"),
    [
        (rollout(server("a", 3000), server("b", 3000)), False),
        (rollout(server("a", 3000), server("b", 3001)), True),
        (rollout(server("a", 3000), server("b", 3000), server("c", 50, "new")), False),
        (rollout(server("a", 2000), server("b", 2000), server("c", 3000, "new")), False),
        (replace(rollout(server("a", 9000)), revision=""), False),
        (rollout(server("a", 6001), server("b", 0, "new")), True),
        (seen([server("a", 9000)]), False),
        (rollout(pod("a", 9000, revision="old")), False),
        (rollout(server("a", 9000), pod("b", None)), True),
        (rollout(server("a", 9000, time=90)), False),
        (rollout(server("a", 9000, rate=200)), False),
    ],
)
def test_when_it_is_reported(fleet: Observation, told: bool) -> None:
    assert (describe_too_fast_rollout(fleet) is not None) == told


def test_the_figures_are_reported() -> None:
    text = describe_too_fast_rollout(rollout(server("a", 12_000))) or ""
    assert "12000 clients; to disconnect them takes 120 s at 100/s, but DRAIN_TIMEOUT is 60 s" in text


def test_servers_that_adapt_their_rate_cut_nobody_off() -> None:
    adapting = server("a", 12_000)
    assert adapting.stats is not None
    fleet = rollout(replace(adapting, stats=replace(adapting.stats, renewable=True)))
    assert "60 s, so they are disconnected faster than that." in (describe_too_fast_rollout(fleet) or "")
    assert "60 s, after which the remaining clients are closed abruptly" in (
        describe_too_fast_rollout(rollout(server("a", 12_000))) or ""
    )


def ends(one: Pod, rate: float = 100) -> Pod:
    stats = replace(one.stats or Stats(0), draining=True, rate=rate)
    return replace(one, terminating=True, ready_since=None, stats=stats)


HOLD = Pacing(hold=Hold("new", "it fails"))


@pytest.mark.parametrize(
    ("fleet", "progress", "old", "rate"),
    [
        (rollout(server("a", 300), server("b", 100, "new")), "Trial 25%", 1, 0),
        (rollout(ends(server("a", 299)), server("b", 301), server("c", 400, "new")), "Moving 40%", 2, 100),
        (replace(rollout(server("a", 300), server("b", 0, "new")), pacing=HOLD), "Held 0%", 1, 0),
        (replace(seen([ends(server("a", 1), 40), server("b", 999, "new")]), revision="new"), "Moving 99%", 1, 40),
        (rollout(server("a", 0), server("b", 0, "new")), "Trial 50%", 1, 0),
        (rollout(pod("a", None, revision="old"), pod("b", None, revision="new", ready_since=None)), "Trial 0%", 1, 0),
    ],
)
def test_its_progress(fleet: Observation, progress: str, old: int, rate: int) -> None:
    measured = measure_progress(fleet)
    assert measured is not None
    status = measured.as_status()
    assert (status["progress"], status["oldServers"], status["connectionsPerSecond"]) == (progress, old, rate)
    assert status["revision"] == "new"


def test_without_a_rollout_there_is_no_progress() -> None:
    assert measure_progress(seen([server("a", 5, "new"), ends(server("b", 5, "new"))], revision="new")) is None
    assert measure_progress(seen([server("a", 5, "new"), server("b", 5, "old")])) is None, "which is the new one?"


def test_it_is_reported_once_in_each_rollout() -> None:
    full, even = rollout(server("a", 9000), server("b", 0, "new")), seen([server("b", 9000, "new")])
    state, told = PlannerState(), []
    for fleet in (full, full, even, full, full):
        decided = make_plan(fleet, spec(len(fleet.pods)), state)
        state = decided.state
        told.append([action.reason for action in decided.actions])
    assert told == [["RolloutTooFast"], [], [], ["RolloutTooFast"], []]
