"""Why a fleet is not rolled now."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kit.kubernetes.socket_fleets import drained, pending, pod, seen, spec
from tradecast_operator.model.observation import Observation, Stats
from tradecast_operator.planning.rollout import predict_too_fast_rollout
from tradecast_operator.tuning.mode_obstacles import find_rollout_obstacle


def test_a_quiet_fleet_can_be_rolled() -> None:
    assert find_rollout_obstacle(seen([pod("a"), pod("b")]), spec(2)) == ""


@pytest.mark.parametrize(
    ("fleet", "wanted", "says"),
    [
        (seen([pod("a"), pod("b")], rolling=True), 2, "a rollout is under way"),
        (seen([pod("a"), pod("b")], behind=True), 2, "a rollout is under way"),
        (seen([pod("a"), pod("b")], stuck=True), 2, "the last rollout does not progress"),
        (seen([pod("a"), drained("b", 5)]), 2, "b is draining"),
        (seen([pod("a"), pod("b", 5, draining=True)]), 2, "b is draining"),
        (seen([pod("a"), pod("b", 5, shedding=True)]), 2, "b is shedding clients"),
        (seen([pod("a"), pod("b")]), 3, "there are 2 pods, the Deployment has 2 replicas and 3 are wanted"),
        (seen([pod("a"), pod("b")], replicas=3), 3, "there are 2 pods, the Deployment has 3 replicas and 3 are wanted"),
        (seen([pod("a"), pending("b")]), 2, "b is starting or terminating"),
        (seen([pod("a"), pod("b"), pod("c", terminating=True)], replicas=2), 2, "c is starting or terminating"),
    ],
)
def test_one_that_is_changing_cannot(fleet: Observation, wanted: int, says: str) -> None:
    assert find_rollout_obstacle(fleet, spec(wanted)) == says


def test_one_whose_drain_is_too_short_for_its_clients_cannot() -> None:
    full = pod("a", stats=Stats(10_000, drain_rate=100, drain_time=60))
    told = predict_too_fast_rollout(seen([full]))
    assert told is not None
    assert told.startswith("the servers have 10000 clients; to disconnect them takes 100 s at 100/s")
    assert predict_too_fast_rollout(seen([replace(full, stats=Stats(6_000, drain_rate=100, drain_time=60))])) is None
