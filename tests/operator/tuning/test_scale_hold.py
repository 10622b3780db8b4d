"""Replicas are held while servers that do not receive each other's events are about to be rolled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kit.kubernetes.socket_fleets import pod, seen, spec
from tradecast.config.settings import Settings
from tradecast.runtime_config.overrides import extract_runtime_settings
from tradecast_operator.model.actions import SetReplicas
from tradecast_operator.model.adapter_spec import RedisAdapter
from tradecast_operator.model.observation import Observation, Pod, Stats
from tradecast_operator.model.spec import Spec
from tradecast_operator.planning.conditions import describe_fleet
from tradecast_operator.planning.plan import PlannerState, make_plan
from tradecast_operator.tuning.scale_hold import hold_replicas

FIGURES = extract_runtime_settings(Settings(redis_url="redis://x")).model_dump()


def server(name: str, mode: str = "single", modes: tuple[str, ...] = ("single", "pubsub")) -> Pod:
    adapter = {
        "mode": mode,
        "modes": list(modes),
        "inForce": FIGURES,
        "source": dict.fromkeys(FIGURES, "settings"),
        "revision": None,
        "seen": None,
        "error": None,
        "traffic": {"publishedPerSecond": 0, "waiting": 0, "channels": 0, "awaySeconds": 0},
    }
    return pod(name, stats=Stats(0, adapter=adapter))


def fleet_of(*pods: Pod, taken_from: str = "fleet-adapter", **fields: Any) -> Observation:
    return seen(pods, mode_from=frozenset({taken_from}), **fields)


def held_at(fleet: Observation, asked_for: Spec, last: str = "single") -> Spec:
    return hold_replicas(fleet, asked_for, last, "fleet-adapter")


def degraded(fleet: Observation, held: Spec, *, rolling_mode: bool = False) -> tuple[str, str]:
    now = describe_fleet(fleet, held, paused=False, rolling_mode=rolling_mode)
    return next((one.status, one.reason) for one in now if one.type == "Degraded")


def asked(replicas: int, **fields: Any) -> Spec:
    rules = RedisAdapter(**{"apply": "roll", **fields})
    return replace(spec(replicas, min_replicas=2), redis_adapter=rules)


def test_one_in_single_stays_one_until_it_is_rolled() -> None:
    fleet = fleet_of(server("a"))
    held = held_at(fleet, asked(3))
    assert (held.wanted, held.bounded) == (1, 3)
    decided = make_plan(fleet, held, PlannerState())
    (told,) = decided.actions
    assert make_plan(fleet, held, decided.state).actions == (), "it is told again and again"
    assert told.reason == "ReplicasHeld"
    assert told.message.startswith("3 replicas are wanted, 1 are kept for now: servers are in mode single")
    assert degraded(fleet, held) == ("True", "Held")
    assert degraded(fleet, held, rolling_mode=True) == ("False", "Held"), "normal while the fleet is rolled"


def test_once_it_is_rolled_they_are_made() -> None:
    fleet = fleet_of(server("a", "pubsub"))
    held = held_at(fleet, asked(3))
    (up,) = make_plan(fleet, held, PlannerState()).actions
    assert isinstance(up, SetReplicas)
    assert up.replicas == 3


def test_while_both_are_there_it_is_held() -> None:
    assert held_at(fleet_of(server("a"), server("b", "pubsub"), replicas=1), asked(3), "").wanted == 1


def test_a_server_that_does_not_answer_for_a_moment_is_in_the_mode_that_it_was_in() -> None:
    fleet = fleet_of(pod("a", None))
    assert held_at(fleet, asked(3), "pubsub/single").wanted == 1
    assert held_at(fleet, asked(3), "pubsub").wanted == 3
    assert held_at(fleet, asked(3), "").wanted == 3


def test_servers_that_are_there_already_stay() -> None:
    assert held_at(fleet_of(server("a"), server("b")), asked(5), "single").wanted == 2
    assert held_at(fleet_of(server("a"), server("b")), asked(2), "single").most is None


@pytest.mark.parametrize(
    "rules",
    [{"apply": "recommend"}, {"apply": "figures"}, {"mode": "single"}],
)
def test_it_is_not_held_where_it_will_not_be_rolled(rules: dict[str, Any]) -> None:
    assert held_at(fleet_of(server("a")), asked(3, **rules), "single").wanted == 3


@pytest.mark.parametrize(
    ("servers", "mode"),
    [
        ((server("a", modes=("single",)),), "auto"),
        ((server("a"), server("b", modes=())), "auto"),
        ((server("a"),), "sharded"),
    ],
    ids=["no Redis", "an earlier version", "another Redis"],
)
def test_it_is_not_held_for_ever_where_there_is_nothing_to_be_rolled_onto(servers: tuple[Pod, ...], mode: str) -> None:
    assert held_at(fleet_of(*servers), asked(3, mode=mode)).wanted == 3


def test_it_is_not_held_for_ever_where_the_deployment_takes_no_mode() -> None:
    assert held_at(fleet_of(server("a"), taken_from="another"), asked(3)).wanted == 3
