"""Whether Redis evicts keys, as it says itself."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import structlog

from kit.contracts.broker import event, together
from kit.delivery.redis_brokers import Brokers, partitions_of
from kit.servers.in_process import MakeServer
from kit.servers.redis_cluster import RedisCluster
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.config.settings import load_settings
from tradecast.delivery.writer_factory import create_adapter_redis
from tradecast.redis_client.eviction import Eviction, EvictionWatch, find_eviction

pytestmark = pytest.mark.redis


@pytest.fixture
async def brokers(redis_server: RedisServer) -> AsyncIterator[Brokers]:
    async with Brokers(redis_server.url) as made:
        yield made


@pytest.mark.parametrize("policy", ["volatile-lru", "allkeys-random", "noeviction"])
async def test_the_policy_is_found(redis_server: RedisServer, brokers: Brokers, policy: str) -> None:
    broker, _ = await brokers.add()
    await redis_server.ask("CONFIG", "SET", "maxmemory-policy", policy)
    try:
        found = await find_eviction(broker.redis)
    finally:
        await redis_server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert (found.policy, found.may_evict) == (policy, policy != "noeviction")


async def test_without_permission_nobody_knows(own_redis: RedisServer) -> None:
    await own_redis.ask("ACL", "SETUSER", "us", "on", ">pw", "~*", "&*", "+@all", "-info")
    url = own_redis.url.replace("redis://", "redis://us:pw@")
    redis = create_adapter_redis(load_settings({"REDIS_URL": url}))
    try:
        assert await find_eviction(redis) == Eviction()
        assert (await find_eviction(redis)).may_evict is None
    finally:
        await redis.aclose()


async def test_a_change_is_reported_once(own_redis: RedisServer) -> None:
    redis = create_adapter_redis(load_settings({"REDIS_URL": own_redis.url}))
    watch = EvictionWatch()
    try:
        with structlog.testing.capture_logs() as logs:
            for policy in ("noeviction", "volatile-lru", "volatile-lru", "allkeys-lfu", "noeviction", "noeviction"):
                await own_redis.ask("CONFIG", "SET", "maxmemory-policy", policy)
                await watch.check("REDIS_URL", redis)
    finally:
        await redis.aclose()
    assert [(line["log_level"], line.get("policy")) for line in logs] == [
        ("warning", "volatile-lru"),
        ("warning", "allkeys-lfu"),
        ("info", None),
    ]


async def test_a_server_reports_it(own_redis: RedisServer, make_server: MakeServer) -> None:
    await own_redis.ask("CONFIG", "SET", "maxmemory-policy", "volatile-lru")
    server = await make_server(redis_url=own_redis.url)
    get = server.app.metrics.registry.get_sample_value
    await eventually(lambda: get("tradecast_redis_may_evict") == 1)
    assert get("tradecast_redis_evicted_keys") == 0
    await own_redis.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")

    async def noticed() -> bool:
        await server.app.health.check("redis")
        return get("tradecast_redis_may_evict") == 0

    await eventually(noticed)


async def test_of_a_cluster_each_master_is_asked(redis_cluster: RedisCluster) -> None:
    await redis_cluster.nodes[1].ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    async with Brokers(redis_cluster.url) as brokers:
        broker, _ = await brokers.add()
        try:
            assert (await find_eviction(broker.redis)).policy == "allkeys-lru"
            rooms = together(broker, 2)
            start = dict(await broker.read_positions(rooms))
            await broker.publish(event(1, rooms[0]))
            (partition,) = {broker.partition_of(room) for room in rooms}
            prefix = partitions_of(broker)[partition].prefix
            for node in redis_cluster.nodes:
                if await node.ask("KEYS", f"{prefix}h:*"):
                    await node.ask("DEL", f"{prefix}h:{rooms[0]}")
            assert (await broker.read(start)).broken == {rooms[0]}
        finally:
            await redis_cluster.nodes[1].ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
