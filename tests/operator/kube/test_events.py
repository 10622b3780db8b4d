"""Events about a SocketFleet."""

from __future__ import annotations

import time

import httpx
import pytest

from kit.kubernetes.fake_api import NAMESPACE, FakeKubernetes, fleet_body
from tradecast_operator.kube import events as module
from tradecast_operator.kube.client import Object
from tradecast_operator.kube.events import EventRecorder
from tradecast_operator.model.actions import Action
from tradecast_operator.model.resource import FleetResource


class Counted:
    """Counts what is not written."""

    def __init__(self) -> None:
        self.suppressed = 0

    def report_suppressed_event(self) -> None:
        self.suppressed += 1


UP = Action(reason="ScaledUp", message="2 → 4 replicas")


async def test_an_event_names_the_fleet_and_says_why() -> None:
    kubernetes = FakeKubernetes()
    recorder = EventRecorder(kubernetes, FleetResource(fleet_body()), Counted())
    await recorder.record([UP, Action(reason="DrainOverdue", message="x" * 2_000, warning=True)], prefix="dry run: ")
    first, second = kubernetes.events
    assert (first["type"], first["reason"], first["message"]) == ("Normal", "ScaledUp", "dry run: 2 → 4 replicas")
    involved = first["involvedObject"]
    assert (involved["kind"], involved["name"], involved["uid"]) == ("SocketFleet", "fleet", "fleet-uid")
    assert first["metadata"]["namespace"] == NAMESPACE
    assert (second["type"], len(second["message"])) == ("Warning", 1_024)


async def test_the_same_event_is_repeated_after_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    kubernetes = FakeKubernetes()
    recorder = EventRecorder(kubernetes, FleetResource(fleet_body()), Counted())
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
    await EventRecorder(kubernetes, FleetResource(fleet_body()), Counted()).record([UP])
    assert kubernetes.events == []


async def test_of_too_many_events_the_first_are_written_and_warnings_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of pods that are drained, say."""
    kubernetes, counted = FakeKubernetes(), Counted()
    recorder = EventRecorder(kubernetes, FleetResource(fleet_body()), counted)
    await recorder.record([Action(reason="Draining", message=f"draining {number}") for number in range(500)])
    assert (len(kubernetes.events), counted.suppressed) == (75, 425)
    await recorder.record([Action(reason="DrainOverdue", message=f"{number}", warning=True) for number in range(50)])
    assert (len(kubernetes.events), counted.suppressed) == (100, 450)
    now = time.monotonic() + 20
    monkeypatch.setattr(time, "monotonic", lambda: now)
    await recorder.record([Action(reason="DrainOverdue", message=f"later {one}", warning=True) for one in range(9)])
    assert (len(kubernetes.events), counted.suppressed) == (102, 457)
