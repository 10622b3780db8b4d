"""Terminating servers are told when they are killed, and at which rate to go on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kit.kubernetes.socket_fleets import NOW, pod, seen, spec
from tradecast_operator.model.actions import Action, UpdateDrain
from tradecast_operator.model.observation import Observation, Pod, Stats
from tradecast_operator.model.spec import Drain, Spec
from tradecast_operator.planning.deadlines import Deadlines, plan_deadlines

WANTED = spec(1, drain=Drain(rate=100))


def ending(killed_in: float = 30, grace: float = 30, name: str = "a", **stats: Any) -> Pod:
    """A pod that has been deleted, and whose server drains."""
    reported: dict[str, Any] = {"draining": True, "renewable": True, "rate": 100, "ends_in": 500, "connections": 7}
    told = Stats(**{**reported, **stats})
    return replace(pod(name), ready_since=None, terminating=True, killed_at=NOW + killed_in, grace=grace, stats=told)


def alive_at(seconds_ago: float, *names: str) -> Deadlines:
    return plan_deadlines(seen([pod(name) for name in names], time=NOW - seconds_ago), WANTED, Deadlines())[1]


def tell(one: Pod, before: Deadlines | None = None, wanted: Spec = WANTED) -> list[Action]:
    return plan_deadlines(seen([one]), wanted, before or Deadlines())[0]


def test_how_the_drain_of_a_terminating_server_is_changed() -> None:
    assert tell(ending(25)) == [UpdateDrain(pod="a", uid="uid-a", rate=100, ends_within=25)]


@pytest.mark.parametrize(
    ("why", "one"),
    [
        ("it stays", pod("a", 7)),
        ("it knows", ending(25, ends_in=14)),
        ("it knows no deadlines", ending(25, renewable=False)),
        ("it does not answer", replace(ending(25), stats=None)),
        ("it has no SIGTERM yet, which begins the drain", ending(25, draining=False)),
        ("it is empty", ending(25, connections=0)),
        ("it is killed by now", ending(-3, grace=0)),
        ("it was deleted before, by hand or by a webhook, without a grace", replace(ending(25), killed_at=None)),
    ],
)
def test_whose_drain_is_not_changed(why: str, one: Pod) -> None:
    assert tell(one) == [], why


def test_a_server_that_knows_no_end_gets_one() -> None:
    assert tell(ending(25, ends_in=None))


@pytest.mark.parametrize(
    ("clock", "told"),
    [(0, 27), (-2, 29), (-3600, 30), (3, 25), (3600, 25)],
    ids=["the same clock", "a bit slow", "an hour slow", "a bit fast", "an hour fast"],
)
def test_a_clock_that_differs_shifts_the_deadline_by_a_round_at_most(clock: float, told: float) -> None:
    """Deleted 3 s ago, of 30 s; seen alive 5 s ago. The operator's clock differs from the API server's by `clock`."""
    actions = tell(ending(27 - clock), alive_at(5, "a"))
    assert [round(one.ends_within or 0) for one in actions if isinstance(one, UpdateDrain)] == [told]


def test_an_operator_that_starts_in_between_takes_the_timestamp_but_no_more_than_the_grace() -> None:
    for killed_in, told in ((12, 12), (4000, 30)):
        assert [one.ends_within for one in tell(ending(killed_in)) if isinstance(one, UpdateDrain)] == [told]


def test_the_deadline_stays_from_round_to_round_and_a_shorter_grace_makes_a_new_one() -> None:
    _, state = plan_deadlines(seen([ending(600, grace=600)]), WANTED, alive_at(5, "a"))
    later = seen([ending(600, grace=600)], time=NOW + 100)
    actions, state = plan_deadlines(later, WANTED, state)
    assert actions == [], "500 s are left, and the server ends in 500"
    shorter = seen([ending(110, grace=10)], time=NOW + 100)
    actions, state = plan_deadlines(shorter, WANTED, state)
    assert [one.ends_within for one in actions if isinstance(one, UpdateDrain)] == [10]


def test_a_rate_that_was_raised_is_sent_and_a_lower_one_is_not() -> None:
    knows = ending(25, ends_in=14)
    assert tell(knows, wanted=spec(1, drain=Drain(rate=500))) == [
        UpdateDrain(pod="a", uid="uid-a", rate=500, ends_within=25)
    ]
    assert tell(replace(knows), wanted=spec(1, drain=Drain(rate=50))) == []
    assert tell(ending(25, ends_in=14, rate=0), wanted=spec(1, drain=Drain(rate=50))) == [], "it reports no rate"


def test_servers_that_hurry_are_reported_once() -> None:
    def fleet(*names: str) -> Observation:
        return seen([ending(25, name=name, ends_in=14, urgent=True, rate=900, connections=400) for name in names])

    actions, state = plan_deadlines(fleet("a", "b"), WANTED, Deadlines())
    assert [(one.reason, one.warning) for one in actions] == [("DrainSpedUp", True)]
    assert actions[0].message.startswith("a, b: 800 clients are disconnected faster than configured, at up to 900/s")
    actions, state = plan_deadlines(fleet("a", "b"), WANTED, state)
    assert actions == []
    actions, state = plan_deadlines(fleet("a", "c"), WANTED, state)
    assert [one.message.split(":")[0] for one in actions] == ["c"]


def test_a_hundred_that_hurry_are_one_short_event() -> None:
    fleet = seen([ending(25, name=f"pod-{number}", ends_in=14, urgent=True) for number in range(100)])
    actions, _ = plan_deadlines(fleet, WANTED, Deadlines())
    assert len(actions) == 1
    assert len(actions[0].message) < 300
