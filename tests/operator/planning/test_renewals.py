"""Drains are renewed in each round, as long as nobody cancels them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kit.kubernetes.socket_fleets import NOW, drained, pod, seen, spec
from tradecast_operator.model.actions import CancelDrain, StartDrain, UpdateDrain
from tradecast_operator.model.observation import Observation, Pod, Stats
from tradecast_operator.model.spec import Drain
from tradecast_operator.planning.plan import PlannerState, make_plan
from tradecast_operator.planning.renewals import plan_renewals

WANTED = spec(1, drain=Drain(rate=70, timeout=600))


def renewable(one: Pod) -> Pod:
    return replace(one, stats=replace(one.stats or Stats(0), renewable=True))


LEAVING = renewable(drained("b", 7, since=NOW - 200))


def renewed(fleet: Observation, last: float = NOW - 5) -> list[UpdateDrain]:
    return [one for one in plan_renewals([], fleet, WANTED, last) if isinstance(one, UpdateDrain)]


def test_a_drain_is_renewed_with_what_is_asked_for_now() -> None:
    assert renewed(seen([pod("a"), LEAVING])) == [
        UpdateDrain(pod="b", uid="uid-b", rate=70, timeout=400, renew_within=120)
    ]
    late = renewable(drained("b", 7, since=NOW - 2_000))
    assert [one.timeout for one in renewed(seen([late]))] == [1], "its time is over, and its pod is deleted next"


@pytest.mark.parametrize(("apart", "within"), [(5, 120), (30, 120), (60, 240), (300, 1200), (2_000, 3600)], ids=str)
def test_it_lasts_for_some_rounds(apart: float, within: float) -> None:
    assert [one.renew_within for one in renewed(seen([LEAVING]), NOW - apart)] == [within]


def test_before_it_is_known_how_far_apart_rounds_are_it_lasts_for_two_of_the_longest() -> None:
    for last in (0, NOW + 3_600):  # the clock was set back
        assert [one.renew_within for one in renewed(seen([LEAVING]), last)] == [600]


@pytest.mark.parametrize(
    "other",
    [
        pod("b"),
        renewable(pod("b", draining=True)),  # a person drains it, or a rollout's trial
        drained("b", 7),  # an earlier version
        renewable(drained("b", 7, draining=False)),  # it has forgotten its drain: it is drained again, or not
        replace(LEAVING, stats=None),
        replace(LEAVING, terminating=True),
    ],
)
def test_who_is_not_renewed(other: Pod) -> None:
    assert renewed(seen([pod("a"), other])) == []


def test_what_is_begun_or_ended_is_not_renewed_and_what_begins_ends_automatically() -> None:
    begin = StartDrain(pod="b", uid="uid-b", rate=1, since=NOW, timeout=9, reason="Draining", message="")
    end = CancelDrain(pod="b", uid="uid-b", reason="DrainCancelled", message="")
    assert plan_renewals([end], seen([LEAVING]), WANTED, NOW - 5) == [end]
    assert plan_renewals([begin], seen([LEAVING]), WANTED, NOW - 5) == [replace(begin, renew_within=120)]
    old = drained("b", 7)
    assert plan_renewals([begin], seen([old]), WANTED, NOW - 5) == [begin], "it would refuse the request"


@pytest.mark.parametrize("fields", [{"behind": True}, {"replicas": 1}, {"replicas": 2}])
def test_whatever_else_is_decided_drains_that_continue_are_renewed(fields: dict[str, object]) -> None:
    """The Deployment is behind; its pods are about to be deleted; it is still to shrink."""
    fleet = seen([pod("a", 50), replace(LEAVING, goes_first=True)], **fields)
    decided = make_plan(fleet, WANTED, PlannerState())
    assert [one.pod for one in decided.actions if isinstance(one, UpdateDrain)] == ["b"]
