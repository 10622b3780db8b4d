"""A SocketFleet as the API server has it."""

from __future__ import annotations

import copy

import pytest

from kit.kubernetes.fake_api import fleet_body
from tradecast_operator.model.resource import PAUSED, FleetResource, SpecInvalid, read_spec


def test_a_new_generation_or_a_pause_asks_for_something_else_and_a_status_does_not() -> None:
    resource = FleetResource(fleet_body())
    body = copy.deepcopy(resource.body)
    body["status"] = {"replicas": 2}
    body["metadata"]["resourceVersion"] = "2"
    assert not resource.update(body)
    paused = copy.deepcopy(body)
    paused["metadata"]["annotations"] = {PAUSED: "True"}
    assert resource.update(paused)
    newer = copy.deepcopy(paused)
    newer["metadata"]["generation"] = 2
    assert resource.update(newer)
    assert resource.body is newer


def test_what_is_written_into_the_status_does_not_change_the_body_that_was_observed() -> None:
    resource = FleetResource(fleet_body())
    observed = resource.body
    resource.set_status({"replicas": 2})
    resource.set_status({"mode": "pubsub"})
    assert resource.status == {"replicas": 2, "mode": "pubsub"}
    assert "status" not in observed


@pytest.mark.parametrize(("spec", "deployment"), [({"deployment": "x", "replicas": "?"}, "x"), (None, ""), ([], "")])
def test_the_deployment_is_known_even_of_an_invalid_spec(spec: object, deployment: str) -> None:
    body = {**fleet_body(), "spec": spec}
    assert FleetResource(body).deployment == deployment
    with pytest.raises(SpecInvalid, match="the SocketFleet's spec is invalid"):
        read_spec(body)
