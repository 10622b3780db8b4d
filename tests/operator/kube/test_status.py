"""The status of a SocketFleet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from kit.kubernetes.fake_api import FakeKubernetes, Granted, fleet_body
from tradecast_operator.kube import status as module
from tradecast_operator.kube.lease import NotHeld
from tradecast_operator.kube.status import StatusWriter
from tradecast_operator.model.resource import FleetResource
from tradecast_operator.planning.conditions import Condition

AVAILABLE = Condition("Available", "True", "EnoughReady", "2 ready")


class Observer:
    """Notes the conditions."""

    def __init__(self) -> None:
        self.reported: list[Mapping[str, str]] = []

    def report_conditions(self, statuses: Mapping[str, str]) -> None:
        self.reported.append(statuses)


async def test_the_status_is_written_when_it_changes_and_reported_always() -> None:
    kubernetes, observer = FakeKubernetes(), Observer()
    resource = FleetResource(fleet_body())
    writer = StatusWriter(kubernetes, resource, Granted(), observer)
    for replicas in (2, 2, 3):
        await writer.write(resource.body, {"replicas": replicas}, [AVAILABLE])
    assert [status["replicas"] for status in kubernetes.statuses] == [2, 3]
    assert resource.status["replicas"] == 3
    assert observer.reported == [{"Available": "True"}] * 3


async def test_the_status_is_about_the_generation_that_was_observed() -> None:
    kubernetes, resource = FakeKubernetes(), FleetResource(fleet_body())
    observed = resource.body
    resource.update({**observed, "metadata": {**observed["metadata"], "generation": 2}})
    await StatusWriter(kubernetes, resource, Granted(), Observer()).write(observed, {}, [AVAILABLE])
    assert kubernetes.statuses[-1]["conditions"][0]["observedGeneration"] == 1


async def test_messages_alone_are_written_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their figures change in each round of a large fleet."""
    kubernetes, resource = FakeKubernetes(), FleetResource(fleet_body())
    writer = StatusWriter(kubernetes, resource, Granted(), Observer())
    for number in range(5):
        await writer.write(resource.body, {"replicas": 2}, [replace(AVAILABLE, message=f"{number} ready")])
    assert len(kubernetes.statuses) == 1
    await writer.write(resource.body, {"replicas": 2}, [replace(AVAILABLE, message="5 ready", status="False")])
    assert kubernetes.statuses[-1]["conditions"][0]["message"] == "5 ready"
    monkeypatch.setattr(module, "MESSAGES_EVERY", 0.0)
    await writer.write(resource.body, {"replicas": 2}, [replace(AVAILABLE, message="6 ready", status="False")])
    assert len(kubernetes.statuses) == 3


async def test_without_the_lease_nothing_is_written() -> None:
    kubernetes, resource = FakeKubernetes(), FleetResource(fleet_body())
    writer = StatusWriter(kubernetes, resource, Granted(held=False), Observer())
    with pytest.raises(NotHeld):
        await writer.write(resource.body, {"replicas": 2}, [AVAILABLE])
    assert kubernetes.statuses == []
