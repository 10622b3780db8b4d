"""A fleet as it was observed at one moment."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tradecast_operator.model.observation import Observation, Pod, Stats

ANSWERS, WAITS, SILENT = Pod("a", "1", stats=Stats(7)), Pod("b", "2", started=False), Pod("c", "3")
ENDS = Pod("d", "4", terminating=True, stats=Stats(5))


@pytest.mark.parametrize(("pod", "connections"), [(ANSWERS, 7), (WAITS, 0), (SILENT, None), (ENDS, 5)])
def test_clients_of_a_pod(pod: Pod, connections: int | None) -> None:
    assert pod.connections == connections


@pytest.mark.parametrize(
    ("pods", "complete", "total"),
    [
        ((), True, 0),
        ((ANSWERS, WAITS, ENDS), True, 12),
        # It is out of service, perhaps on a dead node: nothing waits for its answer.
        ((ANSWERS, SILENT, ENDS), True, 12),
        ((ANSWERS, replace(SILENT, ready_since=0)), False, 7),
        ((ANSWERS, replace(SILENT, ready_since=0, terminating=True)), True, 7),
    ],
)
def test_all_are_known_once_every_pod_in_service_answers(pods: tuple[Pod, ...], complete: bool, total: int) -> None:
    seen = Observation(0, len(pods), "1", rolling=False, pods=pods)
    assert (seen.complete, seen.total) == (complete, total)
    assert Pod("a", "1", ready_since=0).ready
    assert not ANSWERS.ready


@pytest.mark.parametrize(
    ("pods", "silent", "complete"),
    [(49, 1, False), (50, 1, True), (50, 2, False), (4_000, 80, True), (4_000, 81, False)],
)
def test_of_a_large_fleet_some_may_be_silent(pods: int, silent: int, complete: bool) -> None:
    fleet = [Pod(str(number), str(number), 0.0, stats=None if number < silent else Stats(1)) for number in range(pods)]
    assert Observation(0, pods, "1", rolling=False, pods=fleet).complete is complete
