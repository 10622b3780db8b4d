"""Limits in a Redis Cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.crc import key_slot
from redis.exceptions import RedisError

from kit.contracts.limits import MINUTE, QuotaContract, RateContract
from kit.servers.redis_cluster import RedisCluster
from kit.waiting import eventually
from tradecast.config.settings import load_settings
from tradecast.limits.limiter import RateLimiter
from tradecast.limits.quota import Lease, QuotaStore
from tradecast.limits.redis_store import RedisQuotaStore, RedisRateStore
from tradecast.redis_client.client import RedisClient, create_redis
from tradecast.redis_client.script import user_tag

pytestmark = pytest.mark.redis
USERS = [f"user {number}" for number in range(40)]


@pytest.fixture
async def redis(empty_cluster: RedisCluster) -> AsyncIterator[RedisClient]:
    redis = create_redis(load_settings({"REDIS_URL": empty_cluster.url, "REDIS_TIMEOUT": "20"}))
    yield redis
    await redis.aclose()


class TestRatesInCluster(RateContract):
    @pytest.fixture
    def store(self, redis: RedisClient) -> RedisRateStore:
        return RedisRateStore(redis)


class TestQuotasInCluster(QuotaContract):
    @pytest.fixture
    def store(self, redis: RedisClient) -> RedisQuotaStore:
        return RedisQuotaStore(redis)

    @pytest.fixture
    def short(self, redis: RedisClient) -> Callable[[float], QuotaStore]:
        return lambda lease: RedisQuotaStore(redis, lease)


async def test_many_leases_on_all_nodes_at_once(redis: RedisClient) -> None:
    store = RedisQuotaStore(redis)
    leases = [Lease("connections", f"user {number}", "m") for number in range(700)]
    await store.renew(leases)
    assert [await store.count("connections", user) for user in USERS] == [1] * len(USERS)
    await store.release(leases[1:])
    assert [await store.count("connections", user) for user in USERS] == [1] + [0] * (len(USERS) - 1)


async def test_scripts_are_sent_to_the_nodes_that_lost_them(redis: RedisClient, empty_cluster: RedisCluster) -> None:
    rates, quotas = RedisRateStore(redis), RedisQuotaStore(redis)
    leases = [Lease("connections", user, "m") for user in USERS]
    for round_number in range(3):
        for node in empty_cluster.nodes[: round_number + 1]:
            node.ask_now("SCRIPT", "FLUSH")
        await quotas.renew(leases)
        assert [await quotas.count("connections", user) for user in USERS] == [1] * len(USERS)
        await quotas.release(leases)
        assert [await quotas.count("connections", user) for user in USERS] == [0] * len(USERS)
        assert [await rates.hit(user, [("a", 3)], MINUTE) for user in USERS] == [None] * len(USERS)
    assert await rates.hit(USERS[0], [("a", 3)], MINUTE) == "a"


async def test_a_users_keys_are_in_one_slot(redis: RedisClient, empty_cluster: RedisCluster) -> None:
    await RedisRateStore(redis).hit("ann", [("global", 10), ("own", 10)], MINUTE)
    await RedisQuotaStore(redis).acquire("connections", "ann", "m", 1)
    keys = [key for node in empty_cluster.nodes for key in node.ask_now("KEYS", "*")]
    assert len(keys) == 3
    assert {key_slot(key.encode()) for key in keys} == {key_slot(user_tag("ann").encode())}


class Transitions:
    """Notes changes between Redis and memory."""

    def __init__(self, told: list[bool]) -> None:
        self.told = told

    def limiter_fallback(self, fallen_back: bool) -> None:
        self.told.append(fallen_back)

    def foreign_key(self, of: str) -> None:
        raise AssertionError(of)


@asynccontextmanager
async def limiter(cluster: RedisCluster, told: list[bool], **options: Any) -> AsyncIterator[RateLimiter]:
    settings = load_settings({"REDIS_URL": cluster.url, "MAX_CONNECTIONS_PER_USER": "2"})
    redis = create_redis(settings)
    made = RateLimiter(settings, redis, observer=Transitions(told), **options)
    await made.start()
    try:
        yield made
    finally:
        await made.close()
        await redis.aclose()


@pytest.mark.usefixtures("patient_limits")
async def test_a_node_that_is_killed_and_comes_back(redis_cluster: RedisCluster) -> None:
    told: list[bool] = []
    others: list[bool] = []
    async with limiter(redis_cluster, told) as one, limiter(redis_cluster, others) as other:
        for user in USERS:
            assert await one.acquire_connection(user, "a")
        await redis_cluster.kill(redis_cluster.nodes[0])
        for user in USERS:  # memory stands in, and knows what is held here
            assert await one.acquire_connection(user, "b")
            assert not await one.acquire_connection(user, "c")
        assert told == [True]
        await asyncio.sleep(1)  # that it does not believe itself back while a part is away can only be waited for
        assert told == [True]
        await redis_cluster.start(redis_cluster.nodes[0])
        await eventually(lambda: told == [True, False])

        async def counted() -> bool:
            return [await other.get_connection_count(user) for user in USERS] == [2] * len(USERS)

        await eventually(counted)
        assert not any([await other.acquire_connection(user, "d") for user in USERS])


async def test_moved_slots_are_no_trouble(redis_cluster: RedisCluster) -> None:
    told: list[bool] = []
    async with limiter(redis_cluster, told, renew_every=5) as made:
        for user in USERS:
            assert await made.acquire_connection(user, "a")
        moving = asyncio.create_task(redis_cluster.move_slots(30))
        rounds = 0
        while not moving.done() or rounds < 2:
            await asyncio.sleep(0)  # while Redis counts as away, nothing else here waits, and nobody else would get on
            await made.renew_all()
            for user in USERS:
                assert await made.acquire_connection(user, "b")
                assert not await made.acquire_connection(user, "c")
                await made.release_connection(user, "b")
                assert (await made.check_limit(user, "subscribe:trades")).exceeded in (None, "subscribe:trades")
            rounds += 1
        assert await moving
        await eventually(lambda: not made.fallen_back)  # a slot that takes longer than a request may is as Redis away

        async def one_each() -> bool:
            counts = [await made.get_connection_count(user) for user in USERS]
            return counts == [1] * len(USERS) and not made.fallen_back

        await eventually(one_each)  # what was given back while Redis was away goes there with the next renewal
        assert told.count(True) == told.count(False)


@pytest.mark.parametrize("number", [0, 1])
async def test_redis_is_back_only_when_all_nodes_are(redis_cluster: RedisCluster, number: int) -> None:
    """Of two nodes, one at least is not that of the limiter's own probe. It holds nothing here that it would renew."""
    for node in redis_cluster.nodes:  # so that the others serve on
        node.ask_now("CONFIG", "SET", "cluster-require-full-coverage", "no")
    told: list[bool] = []
    async with limiter(redis_cluster, told) as made:
        await redis_cluster.nodes[number].pause(60)
        for user in USERS:
            assert await made.check_limit(user, "subscribe:trades")
        assert told == [True]
        await asyncio.sleep(2)  # as above
        assert told == [True]
        redis_cluster.nodes[number].resume()
        await eventually(lambda: told == [True, False])


async def test_without_a_cluster_everything_is_an_error_of_redis() -> None:
    redis = create_redis(load_settings({"REDIS_URL": "redis+cluster://127.0.0.1:1"}))
    with pytest.raises(RedisError):
        await RedisRateStore(redis).hit("u", [("a", 1)], MINUTE)
    with pytest.raises(RedisError):
        await RedisQuotaStore(redis).renew([Lease("connections", "u", "m")])
    await redis.aclose()
