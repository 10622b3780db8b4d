"""The number that the autoscaler reads."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kit.kubernetes.socket_fleets import NOW, drained, pending, pod, seen, silent
from tradecast_operator.model.observation import Observation
from tradecast_operator.model.spec import Metric
from tradecast_operator.planning.autoscaler_metric import Reading, Unknown, count_connections, update_reading

RULES = Metric(hold=120, stale=30)
FLEET = [pod("a", 300), pod("b", 200), drained("c", 90), pod("d", 9, ready_since=None, terminating=True)]


def after(*fleets: tuple[float, Observation], rules: Metric = RULES) -> Reading:
    """The reading after these were seen, each so many seconds from the beginning."""
    reading = Reading()
    for at, fleet in fleets:
        reading = update_reading(replace(fleet, time=NOW + at), reading, rules)
    return reading


def told(reading: Reading, at: float, rules: Metric = RULES) -> int:
    return count_connections(reading, NOW + at, rules)


def test_all_clients_count_those_of_pods_that_drain_or_end_included() -> None:
    assert told(after((0, seen(FLEET))), 0) == 599


def test_it_rises_at_once() -> None:
    assert told(after((0, seen(FLEET)), (5, seen([*FLEET, pod("e", 5000)]))), 5) == 5599


def test_the_clients_of_a_pod_that_is_gone_count_for_a_while() -> None:
    gone = after((0, seen(FLEET)), (5, seen(FLEET[:2])), (100, seen(FLEET[:2])))
    assert told(gone, 100) == 599
    gone = update_reading(seen(FLEET[:2], time=NOW + 119), gone, RULES)
    assert told(gone, 119) == 599
    assert told(gone, 121) == 500
    assert told(update_reading(seen(FLEET[:2], time=NOW + 125), gone, RULES), 125) == 500
    short = Metric(hold=10)
    assert told(after((0, seen(FLEET)), (15, seen(FLEET[:2])), rules=short), 15, short) == 500


def test_the_clients_of_a_server_that_crashed_count_for_a_while() -> None:
    assert told(after((0, seen(FLEET)), (5, seen([pending("a"), *FLEET[1:]]))), 5) == 599


def test_it_follows_a_fleet_that_empties_a_hold_later() -> None:
    fleets = [(5.0 * at, seen([pod("a", 6000 - 5 * at)])) for at in range(100)]
    reading = after(*fleets)
    assert told(reading, 495) == 6000 - 495 + 115  # the reading of 380 s is the oldest that is younger than 120 s
    assert len(reading.totals) <= 25


def test_nothing_is_reported_before_the_fleet_was_seen_whole() -> None:
    with pytest.raises(Unknown, match="not been observed completely yet"):
        told(Reading(), 0)
    with pytest.raises(Unknown, match="not been observed completely yet"):
        told(after((0, seen([*FLEET, pod("e", None)]))), 0)
    with pytest.raises(Unknown):
        told(after((0, seen([*FLEET, pod("e", None, ready_since=None)]))), 0)


def test_what_is_partial_never_lowers_it_and_becomes_stale() -> None:
    partial = after((0, seen(FLEET)), *((at, seen([silent(FLEET[0]), *FLEET[1:]])) for at in range(5, 40, 5)))
    assert told(partial, 30) == 599
    with pytest.raises(Unknown, match="last complete observation is 31 s old; 30 s are allowed"):
        told(partial, 31)
    assert told(update_reading(seen(FLEET, time=NOW + 40), partial, RULES), 40) == 599


def test_nothing_is_reported_when_the_operator_has_stopped_looking() -> None:
    with pytest.raises(Unknown):
        told(after((0, seen(FLEET))), 31)


def test_an_empty_fleet_has_none() -> None:
    assert told(after((0, seen([]))), 0) == 0


def test_what_a_server_last_held_decays_once_it_is_out_of_service_and_silent() -> None:
    """One on a dead node stays for minutes, or for ever; its clients are back at the others soon."""
    dead = pod("a", None, ready_since=None)

    def at(seconds: int, rules: Metric = RULES) -> int:
        fleets = [(0.0, seen(FLEET)), *((float(at), seen([dead, *FLEET[1:]])) for at in range(5, seconds + 1, 5))]
        return told(after(*fleets, rules=rules), seconds, rules)

    assert at(5) == at(115) == 599, "the hold"
    assert at(180) == 299 + 138, "what is left of 300 after 65 s, the most of the hold time"
    assert at(240) == at(900) == 299
    assert at(5, Metric(hold=0)) == 299


def test_clients_of_a_dead_node_that_are_back_elsewhere_do_not_count_twice() -> None:
    """As on a node with 5 of 9 servers, which Kubernetes does not delete as long as nobody answers for it."""
    alive = [pod(name, 1_000) for name in "abcd"]
    lost = [pod(name, 1_000) for name in "efghi"]
    dead = [pod(one.name, None, ready_since=None, terminating=True) for one in lost]
    back = [pod(one.name, 2_250) for one in alive]
    fleets = [(0.0, seen([*alive, *lost])), *((float(at), seen([*back, *dead])) for at in range(60, 400, 5))]
    assert told(after(*fleets), 395) == 9_000


def test_of_a_large_fleet_some_servers_may_be_silent_and_count_what_they_last_held() -> None:
    fleet = [pod(str(number), 100) for number in range(100)]
    few = [*(pod(str(number), None) for number in range(2)), *fleet[2:]]
    many = [*(pod(str(number), None) for number in range(3)), *fleet[3:]]
    assert told(after((0, seen(few))), 0) == 10_000, "a new operator takes the mean for them"
    assert told(after((0, seen(fleet)), (5, seen(few)), rules=Metric(hold=0)), 5, Metric(hold=0)) == 10_000
    with pytest.raises(Unknown):
        told(after((0, seen(many))), 0)
    with pytest.raises(Unknown, match="40 s old"):
        told(after((0, seen(fleet)), *((at, seen(many)) for at in range(5, 45, 5))), 40)


def test_a_new_operator_waits_for_a_silent_server_out_of_service_and_not_for_ever() -> None:
    hangs = pod("e", None, ready_since=None)
    fleets = [(float(at), seen([*FLEET, hangs])) for at in range(0, 125, 5)]
    with pytest.raises(Unknown):
        told(after(*fleets[:-1]), 115)
    assert told(after(*fleets), 120) == 599


def test_a_server_that_hangs_at_its_start_does_not_hide_the_others() -> None:
    hangs = pod("e", None, ready_since=None)
    assert told(after((0, seen(FLEET)), *((at, seen([*FLEET, hangs])) for at in range(5, 500, 5))), 495) == 599


def test_a_pod_on_a_dead_node_that_is_deleted_does_not_keep_a_new_operator_from_a_number() -> None:
    dead = pod("e", None, ready_since=None, terminating=True)
    assert told(after((0, seen([*FLEET, dead]))), 0) == 599
