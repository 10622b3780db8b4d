"""All fleets of an operator: which there are, and what is told of them."""

from __future__ import annotations

import asyncio

from support.kubernetes import FakeKubernetes, fleet_body
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
