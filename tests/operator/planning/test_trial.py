"""Whether new servers are worse than old ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from kit.kubernetes.socket_fleets import NOW, pod, seen, spec
from tradecast_operator.model.actions import Shed
from tradecast_operator.model.observation import Observation, Outcomes, Pod, Stats
from tradecast_operator.model.spec import Spec, Trial
from tradecast_operator.planning.trial import TrialState, judge_trial, plan_sample

WANTED = spec(2, trial=Trial(start=180, margin=0.05, least=20, sample=25))


def server(
    name: str, revision: str = "old", outcomes: Outcomes | None = None, clients: int = 100, **fields: Any
) -> Pod:
    stats = Stats(clients, outcomes=outcomes or Outcomes())
    return replace(pod(name), **{"revision": revision, "stats": stats, "ready_since": NOW - 20, **fields})


def rollout(*pods: Pod, time: float = NOW, **fields: Any) -> Observation:
    return seen(pods, **{"rolling": True, "revision": "new", "time": time, **fields})


def judged(*fleets: Observation, wanted: Spec = WANTED) -> Sequence[str | None]:
    state, told = TrialState(), []
    for fleet in fleets:
        fault, state = judge_trial(fleet, wanted, state)
        told.append(None if fault is None else fault.why)
    return told


OLD = server("a", outcomes=Outcomes(10_000, 10, 10_000, 10))


@pytest.mark.parametrize(
    ("why", "outcomes"),
    [
        ("12 of 25 connects failed on the new servers, and 0.1% on the old ones", Outcomes(25, 12)),
        ("12 of 25 events failed on the new servers, and 0.1% on the old ones", Outcomes(0, 0, 25, 12)),
        (None, Outcomes(19, 19)),  # too few to say so
        (None, Outcomes(100, 5, 100, 5)),  # the margin
        (None, Outcomes(25, 2)),  # chance
        ("99 of 100 connects failed on the new servers, and 0.1% on the old ones", Outcomes(100, 99, 5000, 0)),
        (None, Outcomes()),
    ],
)
def test_what_fails_more_often_than_before(why: str | None, outcomes: Outcomes) -> None:
    assert judged(rollout(OLD, server("b", "new", outcomes))) == [why]


def test_old_servers_that_fail_at_the_same_time_excuse_new_ones() -> None:
    """Redis is away: it is not the revision."""
    first = rollout(OLD, server("b", "new"))
    both = Outcomes(10_050, 40, 10_000, 10)
    second = rollout(server("a", outcomes=both), server("b", "new", Outcomes(50, 30)), time=NOW + 5)
    assert judged(first, second) == [None, None]
    alone = rollout(OLD, server("b", "new", Outcomes(50, 30)), time=NOW + 5)
    assert judged(first, alone)[1] is not None


def test_a_failed_revision_that_is_out_of_service_excuses_no_other() -> None:
    """After a rollout that is held somebody deploys a third version, while servers of the second are still there."""
    failed = server("b", "second", Outcomes(90_000, 90_000), ready_since=None)
    assert judged(rollout(OLD, failed, server("c", "new", Outcomes(25, 12))))[0] is not None


def test_what_servers_did_before_the_rollout_does_not_count_against_them() -> None:
    """An undone rollout: the new revision is the one of before, whose servers are old and had a bad day once."""
    veteran = server("b", "new", Outcomes(1_000, 900), ready_since=NOW - 86_400)
    drained = server("a", ready_since=None)
    helper = server("c", outcomes=Outcomes(100, 0))
    assert judged(rollout(drained, helper, veteran), rollout(drained, helper, veteran, time=NOW + 5)) == [None, None]
    worse = server("b", "new", Outcomes(1_050, 930), ready_since=NOW - 86_400)
    told = judged(rollout(helper, veteran), rollout(helper, worse, time=NOW + 5))
    assert told == [None, "30 of 50 connects failed on the new servers, and 0.0% on the old ones"]


def test_a_server_that_starts_again_begins_at_nothing() -> None:
    before = server("b", "new", Outcomes(500, 0), ready_since=NOW - 3600)
    after = server("b", "new", Outcomes(30, 25))
    told = judged(rollout(OLD, before), rollout(OLD, after, time=NOW + 5))
    assert told == [None, "25 of 30 connects failed on the new servers, and 0.1% on the old ones"]


def test_only_the_last_two_minutes_count() -> None:
    """A revision that begins to fail late, and one whose early failures are over."""
    good = [rollout(OLD, server("b", "new", Outcomes(1_000, 0)))]
    bad = [rollout(OLD, server("b", "new", Outcomes(1_030, 25)), time=NOW + 200)]
    assert judged(*good, *bad)[1] == "25 of 30 connects failed on the new servers, and 0.1% on the old ones"
    lone = Spec(deployment="x", trial=Trial(enabled=False))
    state = judge_trial(bad[0], WANTED, TrialState())[1]
    assert state.revision == "new"
    assert judge_trial(bad[0], lone, state) == (None, TrialState())


@pytest.mark.parametrize(
    ("told", "fields"),
    [
        ("CrashLoopBackOff: b", {"trouble": "CrashLoopBackOff", "ready_since": None, "unready_since": NOW - 3}),
        ("ImagePullBackOff: b", {"trouble": "ImagePullBackOff", "stats": None, "ready_since": None}),
        ("not ready for 180 s: b", {"ready_since": None, "unready_since": NOW - 181}),
        (None, {"ready_since": None, "unready_since": NOW - 179}),
        ("not ready for 180 s: b", {"ready_since": None, "unready_since": NOW - 181, "stats": None}),
        ("not ready for 180 s: b", {"ready_since": None, "unready_since": NOW - 181, "was_ready": True}),
        # Its node is gone; somebody drains it.
        (None, {"ready_since": None, "unready_since": NOW - 181, "was_ready": True, "stats": None}),
        (None, {"ready_since": None, "unready_since": NOW - 181, "stats": Stats(0, True)}),
        (None, {"ready_since": None, "unready_since": None, "stats": None, "started": False}),  # waits for a node
        ("no answer at the admin port: b", {"stats": None, "ready_since": NOW - 181}),
        (None, {"stats": None, "ready_since": NOW - 179}),
    ],
)
def test_servers_that_have_trouble(told: str | None, fields: dict[str, Any]) -> None:
    (why,) = judged(rollout(OLD, server("b", "new", **fields)))
    assert why == (told and f"1 of 1 new servers have trouble ({told})")


def test_one_of_many_has_a_bad_node() -> None:
    new = [server(f"n{number}", "new") for number in range(20)]
    crashing: dict[str, Any] = {"trouble": "CrashLoopBackOff", "ready_since": None}
    one = [replace(new[0], **crashing), *new[1:]]
    two = [*(replace(each, **crashing) for each in new[:2]), *new[2:]]
    assert judged(rollout(OLD, *one)) == [None]
    assert judged(rollout(OLD, *two)) == ["2 of 20 new servers have trouble (CrashLoopBackOff: n0, n1)"]


@pytest.mark.parametrize(
    "fleet",
    [
        rollout(server("b", "new", Outcomes(50, 50))),  # nothing to go back to
        rollout(replace(OLD, ready_since=None), server("b", "new", Outcomes(50, 50))),
        rollout(replace(OLD, terminating=True), server("b", "new", Outcomes(50, 50))),
        rollout(OLD, server("b", "new", Outcomes(50, 50)), behind=True),
        rollout(OLD, server("b", "new", Outcomes(50, 50)), revision=""),
    ],
)
def test_where_nothing_can_be_held_nothing_is_judged(fleet: Observation) -> None:
    assert judged(fleet) == [None]


def test_servers_that_report_no_outcomes_are_not_judged_by_them() -> None:
    mute = Stats(5)
    assert judged(rollout(replace(OLD, stats=mute), server("b", "new", stats=mute))) == [None]
    assert judged(rollout(replace(OLD, stats=mute), server("b", "new", Outcomes(25, 12)))) == [
        "12 of 25 connects failed on the new servers, and 0.0% on the old ones"
    ]


def sampled(fleet: Observation, wanted: Spec = WANTED, state: TrialState | None = None) -> list[tuple[str, int]]:
    actions, _ = plan_sample(fleet, wanted, state or TrialState("new"))
    return [(one.pod, one.count) for one in actions if isinstance(one, Shed)]


def test_a_few_clients_are_moved_as_a_sample() -> None:
    """Without newcomers nothing would be known of the new servers until all clients are there."""
    old = [server("a", clients=200), server("b", clients=300)]
    assert sampled(rollout(*old, server("c", "new"))) == [("b", 25)]
    assert sampled(rollout(*old, server("c", "new", Outcomes(10, 0)))) == [("b", 15)], "10 came by themselves"
    assert sampled(rollout(*old, server("c", "new", Outcomes(40, 0)))) == []
    assert sampled(rollout(server("a", clients=60), server("c", "new"))) == [("a", 6)], "no more than a tenth"
    assert sampled(rollout(server("a", clients=3), server("c", "new"))) == []
    assert sampled(rollout(*old, server("c", "new")), state=TrialState("new", sampled=True)) == []
    assert sampled(rollout(*old, server("c", "new")), spec(2, trial=Trial(sample=0))) == []


def test_no_sample_before_new_servers_take_the_clients() -> None:
    old = [server(f"a{number}", clients=200) for number in range(5)]
    assert sampled(rollout(*old, server("c", "new"))) == [], "one of six: old servers accept clients as well"
    assert sampled(rollout(OLD, server("c", "new", ready_since=NOW - 3))) == []
    assert sampled(rollout(OLD, server("c", "new", ready_since=None))) == []
    assert sampled(rollout(OLD, server("c", "new", stats=None))) == []
