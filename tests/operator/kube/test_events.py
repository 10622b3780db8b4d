"""Events about a SocketFleet."""

from __future__ import annotations

import httpx
import pytest

from kit.kubernetes.fake_api import NAMESPACE, FakeKubernetes, fleet_body
from tradecast_operator.kube import events as module
from tradecast_operator.kube.client import Object
from tradecast_operator.kube.events import EventRecorder
from tradecast_operator.model.actions import Action
from tradecast_operator.model.resource import FleetResource

UP = Action(reason="ScaledUp", message="2 → 4 replicas")


async def test_an_event_names_the_fleet_and_says_why() -> None:
    kubernetes = FakeKubernetes()
    recorder = EventRecorder(kubernetes, FleetResource(fleet_body()))
    await recorder.record([UP, Action(reason="DrainOverdue", message="x" * 2_000, warning=True)], prefix="dry run: ")
    first, second = kubernetes.events
    assert (first["type"], first["reason"], first["message"]) == ("Normal", "ScaledUp", "dry run: 2 → 4 replicas")
    involved = first["involvedObject"]
    assert (involved["kind"], involved["name"], involved["uid"]) == ("SocketFleet", "fleet", "fleet-uid")
    assert first["metadata"]["namespace"] == NAMESPACE
    assert (second["type"], len(second["message"])) == ("Warning", 1_024)


async def test_the_same_event_is_repeated_after_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    kubernetes = FakeKubernetes()
    recorder = EventRecorder(kubernetes, FleetResource(fleet_body()))
    await recorder.record([UP, UP])
    await recorder.record([UP])
    assert len(kubernetes.events) == 1
    monkeypatch.setattr(module, "REPEATED_AFTER", 0.0)
    await recorder.record([UP])
    assert len(kubernetes.events) == 2


async def test_an_event_that_cannot_be_written_stops_nothing() -> None:
    kubernetes = FakeKubernetes()

    async def refuse(namespace: str, body: Object) -> None:
        raise httpx.ConnectError("no")

    kubernetes.create_event = refuse  # type: ignore[method-assign]
    await EventRecorder(kubernetes, FleetResource(fleet_body())).record([UP])
    assert kubernetes.events == []
