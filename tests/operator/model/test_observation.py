"""A fleet as it was observed at one moment."""

from __future__ import annotations

import pytest

from tradecast_operator.model.observation import Observation, Pod, Stats

ANSWERS, WAITS, SILENT = Pod("a", "1", stats=Stats(7)), Pod("b", "2", started=False), Pod("c", "3")
ENDS = Pod("d", "4", terminating=True, stats=Stats(5))


@pytest.mark.parametrize(("pod", "connections"), [(ANSWERS, 7), (WAITS, 0), (SILENT, None), (ENDS, 5)])
def test_clients_of_a_pod(pod: Pod, connections: int | None) -> None:
    assert pod.connections == connections


@pytest.mark.parametrize(
    ("pods", "complete", "total"),
    [((), True, 0), ((ANSWERS, WAITS, ENDS), True, 12), ((ANSWERS, SILENT, ENDS), False, 12)],
)
def test_all_are_known_once_every_pod_answers(pods: tuple[Pod, ...], complete: bool, total: int) -> None:
    seen = Observation(0, len(pods), "1", rolling=False, pods=pods)
    assert (seen.complete, seen.total) == (complete, total)
    assert Pod("a", "1", ready_since=0).ready
    assert not ANSWERS.ready
