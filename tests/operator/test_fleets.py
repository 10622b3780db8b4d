"""All fleets of an operator: which there are, and what is told of them."""

from __future__ import annotations

import asyncio

from support.eventually import eventually
from support.kubernetes import NAMESPACE, FakeKubernetes, fleet_body, pod_body
from tradecast_operator.fleets import Fleets
from tradecast_operator.kubernetes import Object


async def test_nothing_is_told_of_a_fleet_that_goes_in_the_middle_of_a_round() -> None:
    kubernetes = FakeKubernetes(replicas=2)
    read = kubernetes.deployment
    asked_for, answered = asyncio.Event(), asyncio.Event()

    async def late(namespace: str, name: str) -> Object:
        asked_for.set()
        await answered.wait()
        return await read(namespace, name)

    kubernetes.deployment = late  # type: ignore[method-assign]
    fleets = Fleets(every=60)
    fleets._kubernetes = kubernetes
    body = fleet_body()
    fleets.saw(body)
    try:
        async with asyncio.timeout(10):
            await asked_for.wait()
            assert any(family.samples for family in fleets.metrics.registry.collect())
            answered.set()
            fleets.lost(body["metadata"]["namespace"], body["metadata"]["name"])
            while fleets._releasing:
                await asyncio.gather(*fleets._releasing)
    finally:
        await fleets.close()
    assert [sample for family in fleets.metrics.registry.collect() for sample in family.samples] == []


async def test_what_an_operator_leaves_another_one_has_at_once() -> None:
    kubernetes = FakeKubernetes([pod_body("a")], replicas=2)
    both = [Fleets(every=0.01), Fleets(every=0.01)]
    try:
        for fleets in both:
            fleets._kubernetes = kubernetes
            fleets.saw(fleet_body())
            await eventually(fleets.is_ready)
            await eventually(lambda: active(both[0]))
        assert not active(both[1])
        await both[0].close()
        await eventually(lambda: active(both[1]))
    finally:
        for fleets in both:
            await fleets.close()
    assert kubernetes.leases["fleet-operator"]["spec"]["holderIdentity"] == ""


def active(fleets: Fleets) -> bool:
    labels = {"namespace": NAMESPACE, "fleet": "fleet"}
    return bool(fleets.metrics.registry.get_sample_value("tradecast_operator_active", labels))
