"""Health of a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from support.redis_server import RedisServer
from tradecast.adapter.redis import RedisClient, create_redis
from tradecast.observability.health import Health
from tradecast.settings import load_settings

pytestmark = pytest.mark.redis


@pytest.fixture
async def redis(own_redis: RedisServer) -> AsyncIterator[RedisClient]:
    redis = create_redis(load_settings({"REDIS_URL": own_redis.url}))
    yield redis
    await redis.aclose()


async def test_redis_up_refusing_frozen_and_back(own_redis: RedisServer, redis: RedisClient) -> None:
    async def ping() -> None:
        await redis.ping()

    health = Health(timeout=0.5, keep=0)
    health.register("redis", ping)
    assert (await health.check("redis"))[0] == 200
    await own_redis.pause(60)
    status, body = await health.check("redis")
    assert (status, body["status"], body["error"]) == (503, "down", "timed out")
    own_redis.resume()
    assert (await health.check("redis"))[0] == 200
    await own_redis.stop()
    status, body = await health.check("redis")
    assert (status, body["error"]) == (503, "refused")
    assert str(own_redis.port) not in str(body)
    await own_redis.start()
    assert (await health.check("redis"))[0] == 200


async def test_wrong_password(own_redis: RedisServer, redis: RedisClient) -> None:
    await redis.config_set("requirepass", "right")
    wrong = create_redis(load_settings({"REDIS_URL": own_redis.url, "REDIS_PASSWORD": "wrong"}))

    async def ping() -> None:
        await wrong.ping()

    health = Health()
    health.register("redis", ping)
    assert (await health.check("redis"))[1]["error"] == "authentication failed"
    await wrong.aclose()
