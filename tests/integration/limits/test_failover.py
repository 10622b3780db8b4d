"""The limiter while Redis is away, and when it is back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import structlog

from integration.limits.limiting import Transitions, allowed, limiter
from kit.servers.redis_server import RedisServer
from tradecast.config.settings import load_settings
from tradecast.redis_client.client import RedisClient, create_redis

pytestmark = pytest.mark.redis


@pytest.fixture
def told() -> Transitions:
    return Transitions()


@pytest.mark.usefixtures("patient_limits")
async def test_redis_killed_under_load_and_back(own_redis: RedisServer, told: Transitions) -> None:
    with structlog.testing.capture_logs() as lines:
        async with limiter(own_redis, told) as made:
            assert await made.increment_subscription("u", "before")
            slowest = 0.0
            passed = {"load": 0}
            stop = asyncio.Event()

            async def load(worker: int) -> None:
                nonlocal slowest
                while not stop.is_set():
                    begun = time.monotonic()
                    for n in range(20):
                        assert await made.check_limit(f"load{worker}-{n}-{passed['load']}", "anything")
                        passed["load"] += 1
                    slowest = max(slowest, time.monotonic() - begun)
                    await asyncio.sleep(0.001)  # as memory answers without a pause

            workers = [asyncio.create_task(load(n)) for n in range(4)]
            await asyncio.sleep(0.3)
            await own_redis.kill()
            await told.reach([True])
            fallen_back = made.fallen_back
            assert fallen_back
            # limits hold, from memory
            assert await allowed(made, "session:refresh", 30) == 10
            assert (await made.check_limit("u", "session:refresh")).exceeded == "session:refresh"
            # and so do quotas, with what was held before
            assert await made.get_subscription_count("u") == 1
            assert await made.increment_subscription("u", "while away")
            await own_redis.start()
            await told.reach([True, False])
            assert made.fallen_back is False
            # what is held was registered with the empty Redis before it was asked again
            assert await made.get_subscription_count("u") == 2
            async with limiter(own_redis) as other:
                assert await other.get_subscription_count("u") == 2
            stop.set()
            await asyncio.gather(*workers)
            assert passed["load"] > 100
            assert slowest < 15
    sentences = [line["event"] for line in lines]
    assert sentences.count("limits are kept in memory: Redis does not answer") == 1
    assert sentences.count("limits are kept in Redis again") == 1
    assert not [line for line in lines if line["log_level"] == "error"]


@pytest.mark.usefixtures("calm_limits")
async def test_a_dead_redis_costs_one_time_out_not_one_per_event(own_redis: RedisServer, told: Transitions) -> None:
    async with limiter(own_redis, told, {"REDIS_TIMEOUT": "30"}) as made:
        assert await made.check_limit("u", "x")
        await own_redis.pause(60)
        begun = time.monotonic()
        assert await made.check_limit("u", "x")
        first = time.monotonic() - begun
        assert 2.9 < first < 20, "it does not wait for as long as a request may take"
        assert told.told == [True]
        begun = time.monotonic()
        assert await allowed(made, "x", 500) == 500
        assert time.monotonic() - begun < 15, "a time-out for each would be 25 minutes"
        # the event of the time-out itself was counted in memory: 501 of 1000
        assert await allowed(made, "x", 600) == 499
        own_redis.resume()
        await told.reach([True, False])


@pytest.mark.usefixtures("patient_limits")
async def test_a_redis_that_refuses_to_write_is_away(own_redis: RedisServer, told: Transitions) -> None:
    async with limiter(own_redis, told) as made, _client(own_redis) as redis:
        assert await made.check_limit("u", "x")
        await redis.replicaof("127.0.0.1", "1")
        assert await made.check_limit("u", "x")
        assert told.told == [True]
        await asyncio.sleep(0.5)  # it answers PING all the time: the probe must not take that for enough
        assert told.told == [True]
        await redis.replicaof("no", "one")
        await told.reach([True, False])


@pytest.mark.usefixtures("patient_limits")
async def test_redis_away_from_the_start(own_redis: RedisServer, told: Transitions) -> None:
    await own_redis.kill()
    async with limiter(own_redis, told) as made:
        assert await allowed(made, "session:refresh", 12) == 10
        assert await made.acquire_connection("u", "a")
        await own_redis.start()
        await told.reach([True, False])
        assert await made.get_connection_count("u") == 1


@pytest.mark.usefixtures("patient_limits")
async def test_closing_while_redis_is_away(own_redis: RedisServer, told: Transitions) -> None:
    async with limiter(own_redis, told) as made:
        assert await made.acquire_connection("u", "a")
        await own_redis.kill()
        assert await made.check_limit("u", "x")
    assert told.told == [True]
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("limits-")]


@asynccontextmanager
async def _client(server: RedisServer) -> AsyncIterator[RedisClient]:
    redis = create_redis(load_settings({"REDIS_URL": server.url}))
    try:
        yield redis
    finally:
        await redis.aclose()
