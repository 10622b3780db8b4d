"""A rollout whose new servers are worse is held; and what ends a hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kit.kubernetes.socket_fleets import NOW, pod, seen, spec
from tradecast_operator.model.actions import Action, CancelDrain, SetPacing, UpdateDrain
from tradecast_operator.model.observation import Hold, Observation, Outcomes, Pacing, Pod, Stats
from tradecast_operator.model.spec import Drain, Trial
from tradecast_operator.planning.rollout_hold import (
    HELD,
    NO_DEADLINE,
    RENEWED_EVERY,
    RolloutState,
    describe_trial,
    end_hold,
    plan_rollout,
)

WANTED = spec(2, trial=Trial(seconds=60), drain=Drain(rate=100, timeout=600))
OFF = spec(2, trial=Trial(seconds=60, enabled=False), drain=Drain(rate=100, timeout=600))
WHY = "9 of 25 connects failed on the new servers, and 0.0% on the old ones"
HOLD = Hold("new", WHY, deadline=700, minimum=30, useless=True)
IN_FORCE = Pacing(minimum=HELD, deadline=NO_DEADLINE, hold=HOLD)
NORMAL = Pacing(minimum=60, deadline=700)


def server(name: str, revision: str = "old", failed: int = 0, **fields: Any) -> Pod:
    draining = fields.pop("draining", False)
    stats = Stats(100, draining, renewable=True, outcomes=Outcomes(25, failed))
    return replace(pod(name), **{"revision": revision, "stats": stats, "ready_since": NOW - 100, **fields})


def rollout(*pods: Pod, pacing: Pacing = NORMAL, **fields: Any) -> Observation:
    return seen(pods, **{"rolling": True, "revision": "new", "pacing": pacing, **fields})


def act(fleet: Observation, wanted: Any = WANTED, state: RolloutState | None = None) -> list[Action]:
    return plan_rollout(fleet, wanted, state or RolloutState())[0]


def paced(actions: list[Action]) -> list[tuple[str, int, int | None, Hold | None]]:
    return [(one.reason, one.minimum, one.deadline, one.hold) for one in actions if isinstance(one, SetPacing)]


OLD, BAD = server("a"), server("b", "new", 9)
WITHDRAWN = replace(server("b", "new", 9, draining=True), ready_since=None)


def test_a_revision_that_fails_is_held() -> None:
    (action,) = act(rollout(OLD, BAD, pacing=Pacing(60, 700, release="prod")))
    assert paced([action]) == [("RolloutHeld", HELD, NO_DEADLINE, Hold("new", WHY, 700, 60, True))]
    assert action.warning
    assert action.message.startswith(f"the rollout of revision new is held: {WHY}. ")
    assert "(helm rollback prod)" in action.message
    assert "(kubectl rollout undo deployment/x)" in act(rollout(OLD, BAD))[0].message


def test_the_api_server_accepts_what_holds() -> None:
    """https://github.com/kubernetes/kubernetes, ValidateDeploymentSpec: int32, and the deadline above the minimum."""
    assert HELD < NO_DEADLINE == 2**31 - 1


def test_the_new_servers_leave_service_once_the_hold_is_recorded() -> None:
    actions, state = plan_rollout(rollout(OLD, BAD, server("c", "new"), pacing=IN_FORCE), WANTED, RolloutState())
    assert actions == [
        UpdateDrain(pod=name, uid=f"uid-{name}", rate=100, timeout=600, renew_within=3600) for name in "bc"
    ]
    # One that has started anew is told at once, the others by and by.
    later = rollout(OLD, WITHDRAWN, server("c", "new"), pacing=IN_FORCE, time=NOW + 5)
    actions, state = plan_rollout(later, WANTED, state)
    assert [one.pod for one in actions if isinstance(one, UpdateDrain)] == ["c"]
    later = rollout(OLD, WITHDRAWN, pacing=IN_FORCE, time=NOW + RENEWED_EVERY)
    actions, state = plan_rollout(later, WANTED, state)
    assert [one.pod for one in actions if isinstance(one, UpdateDrain)] == ["b"]


def test_old_servers_that_are_too_few_do_not_get_everybody_back() -> None:
    """The trial failed late: one old server of many is left. Most clients would be locked out."""
    troubled = replace(IN_FORCE, hold=replace(HOLD, useless=False))
    busy = replace(server("b", "new"), stats=Stats(10_000, renewable=True))
    crowded = rollout(OLD, busy, pacing=troubled)
    assert act(crowded) == []
    assert "the new ones keep their clients, for whom they are too few" in describe_trial(crowded, WANTED).message
    assert len(act(rollout(OLD, server("a2"), busy, pacing=troubled))) == 1, "two of 5,000 can take 10,200"
    assert len(act(rollout(OLD, busy, pacing=IN_FORCE))) == 1, "nobody can connect to the new one"
    begun = replace(busy, stats=Stats(10_000, True, renewable=True), ready_since=None)
    assert len(act(rollout(OLD, begun, server("c", "new"), pacing=troubled))) == 2, "what has begun goes on"


def test_servers_that_know_no_renewal_are_drained_without() -> None:
    old_version = replace(BAD, stats=Stats(100))
    (told,) = act(rollout(OLD, old_version, pacing=IN_FORCE))
    assert isinstance(told, UpdateDrain)
    assert told.renew_within is None


def test_who_overwrites_the_hold_does_not_end_it() -> None:
    """`helm upgrade` with a value of its own, say."""
    for overwritten in (Pacing(0, 700, HOLD), Pacing(HELD, 2_000_000_001, HOLD)):
        actions = act(rollout(OLD, WITHDRAWN, pacing=overwritten))
        assert paced(actions) == [("RolloutHeld", HELD, NO_DEADLINE, HOLD)]


def test_without_an_old_server_in_service_bad_ones_are_better_than_none() -> None:
    actions = act(rollout(replace(OLD, ready_since=None), WITHDRAWN, BAD, pacing=IN_FORCE))
    assert [(type(one), one.pod) for one in actions if isinstance(one, CancelDrain)] == [(CancelDrain, "b")]
    assert len(actions) == 1


@pytest.mark.parametrize(
    ("why", "fleet", "wanted", "returned"),
    [
        ("revision new is not rolled out any more", rollout(OLD, WITHDRAWN, revision="old"), WANTED, 0),
        ("revision new is not rolled out any more", rollout(OLD, WITHDRAWN, revision="newest"), WANTED, 0),
        ("rollout.trial.enabled is false", rollout(OLD, WITHDRAWN), OFF, 1),
        ("no old server is left", rollout(WITHDRAWN), WANTED, 1),
        ("no old server is left", rollout(replace(OLD, terminating=True), WITHDRAWN), WANTED, 1),
    ],
)
def test_what_ends_a_hold(why: str, fleet: Observation, wanted: Any, returned: int) -> None:
    actions = act(replace(fleet, pacing=IN_FORCE), wanted)
    minimum = 60 if wanted is WANTED else 30
    assert paced(actions) == [("RolloutReleased", minimum, 700, None)]
    assert actions[0].message == f"minReadySeconds is {minimum} again: {why}"
    assert sum(isinstance(one, CancelDrain) for one in actions) == returned


def test_an_undone_rollout_leaves_the_drains_of_good_servers_alone() -> None:
    draining = server("a", draining=True)
    actions = act(rollout(draining, server("c"), WITHDRAWN, pacing=IN_FORCE, revision="old"))
    assert [type(one) for one in actions] == [SetPacing]


def test_a_hold_whose_record_is_gone_ends() -> None:
    """`kubectl rollout undo` replaces all annotations of the Deployment."""
    lost = Pacing(HELD, NO_DEADLINE, None)
    assert paced(act(rollout(OLD, WITHDRAWN, pacing=lost, revision="old"))) == [("RolloutReleased", 60, 600, None)]


def test_a_hold_of_which_nothing_is_known_yet_stays() -> None:
    """While the controller has not observed a new template, the label of its pods is not known."""
    assert act(rollout(OLD, WITHDRAWN, pacing=IN_FORCE, behind=True)) == []
    assert act(rollout(OLD, WITHDRAWN, pacing=IN_FORCE, revision="")) == []


@pytest.mark.parametrize(
    ("why", "fleet", "minimum"),
    [
        ("the fleet is quiet", seen([server("a", "new")], revision="new", pacing=Pacing(0, 600)), 60),
        ("a rollout is under way", rollout(OLD, server("b", "new", ready_since=NOW), pacing=Pacing(0, 600)), 60),
        ("a shorter one", rollout(OLD, server("b", "new"), pacing=Pacing(90, 600)), 60),
        ("the API server demands it", rollout(OLD, server("b", "new"), pacing=Pacing(0, 40)), 39),
        ("there is no deadline", rollout(OLD, server("b", "new"), pacing=Pacing(0, None)), 60),
    ],
)
def test_the_trial_takes_time(why: str, fleet: Observation, minimum: int) -> None:
    assert paced(act(fleet)) == [("TrialConfigured", minimum, fleet.pacing.deadline, None)], why


def test_an_install_is_not_kept_waiting() -> None:
    """`helm install --wait` waits for pods that are available: ready for minReadySeconds."""
    young = seen([server("a", "new", ready_since=NOW - 59)], revision="new", pacing=Pacing(0, 600))
    starting = seen([server("a", "new", ready_since=None)], revision="new", pacing=Pacing(0, 600))
    assert act(young) == act(starting) == []


def test_what_is_as_it_should_be_stays() -> None:
    assert act(rollout(OLD, server("b", "new"))) == []
    for off in (OFF, spec(2, trial=Trial(seconds=0))):
        assert act(rollout(OLD, server("b", "new"), pacing=Pacing(7, 600)), off) == []
    assert act(rollout(OLD, BAD), OFF) == []


def test_a_fleet_that_is_gone_leaves_nothing_held() -> None:
    unasked = replace(WITHDRAWN, stats=None)
    actions = end_hold(rollout(OLD, unasked, pacing=IN_FORCE))
    assert paced(actions) == [("RolloutReleased", 30, 700, None)]
    assert [one.pod for one in actions if isinstance(one, CancelDrain)] == ["b"]
    assert paced(end_hold(rollout(OLD, BAD, pacing=Pacing(HELD, NO_DEADLINE)))) == [("RolloutReleased", 0, 600, None)]
    assert end_hold(rollout(OLD, BAD)) == []


def test_its_condition() -> None:
    def told(fleet: Observation, wanted: Any = WANTED) -> tuple[str, str, str]:
        condition = describe_trial(fleet, wanted)
        assert condition.type == "RolloutHeld"
        return condition.status, condition.reason, condition.message

    held = told(rollout(OLD, WITHDRAWN, pacing=IN_FORCE))
    assert held[:2] == ("True", "TrialFailed")
    assert "Undo it" in held[2]
    assert told(rollout(OLD, BAD))[:2] == ("False", "OnTrial")
    assert told(rollout(OLD, BAD), OFF)[:2] == ("False", "TrialDisabled")
    assert told(seen([OLD], revision="old"))[:2] == ("False", "NoRollout")
    assert told(rollout(OLD, WITHDRAWN, pacing=IN_FORCE, revision="old"))[:2] == ("False", "NoRollout")
