"""A rollout that would close clients all at once is told of, once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kit.kubernetes.socket_fleets import pod, seen, spec
from tradecast_operator.model.observation import Observation, Pod, Stats
from tradecast_operator.planning.plan import PlannerState, plan
from tradecast_operator.planning.rollout import describe_too_fast_rollout


def server(name: str, clients: int, revision: str = "old", rate: float = 100, time: float = 60) -> Pod:
    return replace(pod(name), revision=revision, stats=Stats(clients, drain_rate=rate, drain_time=time))


def rollout(*pods: Pod) -> Observation:
    return seen(pods, rolling=True)


@pytest.mark.parametrize(
    ("fleet", "told"),
    [
        (rollout(server("a", 3000), server("b", 3000)), False),
        (rollout(server("a", 3000), server("b", 3001)), True),
        (rollout(server("a", 3000), server("b", 3000), server("c", 50, "new")), False),
        (rollout(server("a", 6001), server("b", 0, "new")), True),
        (seen([server("a", 9000)]), False),
        (rollout(pod("a", 9000)), False),
        (rollout(server("a", 9000), pod("b", None)), True),
        (rollout(server("a", 9000, time=90)), False),
        (rollout(server("a", 9000, rate=200)), False),
    ],
)
def test_when_it_is_told(fleet: Observation, told: bool) -> None:
    assert (describe_too_fast_rollout(fleet) is not None) == told


def test_the_figures_are_told() -> None:
    text = describe_too_fast_rollout(rollout(server("a", 12_000))) or ""
    assert "12000 clients; to disconnect them takes 120 s at 100/s, but DRAIN_TIMEOUT is 60 s" in text


def test_it_is_told_once_in_each_rollout() -> None:
    full, even = rollout(server("a", 9000), server("b", 0, "new")), seen([server("b", 9000, "new")])
    state, told = PlannerState(), []
    for fleet in (full, full, even, full, full):
        decided = plan(fleet, spec(len(fleet.pods)), state)
        state = decided.state
        told.append([action.reason for action in decided.actions])
    assert told == [["RolloutTooFast"], [], [], ["RolloutTooFast"], []]
