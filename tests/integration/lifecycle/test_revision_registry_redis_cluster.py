"""What servers tell each other of rollouts and drains, through a Redis Cluster."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from kit.lifecycle import ReceiversByHand, StateByHand
from kit.servers.redis_cluster import RedisCluster
from kit.waiting import eventually
from tradecast.config.settings import load_settings
from tradecast.lifecycle.draining.pacing import FleetPace
from tradecast.lifecycle.revision_registry import RevisionRegistry
from tradecast.lifecycle.rollout import Rollout
from tradecast.redis_client.client import RedisClient, create_redis

pytestmark = pytest.mark.redis


@pytest.fixture
async def redis(redis_cluster: RedisCluster) -> AsyncIterator[RedisClient]:
    client = create_redis(load_settings({}, redis_url=redis_cluster.url))
    yield client
    await client.aclose()


async def test_rollout_drain_and_a_cluster_that_was_away(redis: RedisClient, redis_cluster: RedisCluster) -> None:
    of_old, of_new = Rollout(), Rollout()
    old = RevisionRegistry(redis, "a", "1", StateByHand(), of_old, patience=20)
    new = RevisionRegistry(redis, "b", "2", StateByHand(), of_new, patience=20)
    for fleet in (old, new, old):
        await fleet.refresh()
    assert (of_old.superseded, of_new.superseded, old.servers) == (True, False, 2)

    pace = FleetPace(redis, ReceiversByHand(), patience=10, jitter=lambda: 0.0, leave_alone=0.0)
    other = FleetPace(redis, ReceiversByHand(), patience=10, jitter=lambda: 0.0, leave_alone=0.0)
    started = time.monotonic()
    first, second = await pace.reserve(1_000, 100), await other.reserve(1_000, 100)
    # not by first[0]: that is late by the way back of its answer
    assert second[0] >= started + len(first) / 100 - 0.001

    for node in redis_cluster.nodes:
        await redis_cluster.kill(node)
    await old.refresh()
    assert (of_old.superseded, old.servers) == (False, 0)
    assert await pace.reserve(1, 100)
    for node in redis_cluster.nodes:
        node.start_now()
    await redis_cluster.start(redis_cluster.nodes[0])

    async def told_again() -> bool:
        await new.refresh()
        await old.refresh()
        return of_old.superseded and not of_new.superseded

    await eventually(told_again)
    await redis_cluster.move_slots(4)
    await old.refresh()
    assert (of_old.superseded, old.servers) == (True, 2)
    assert await pace.reserve(1, 100)
