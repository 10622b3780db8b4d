"""The status of a SocketFleet."""

from __future__ import annotations

import pytest
import yaml

from kit.kubernetes.crd import CRD
from kit.kubernetes.socket_fleets import NOW, drained, pending, pod, seen, spec
from tradecast_operator.model.observation import Observation
from tradecast_operator.model.spec import Spec
from tradecast_operator.planning.conditions import (
    LONGEST_MESSAGE,
    MOST_CONDITIONS,
    Condition,
    describe_failure,
    describe_fleet,
    describe_trust,
    list_names,
    merge_conditions,
    round_count,
)

TWO = [pod("a", 300), pod("b", 100)]


def told(fleet: Observation, wanted: Spec, *, paused: bool = False) -> dict[str, str]:
    """Each condition's status and reason."""
    return {one.type: f"{one.status} {one.reason}" for one in describe_fleet(fleet, wanted, paused=paused)}


@pytest.mark.parametrize(
    ("fleet", "wanted", "condition", "status"),
    [
        (seen(TWO), spec(2), "Available", "True EnoughReady"),
        (seen(TWO), spec(2, min_replicas=3), "Available", "False TooFewReady"),
        (seen(TWO), spec(2), "Progressing", "False Stable"),
        (seen(TWO), spec(3), "Progressing", "True ScalingUp"),
        (seen(TWO), spec(1), "Progressing", "True ScalingDown"),
        (seen([*TWO, pending("c")]), spec(3), "Progressing", "True PodsStarting"),
        (seen(TWO, rolling=True), spec(3), "Progressing", "True RollingOut"),
        (seen(TWO), spec(2), "Draining", "False NoDrain"),
        (seen([*TWO, drained("c", 9)]), spec(2), "Draining", "True Draining"),
        (seen([*TWO, drained("c", 9, since=NOW - 601)]), spec(2), "Draining", "True Overdue"),
        (seen([*TWO, drained("c", 9, terminating=True)]), spec(2), "Draining", "False NoDrain"),
        (seen(TWO), spec(2), "Degraded", "False AsExpected"),
        (seen(TWO), spec(2, max_replicas=1), "Degraded", "False Bounded"),
        (seen([*TWO, pod("c", None)]), spec(3), "Degraded", "True ServersSilent"),
        # These begin and end, and are silent for a moment.
        (seen([*TWO, pod("c", None, ready_since=None)]), spec(3), "Degraded", "False AsExpected"),
        (seen([*TWO, pod("c", None, ready_since=None, terminating=True)]), spec(2), "Degraded", "False AsExpected"),
    ],
)
def test_conditions(fleet: Observation, wanted: Spec, condition: str, status: str) -> None:
    assert told(fleet, wanted)[condition] == status


def test_a_paused_fleet_says_so() -> None:
    assert told(seen(TWO), spec(5), paused=True)["Progressing"] == "False Paused"


def test_a_fleet_that_cannot_be_seen() -> None:
    assert [(one.type, one.status) for one in describe_failure("no such Deployment")] == [
        ("Available", "Unknown"),
        ("Degraded", "True"),
    ]


def test_a_fleet_that_says_what_is_invalid() -> None:
    assert {one.reason for one in describe_failure("replicas: no number", "SpecInvalid")} == {"SpecInvalid"}


def test_who_gets_what_opens_the_admin_ports() -> None:
    assert (describe_trust([], has_token=True).status, describe_trust([], has_token=True).reason) == ("True", "Signed")
    assert (describe_trust([], has_token=False).status, describe_trust([], has_token=False).reason) == (
        "Unknown",
        "NoToken",
    )
    found = describe_trust([("TokenSent", "to a"), ("ForeignPods", "b " * 5_000)], has_token=True)
    assert (found.status, found.reason, found.message[:10]) == ("False", "TokenSent", "to a; b b ")
    assert len(found.message) <= 2_000


def test_of_many_names_some_are_reported() -> None:
    assert list_names(["b", "a"]) == "a, b"
    assert list_names([str(number) for number in range(9)]) == "0, 1, 2, 3, 4 and 4 more"


def test_a_condition_keeps_the_time_since_which_it_has_its_status() -> None:
    first = merge_conditions([], [Condition("Available", "True", "EnoughReady", "2 ready")], 1, 0)
    assert first[0]["lastTransitionTime"] == "1970-01-01T00:00:00Z"
    again = merge_conditions(first, [Condition("Available", "True", "EnoughReady", "3 ready")], 2, 60)
    assert again[0]["lastTransitionTime"] == "1970-01-01T00:00:00Z"
    assert (again[0]["message"], again[0]["observedGeneration"]) == ("3 ready", 2)
    other = merge_conditions(again, [Condition("Available", "False", "TooFewReady", "0 ready")], 2, 60)
    assert other[0]["lastTransitionTime"] == "1970-01-01T00:01:00Z"


def test_conditions_that_nobody_reports_again_stay() -> None:
    first = merge_conditions([], [Condition("A", "True", "X", ""), Condition("B", "True", "X", "")], 1, 0)
    later = merge_conditions(first, [Condition("B", "False", "X", "")], 1, 60)
    assert {one["type"]: one["status"] for one in later} == {"A": "True", "B": "False"}


@pytest.mark.parametrize(("count", "told"), [(0, 0), (7, 7), (99, 99), (101, 100), (1234, 1200), (98_765, 99_000)])
def test_numbers_are_rounded_to_two_digits(count: int, told: int) -> None:
    assert round_count(count) == told


def test_of_a_large_fleet_a_few_silent_servers_are_no_reason_to_complain_of_it() -> None:
    fleet = [*(pod(str(number), None) for number in range(2)), *(pod(str(number)) for number in range(2, 100))]
    assert told(seen(fleet), spec(100))["Degraded"] == "False AsExpected"
    assert told(seen([pod("0", None), *fleet]), spec(101))["Degraded"] == "True ServersSilent"


def test_conditions_are_bounded_in_number_and_length() -> None:
    before = [{"type": f"Another{number}", "status": "True", "message": "x"} for number in range(1_000)]
    merged = merge_conditions(before, [Condition("Degraded", "True", "NotSeen", "x" * 100_000)], 1, NOW)
    assert len(merged) == 20
    assert (merged[0]["type"], len(merged[0]["message"])) == ("Degraded", 2_000)


def test_the_crd_takes_what_is_written_at_most() -> None:
    document = yaml.safe_load(CRD.read_text(encoding="utf-8"))
    status = document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    conditions = status["properties"]["conditions"]
    assert conditions["maxItems"] == MOST_CONDITIONS
    assert conditions["items"]["properties"]["message"]["maxLength"] > LONGEST_MESSAGE
