"""Replicas are held while servers that do not hear each other are about to be rolled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from support.socket_fleets import pod, seen, spec
from tradecast.adapter.tuning import of_settings
from tradecast.settings import Settings
from tradecast_operator.actions import SetReplicas
from tradecast_operator.adapter_spec import RedisAdapter
from tradecast_operator.conditions import conditions
from tradecast_operator.hold import hold
from tradecast_operator.observation import Pod, Stats
from tradecast_operator.plan import Memory, plan
from tradecast_operator.spec import Spec

FIGURES = of_settings(Settings(redis_url="redis://x")).model_dump()


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


def asked(replicas: int, **fields: Any) -> Spec:
    rules = RedisAdapter(**{"apply": "roll", **fields})
    return replace(spec(replicas, min_replicas=2), redis_adapter=rules)


def test_one_in_single_stays_one_until_it_is_rolled() -> None:
    fleet = seen([server("a")])
    held = hold(fleet, asked(3), "single")
    assert (held.wanted, held.bounded) == (1, 3)
    decided = plan(fleet, held, Memory())
    (told,) = decided.actions
    assert plan(fleet, held, decided.memory).actions == (), "it is told again and again"
    assert told.reason == "ReplicasHeld"
    assert told.message.startswith("3 replicas are wanted, and 1 kept for now: servers are in mode single")
    degraded = next(one for one in conditions(fleet, held, paused=False) if one.type == "Degraded")
    assert degraded.reason == "Held"


def test_once_it_is_rolled_they_are_made() -> None:
    fleet = seen([server("a", "pubsub")])
    held = hold(fleet, asked(3), "single")
    (up,) = plan(fleet, held, Memory()).actions
    assert isinstance(up, SetReplicas)
    assert up.replicas == 3


def test_while_both_are_there_it_is_held() -> None:
    assert hold(seen([server("a"), server("b", "pubsub")], replicas=1), asked(3), "").wanted == 1


def test_a_server_that_does_not_answer_for_a_moment_is_in_the_mode_that_it_was_in() -> None:
    fleet = seen([pod("a", None)])
    assert hold(fleet, asked(3), "pubsub/single").wanted == 1
    assert hold(fleet, asked(3), "pubsub").wanted == 3
    assert hold(fleet, asked(3), "").wanted == 3


def test_servers_that_are_there_already_stay() -> None:
    assert hold(seen([server("a"), server("b")]), asked(5), "single").wanted == 2
    assert hold(seen([server("a"), server("b")]), asked(2), "single").most is None


@pytest.mark.parametrize(
    "rules",
    [{"apply": "recommend"}, {"apply": "figures"}, {"mode": "single"}],
)
def test_it_is_not_held_where_it_will_not_be_rolled(rules: dict[str, Any]) -> None:
    assert hold(seen([server("a")]), asked(3, **rules), "single").wanted == 3


def test_it_is_not_held_where_there_is_nothing_to_be_rolled_onto() -> None:
    assert hold(seen([server("a", modes=("single",))]), asked(3), "single").wanted == 3
