"""How many pods there are to be, and which of them go."""

from __future__ import annotations

import pytest

from kit.kubernetes.socket_fleets import NOW, drained, pending, pod, seen, silent, spec
from tradecast_operator.model.actions import Action, CancelDrain, PutFirst, SetReplicas, StartDrain
from tradecast_operator.model.observation import Observation
from tradecast_operator.model.spec import Drain, Spec
from tradecast_operator.planning.replicas import is_overdue, plan_replicas

THREE = [pod("a", 300), pod("b", 100), pod("c", 200)]


def told(fleet: Observation, wanted: Spec) -> list[str]:
    """What is to be done, in short."""
    return [short(action) for action in plan_replicas(fleet, wanted)]


def short(action: Action) -> str:
    match action:
        case SetReplicas():
            return f"={action.replicas}"
        case StartDrain():
            return f"drain {action.pod}"
        case CancelDrain():
            return f"cancel {action.pod}"
        case PutFirst():
            return f"first {action.pod}"
    raise AssertionError(action)


@pytest.mark.parametrize(
    ("rule", "fleet", "wanted", "actions"),
    [
        ("nothing to do", seen(THREE), spec(3), []),
        ("up at once", seen(THREE), spec(7), ["=7"]),
        ("up at once, in a rollout too", seen(THREE, rolling=True), spec(7), ["=7"]),
        ("not above max", seen(THREE), spec(7, max_replicas=5), ["=5"]),
        ("not below min", seen(THREE), spec(1, min_replicas=2), ["drain b"]),
        ("the least loaded drains", seen(THREE), spec(2), ["drain b"]),
        ("no more than have to go", seen(THREE), spec(1), ["drain b", "drain c"]),
        ("no drain is begun in a rollout", seen(THREE, rolling=True), spec(2), []),
        ("no drain is begun while one may begin", seen(THREE, behind=True), spec(2), []),
        ("an empty one in service drains first", seen([*THREE, pod("d", 0)]), spec(3), ["drain d"]),
        (
            "a draining pod keeps its place",
            seen([pod("a", 300), drained("b", 150), pod("c", 100)]),
            spec(2),
            [],
        ),
        ("an empty one is put first", seen([*THREE, drained("d", 0)]), spec(3), ["first d"]),
        ("then replicas go down", seen([*THREE, drained("d", 0, goes_first=True)]), spec(3), ["=3"]),
        (
            "as many as are empty, while others still drain",
            seen([*THREE, drained("d", 0, goes_first=True), drained("e", 9)]),
            spec(3),
            ["=4"],
        ),
        (
            "an empty one to which clients still come does not go",
            seen([*THREE, drained("d", 0, ready_since=NOW - 900)]),
            spec(3),
            [],
        ),
        (
            "a new scale-up cancels",
            seen([*THREE, drained("d", 9), drained("e", 0, goes_first=True)]),
            spec(6),
            ["=6", "cancel d", "cancel e"],
        ),
        (
            "a wish taken back cancels",
            seen([*THREE, drained("d", 9)]),
            spec(4),
            ["cancel d"],
        ),
        (
            "fewer than before have to go: those with most to lose stay",
            seen([*THREE, drained("d", 9), drained("e", 90)]),
            spec(4),
            ["cancel e"],
        ),
        ("a rollout stops it", seen([*THREE, drained("d", 9)], rolling=True), spec(3), ["cancel d"]),
        ("the controller being behind does not", seen([*THREE, drained("d", 9)], behind=True), spec(3), []),
        (
            "an overdue one is put first",
            seen([*THREE, drained("d", 9, since=NOW - 601)]),
            spec(3),
            ["first d"],
        ),
        (
            "and goes",
            seen([*THREE, drained("d", 9, since=NOW - 611, goes_first=True)]),
            spec(3),
            ["=3"],
        ),
        (
            "empty before overdue",
            seen([*THREE, drained("d", 9, since=NOW - 601), drained("e", 0)]),
            spec(4),
            ["cancel d", "first e"],
        ),
        (
            "another pod has gone instead",
            seen([*THREE, drained("d", 9)], replicas=5),
            spec(4),
            ["=4", "cancel d"],
        ),
        (
            "another pod is pending in place of one that has gone",
            seen([*THREE, drained("d", 9), pending("e")]),
            spec(4),
            ["cancel d", "first e"],
        ),
        (
            "one that is about to be deleted is not saved",
            seen([*THREE, drained("d", 0, goes_first=True)], replicas=3),
            spec(3),
            [],
        ),
        (
            "one that is about to be deleted does not count again",
            seen([*THREE, drained("d", 0, goes_first=True), drained("e", 9)], replicas=4),
            spec(3),
            [],
        ),
        (
            "nor does one that is ending",
            seen([*THREE, pod("d", 9, terminating=True, ready_since=None)], replicas=3),
            spec(3),
            [],
        ),
        (
            "a pending one is taken before any drain",
            seen([*THREE, pending("d")]),
            spec(3),
            ["first d"],
        ),
        (
            "pods that never become ready go before any that serve",
            seen([*THREE, pod("d", 0, ready_since=None), pending("e")]),
            spec(3),
            ["first e", "first d"],
        ),
        (
            "one that hangs out of service goes before any that serve",
            seen([*THREE, pod("d", None, ready_since=None)]),
            spec(3),
            ["drain d"],
        ),
        (
            "one that hangs in service comes last",
            seen([pod("a", None), pod("b", 500), pod("c", 400)]),
            spec(1),
            ["drain c", "drain b"],
        ),
        (
            "a drain that cannot be told is waited for",
            seen([*THREE, silent(drained("d", 0))]),
            spec(3),
            [],
        ),
        (
            "until its time is over",
            seen([*THREE, silent(drained("d", 0, since=NOW - 601))]),
            spec(3),
            ["first d"],
        ),
        (
            "a server that forgot its drain is told again",
            seen([*THREE, drained("d", 9, draining=False)]),
            spec(3),
            ["drain d"],
        ),
        (
            "nothing goes while a pod out of service would go in its place",
            seen(
                [
                    *THREE,
                    pod("d", 500, ready_since=None),
                    drained("e", None, since=NOW - 601, ready_since=NOW - 900, goes_first=True),
                ]
            ),
            spec(4),
            [],
        ),
        (
            "what was put first and came into service after all is put back",
            seen([*THREE, pod("d", 9, goes_first=True)]),
            spec(4),
            ["cancel d"],
        ),
        (
            "the bounds changed in the middle: max",
            seen([*THREE, drained("d", 9)]),
            spec(4, max_replicas=2),
            ["drain b"],
        ),
        (
            "the bounds changed in the middle: min",
            seen([*THREE, drained("d", 9)]),
            spec(3, min_replicas=5),
            ["=5", "cancel d"],
        ),
    ],
)
def test_rules(rule: str, fleet: Observation, wanted: Spec, actions: list[str]) -> None:
    assert told(fleet, wanted) == actions, rule


def test_replicas_are_written_for_the_version_that_was_seen() -> None:
    (action,) = plan_replicas(seen(THREE), spec(7))
    assert isinstance(action, SetReplicas)
    assert action.version == "7"


def test_every_drain_has_the_rate_of_the_fleet() -> None:
    actions = plan_replicas(seen(THREE), spec(1, drain=Drain(rate=30)))
    assert [action.rate for action in actions if isinstance(action, StartDrain)] == [30, 30]


def test_no_more_drains_are_begun_than_end_in_time() -> None:
    pods = [pod(name, 5000) for name in "abcdefgh"]
    assert told(seen(pods), spec(1)) == [f"drain {name}" for name in "abcdef"]  # 30,000 take 300 s of 600 s
    assert told(seen(pods), spec(1, drain=Drain(rate=50))) == ["drain a", "drain b", "drain c"]
    assert told(seen(pods), spec(1, drain=Drain(rate=1))) == ["drain a"]
    some = [drained("a", 2000), drained("b", 100), *pods[2:]]
    assert told(seen(some), spec(1)) == [f"drain {name}" for name in "cdefg"]
    assert told(seen(some), spec(1, drain=Drain(rate=1))) == []
    assert told(seen([drained("a", 0, goes_first=True), *pods[1:]]), spec(1, drain=Drain(rate=1))) == ["=7", "drain b"]


def test_a_drain_that_is_begun_again_keeps_its_time_limit() -> None:
    (action,) = plan_replicas(seen([*THREE, drained("d", 9, since=NOW - 500, draining=False)]), spec(3))
    assert isinstance(action, StartDrain)
    assert action.since == NOW - 500


def test_an_overdue_drain_is_a_warning_with_its_figures() -> None:
    late = drained("d", 9, since=NOW - 601)
    (action,) = plan_replicas(seen([*THREE, late]), spec(3))
    assert action.warning
    assert action.reason == "DrainOverdue"
    assert "9 connections after 600 s" in action.message
    assert is_overdue(late, seen([late]), spec(1))


def test_messages_tell_the_figures() -> None:
    (drain,) = plan_replicas(seen(THREE), spec(1, min_replicas=2))
    assert drain.message == (
        "draining b with 100 of 600 connections, at 100/s for the fleet: "
        "1 are requested, and minReplicas is 2, there are 3"
    )
    (up,) = plan_replicas(seen(THREE), spec(9, max_replicas=5))
    assert up.message == "3 → 5 replicas: 9 are requested, and maxReplicas is 5"


def test_the_order_in_which_pods_are_listed_does_not_matter() -> None:
    pods = [*THREE, drained("d", 0), drained("e", 9), pending("f"), pod("g", None)]
    assert told(seen(pods), spec(3)) == told(seen(pods[::-1]), spec(3)) == ["first f", "first d", "drain b"]
