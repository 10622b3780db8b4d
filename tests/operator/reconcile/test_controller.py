"""All fleets of an operator: which there are, and what is told of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import httpx
import pytest

from kit.kubernetes.fake_api import NAMESPACE, FakeKubernetes, fleet_body, pod_body
from kit.waiting import eventually
from tradecast_operator.clients.pod_http import Answer, PodClient
from tradecast_operator.kube.client import Object
from tradecast_operator.kube.observe import DRAIN_SINCE
from tradecast_operator.model.resource import PAUSED
from tradecast_operator.reconcile.controller import FleetController


async def test_nothing_is_reported_of_a_fleet_that_goes_in_the_middle_of_a_round() -> None:
    kubernetes = FakeKubernetes(replicas=2)
    read = kubernetes.deployment
    asked_for, answered = asyncio.Event(), asyncio.Event()

    async def late(namespace: str, name: str) -> Object:
        asked_for.set()
        await answered.wait()
        return await read(namespace, name)

    kubernetes.deployment = late  # type: ignore[method-assign]
    fleets = FleetController(kubernetes, every=60)
    body = fleet_body()
    fleets.update(body)
    try:
        async with asyncio.timeout(10):
            await asked_for.wait()
            assert any(family.samples for family in fleets.metrics.registry.collect())
            answered.set()
            fleets.remove(body["metadata"]["namespace"], body["metadata"]["name"])
            while fleets._releasing:
                await asyncio.gather(*fleets._releasing)
    finally:
        await fleets.close()
    assert [sample for family in fleets.metrics.registry.collect() for sample in family.samples] == []


async def test_what_an_operator_leaves_another_one_has_at_once() -> None:
    kubernetes = FakeKubernetes([pod_body("a")], replicas=2)
    both = [FleetController(kubernetes, every=0.01), FleetController(kubernetes, every=0.01)]
    try:
        for fleets in both:
            fleets.update(fleet_body())
            await eventually(fleets.is_ready)
            await eventually(lambda: active(both[0]))
        assert not active(both[1])
        await both[0].close()
        await eventually(lambda: active(both[1]))
    finally:
        for fleets in both:
            await fleets.close()
    assert kubernetes.leases["fleet-operator"]["spec"]["holderIdentity"] == ""


async def test_of_two_that_name_one_deployment_the_older_has_it() -> None:
    kubernetes = FakeKubernetes([pod_body("a")], replicas=2)
    fleets = FleetController(kubernetes, every=0.01)
    older, younger = made("older", "2026-01-01T10:00:00Z", 3), made("younger", "2026-01-01T10:00:01Z", 5)
    try:
        fleets.update(younger)
        await eventually(lambda: kubernetes.replicas == 5)
        fleets.update(older)
        await eventually(lambda: kubernetes.replicas == 3)
        await eventually(lambda: degraded(kubernetes) == "DeploymentShared")
        told = next(one for one in last(kubernetes)["conditions"] if one["type"] == "Degraded")
        assert told["message"].startswith("the older SocketFleet older alone acts on the same Deployment servers")
        elsewhere = made("elsewhere", "2025-01-01T10:00:00Z", 9)
        elsewhere["metadata"]["namespace"] = "another"
        fleets.update(elsewhere)
        await eventually(fleets.is_ready)
        assert fleets.find_owner("another", "elsewhere") == fleets.find_owner(NAMESPACE, "older") == ""
        fleets.remove("another", "elsewhere")
        fleets.remove(NAMESPACE, "older")
        await eventually(lambda: kubernetes.replicas == 5)
    finally:
        await fleets.close()


async def test_the_younger_one_of_a_deployment_that_goes_cancels_no_drain_of_the_older() -> None:
    kubernetes, fleets = with_a_drain()
    for body in (made("older", "2026-01-01T10:00:00Z", 1), made("younger", "2026-01-01T10:00:01Z", 1)):
        body["metadata"]["annotations"] = {PAUSED: "true"}
        fleets.update(body)
    try:
        await eventually(lambda: len(kubernetes.statuses) >= 2)
        fleets.remove(NAMESPACE, "younger")
        await asyncio.gather(*fleets._releasing)
        assert kubernetes.pod("a")["metadata"]["annotations"] == {DRAIN_SINCE: "1"}
        fleets.remove(NAMESPACE, "older")
        await asyncio.gather(*fleets._releasing)
        assert kubernetes.pod("a")["metadata"]["annotations"] == {}
    finally:
        await fleets.close()


@pytest.mark.parametrize("error", [httpx.ConnectError("no"), httpx.ReadTimeout("late"), RuntimeError("?")])
async def test_one_that_cannot_be_released_does_not_keep_another_of_its_name_waiting(error: Exception) -> None:
    kubernetes, fleets = with_a_drain()
    body = fleet_body()
    body["metadata"]["annotations"] = {PAUSED: "true"}
    fleets.update(body)
    mark = kubernetes.mark_pod

    async def fail(*_: object, **__: object) -> None:
        raise error

    try:
        await eventually(lambda: kubernetes.statuses)
        kubernetes.mark_pod = fail  # type: ignore[method-assign]
        fleets.update({**body, "metadata": {**body["metadata"], "uid": "another"}})
        await asyncio.gather(*fleets._releasing, return_exceptions=True)
        kubernetes.mark_pod = mark  # type: ignore[method-assign]
        await eventually(lambda: active(fleets))
    finally:
        await fleets.close()


async def test_one_whose_deletion_no_watch_has_reported_is_left_alone_by_and_by() -> None:
    kubernetes = FakeKubernetes([pod_body("a"), pod_body("b")], replicas=2)
    fleets = FleetController(kubernetes, every=0.01)
    fleets.update(fleet_body(replicas=3))
    try:
        await eventually(lambda: kubernetes.replicas == 3)
        kubernetes.gone = True
        # What is collected as garbage with it; and a person writes the replicas.
        kubernetes.leases.clear()
        kubernetes.deployments["servers"]["spec"]["replicas"] = 1
        await eventually(lambda: not fleets._fleets)
        kubernetes.deployments["servers"]["spec"]["replicas"] = 1
        await asyncio.gather(*fleets._releasing)
        assert kubernetes.replicas == 1
    finally:
        await fleets.close()


class Obedient(PodClient):
    """Every server does as it is told."""

    async def request(
        self, method: str, address: str, port: int, path: str, headers: Mapping[str, str], body: bytes = b""
    ) -> Answer:
        return Answer(200, {}, b"{}")


def with_a_drain() -> tuple[FakeKubernetes, FleetController]:
    """Two servers, of which the first is being drained; they do as they are told."""
    drained = pod_body("a", "127.0.0.99")
    drained["metadata"]["annotations"][DRAIN_SINCE] = "1"
    kubernetes = FakeKubernetes([drained, pod_body("b")], replicas=2)
    return kubernetes, FleetController(kubernetes, every=60, client=Obedient())


def made(name: str, when: str, replicas: int) -> Object:
    body = fleet_body(replicas=replicas)
    body["metadata"] |= {"name": name, "uid": f"uid-{name}", "creationTimestamp": when}
    return body


def last(kubernetes: FakeKubernetes) -> Object:
    """The last status of the younger one, which wants five."""
    return next(one for one in reversed(kubernetes.statuses) if one.get("desiredReplicas") == 5)


def degraded(kubernetes: FakeKubernetes) -> str:
    return str(next(one["reason"] for one in last(kubernetes)["conditions"] if one["type"] == "Degraded"))


def active(fleets: FleetController) -> bool:
    labels = {"namespace": NAMESPACE, "fleet": "fleet"}
    return bool(fleets.metrics.registry.get_sample_value("tradecast_operator_active", labels))
