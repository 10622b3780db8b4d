"""Reporting on one fleet: events, metrics, conditions and the rest of the status."""

from __future__ import annotations

import asyncio

import pytest

from kit.kubernetes.fake_api import NAMESPACE, FakeKubernetes, pod_body
from kit.kubernetes.rounds import World, asked, conditions, two_pods
from kit.waiting import eventually
from tradecast_operator.kube.client import Missing, Object
from tradecast_operator.metrics import STATUSES
from tradecast_operator.planning.autoscaler_metric import Unknown


async def test_what_was_seen_is_reported_of_the_resource_as_it_was(world: World) -> None:
    """Else `observedGeneration` says that somebody's change has been seen, and `replicas` of it are overwritten."""
    kubernetes = FakeKubernetes(two_pods())
    body = asked(world)
    del body["spec"]["replicas"]
    read, adopted = kubernetes.deployment, []

    async def meanwhile(namespace: str, name: str) -> Object:
        newer = {**body["metadata"], "generation": 2, "resourceVersion": "2"}
        fleet.update({**body, "metadata": newer, "spec": {**body["spec"], "replicas": 2}})
        return await read(namespace, name)

    async def adopt(namespace: str, name: str, version: str, replicas: int) -> None:
        adopted.append(version)

    kubernetes.deployment, kubernetes.adopt_replicas = meanwhile, adopt  # type: ignore[method-assign]
    fleet = world.fleet(kubernetes, body)
    await fleet.round()
    assert adopted == ["1"]
    body = asked(world)
    fleet = world.fleet(kubernetes, body)
    await fleet.round()
    assert kubernetes.statuses[-1]["observedGeneration"] == 1
    await fleet.round()
    assert kubernetes.statuses[-1]["observedGeneration"] == 2


async def test_a_silent_server_is_reported_and_no_number_is(world: World) -> None:
    kubernetes = FakeKubernetes([*two_pods(), pod_body("c", "127.0.0.13")], replicas=3)
    fleet = world.fleet(kubernetes, asked(world, replicas=3))
    assert await fleet.round() == "incomplete"
    assert conditions(kubernetes)["Degraded"] == ("True", "ServersSilent")
    with pytest.raises(Unknown):
        fleet.connections()


async def test_what_it_reports_of_a_fleet(world: World) -> None:
    kubernetes = FakeKubernetes(two_pods())
    body = asked(world, replicas=4, drain={"timeoutSeconds": 90}, rebalance={"thresholdPercent": 150})
    fleet = world.fleet(kubernetes, body)
    await fleet.round()
    assert {which: world.told("replicas", which=which) for which in ("wanted", "asked", "ready", "draining")} == {
        "wanted": 4,
        "asked": 2,
        "ready": 2,
        "draining": 0,
    }
    assert (world.told("connections"), world.told("spread_ratio")) == (1, 2)
    assert (world.told("spread_threshold_ratio"), world.told("drain_limit_seconds")) == (1.5, 90)
    assert world.told("actions_total", reason="ScaledUp") == 1
    assert {status: world.told("condition", type="Available", status=status) for status in STATUSES} == {
        "True": 1,
        "False": 0,
        "Unknown": 0,
    }
    kubernetes.deployments.clear()
    with pytest.raises(Missing):
        await fleet.round()
    await fleet.run_round()
    assert (
        world.told("condition", type="Available", status="True"),
        world.told("condition", type="Available", status="Unknown"),
    ) == (0, 1)


async def test_somebody_who_writes_the_replicas_too_is_reported(world: World) -> None:
    kubernetes = FakeKubernetes(two_pods())
    fleet = world.fleet(kubernetes, asked(world, replicas=4))
    await fleet.round()
    assert world.told("replica_reversals_total") == 0
    for count in (2, 4):
        deployment = await kubernetes.deployment(NAMESPACE, "servers")
        await kubernetes.set_replicas(NAMESPACE, "servers", deployment["metadata"]["resourceVersion"], 2)
        await fleet.round()
        assert kubernetes.replicas == 4
        assert world.told("replica_reversals_total") == count


async def test_a_condition_that_was_reported_is_not_reported_by_one_that_has_lost_the_lease(world: World) -> None:
    """Else an alert on it would never end, whatever the other operator finds."""
    kubernetes = FakeKubernetes(two_pods())
    kubernetes.deployments.clear()
    fleet = world.fleet(kubernetes, asked(world))
    running = asyncio.create_task(fleet.run(0.01))
    told = {"type": "Degraded", "status": "True"}
    try:
        await eventually(lambda: world.told("condition", **told))
        world.lease.grant(held=False)
        await eventually(lambda: world.told("condition", **told) is None)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_what_is_reported_by_one_that_waits(world: World) -> None:
    kubernetes = FakeKubernetes(two_pods())
    fleet = world.fleet(kubernetes, asked(world, replicas=4))
    running = asyncio.create_task(fleet.run(0.01))
    try:
        await eventually(lambda: world.told("actions_total", reason="ScaledUp"))
        assert world.told("active") == 1
        world.lease.grant(held=False)
        await eventually(lambda: world.told("rounds_total", result="waiting"))
        assert world.told("active") == 0
        assert world.told("connections") is None
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await fleet.leave()
