"""Rounds of a fleet: real servers on loopback addresses, Kubernetes in memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kit.kubernetes.fake_api import FakeKubernetes
from kit.kubernetes.rounds import World, asked, conditions, two_pods
from kit.waiting import eventually
from tradecast_operator.kube.client import Object
from tradecast_operator.kube.lease import NotHeld


async def test_what_is_as_it_should_be_stays(world: World) -> None:
    kubernetes = FakeKubernetes(two_pods())
    fleet = world.fleet(kubernetes, asked(world))
    assert await fleet.round() == "ok"
    assert kubernetes.replicas == 2
    assert kubernetes.events == []
    status = kubernetes.statuses[-1]
    assert (status["replicas"], status["readyReplicas"], status["desiredReplicas"]) == (2, 2, 2)
    assert (status["connections"], status["mode"]) == (1, "single")
    assert status["selector"] == "app.kubernetes.io/name=tradecast"
    assert conditions(kubernetes)["Available"] == ("True", "EnoughReady")
    assert fleet.connections() == 1
    await fleet.round()
    assert len(kubernetes.statuses) == 1, "what has not changed was written again"


async def test_a_fleet_without_replicas_begins_with_what_is_there(world: World) -> None:
    kubernetes = FakeKubernetes(two_pods(), replicas=7)
    body = asked(world)
    del body["spec"]["replicas"]
    await world.fleet(kubernetes, body).round()
    assert kubernetes.fleet_replicas == [7]
    assert kubernetes.replicas == 7


async def test_a_fleet_that_is_gone_leaves_no_server_out_of_service(world: World) -> None:
    kubernetes = FakeKubernetes(two_pods())
    fleet = world.fleet(kubernetes, asked(world, replicas=1))
    await fleet.round()
    assert world.servers[1].app.get_stats()["drain"]["active"]
    await fleet.release()
    assert not world.servers[1].app.get_stats()["drain"]["active"]
    assert not kubernetes.pod("b")["metadata"]["annotations"]
    assert kubernetes.replicas == 2


async def test_a_fleet_is_reported_before_its_first_round_ends(world: World) -> None:
    kubernetes = FakeKubernetes(two_pods())
    asked_for = asyncio.Event()

    async def hang(namespace: str, name: str) -> Object:
        asked_for.set()
        return await asyncio.Future()

    kubernetes.deployment = hang  # type: ignore[method-assign]
    task = asyncio.create_task(world.fleet(kubernetes, asked(world)).run(60))
    try:
        async with asyncio.timeout(10):
            await asked_for.wait()
        assert world.told("last_round_timestamp_seconds")
        assert world.told("rounds_total", result="ok") == 0
    finally:
        task.cancel()


async def test_an_operator_that_waits_looks_on_and_knows_the_number(world: World) -> None:
    world.lease.grant(held=False)
    kubernetes = FakeKubernetes(two_pods())
    fleet = world.fleet(kubernetes, asked(world, replicas=5))
    with pytest.raises(NotHeld):
        await fleet.round()
    assert (kubernetes.replicas, kubernetes.statuses, kubernetes.events) == (2, [], [])
    assert fleet.connections() == 1
    world.lease.grant(held=True)
    await fleet.round()
    assert kubernetes.replicas == 5


@pytest.mark.parametrize("had", [False, True], ids=["not held before", "held, lost and got again"])
async def test_what_was_seen_before_the_lease_was_had_is_not_acted_on(world: World, had: bool) -> None:
    """Another operator may have acted between the look and the Lease."""
    world.lease.grant(held=had)
    kubernetes = FakeKubernetes(two_pods())
    listed = kubernetes.pods

    async def meanwhile(namespace: str, selector: str) -> Any:
        pods = await listed(namespace, selector)
        world.lease.grant(held=False)
        world.lease.grant(held=True)
        return pods

    kubernetes.pods = meanwhile  # type: ignore[method-assign]
    fleet = world.fleet(kubernetes, asked(world, replicas=5))
    with pytest.raises(NotHeld):
        await fleet.round()
    assert kubernetes.replicas == 2
    kubernetes.pods = listed  # type: ignore[method-assign]
    await fleet.round()
    assert kubernetes.replicas == 5


async def test_a_deployment_that_is_missing_is_reported_and_no_reason_to_start_again(world: World) -> None:
    kubernetes = FakeKubernetes(two_pods())
    kubernetes.deployments.clear()
    fleet = world.fleet(kubernetes, asked(world))
    fleet.last_round = 0
    running = asyncio.create_task(fleet.run(60))
    try:
        await eventually(lambda: kubernetes.statuses)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert fleet.last_round > 0
    assert conditions(kubernetes)["Available"][0] == "Unknown"
    assert any("does not exist" in one["message"] for one in kubernetes.statuses[-1]["conditions"])
