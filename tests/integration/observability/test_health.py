"""Health of a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from kit.servers.redis_cluster import NODE_TIMEOUT_MS, RedisCluster
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.config.settings import load_settings
from tradecast.observability.health import Health
from tradecast.redis_client.client import RedisClient, create_redis
from tradecast.redis_client.peer import Explainer

pytestmark = pytest.mark.redis


@pytest.fixture
async def redis(own_redis: RedisServer) -> AsyncIterator[RedisClient]:
    redis = create_redis(load_settings({"REDIS_URL": own_redis.url}))
    yield redis
    await redis.aclose()


async def test_redis_up_refusing_frozen_and_back(own_redis: RedisServer, redis: RedisClient) -> None:
    health = Health(timeout=0.5, keep=0)
    health.register("redis", redis)

    async def up() -> bool:  # half a second may be too short for a Redis that is only busy
        return (await health.check("redis"))[0] == 200

    await eventually(up)
    await own_redis.pause(60)
    status, body = await health.check("redis")
    assert (status, body["status"], body["cause"]) == (503, "down", "timed_out")
    own_redis.resume()
    await eventually(up)
    await own_redis.stop()
    patient = Health(timeout=20, keep=0)  # the client tries it four times, which takes most of half a second
    patient.register("redis", redis)
    status, body = await patient.check("redis")
    assert (status, body["cause"]) == (503, "refused")
    assert str(own_redis.port) not in str(body)
    await own_redis.start()
    await eventually(up)


async def test_wrong_password(own_redis: RedisServer, redis: RedisClient) -> None:
    await redis.config_set("requirepass", "right")
    wrong = create_redis(load_settings({"REDIS_URL": own_redis.url, "REDIS_PASSWORD": "wrong"}))

    health = Health(timeout=20)
    health.register("redis", wrong, Explainer(wrong.place))
    assert (await health.check("redis"))[1]["cause"] == "password_wrong"
    await wrong.aclose()


@pytest.fixture
async def clustered(redis_cluster: RedisCluster) -> AsyncIterator[RedisClient]:
    redis = create_redis(load_settings({"REDIS_URL": redis_cluster.url}))
    yield redis
    await redis.aclose()


async def test_the_parts_of_a_cluster(redis_cluster: RedisCluster, clustered: RedisClient) -> None:
    health = Health(keep=0)
    health.register("redis", clustered, Explainer(clustered.place), mode="sharded")

    async def error() -> str:
        status, body = await health.check("redis")
        assert body["mode"] == "sharded"
        assert not any(str(node.port) in str(body) for node in redis_cluster.nodes)
        assert (status == 200) == ("error" not in body)
        return str(body.get("error", ""))

    await eventually(lambda: healthy(error))
    victim = redis_cluster.nodes[0]
    share = f"1 of 3 masters away, {len(victim.slots())} of 16384 slots"
    for node in redis_cluster.nodes:  # the others know nothing of it yet: they would refuse
        await node.ask("CONFIG", "SET", "cluster-node-timeout", 60_000)
    await victim.pause(60)
    await eventually(lambda: tells(error, f"{share}: Redis does not answer in time"))
    named = (await health.check("redis", addresses=True))[1]["error"]
    assert named == f"{share}: Redis at 127.0.0.1:{victim.port} does not answer in time"
    victim.resume()
    await eventually(lambda: healthy(error))
    for node in redis_cluster.nodes:
        await node.ask("CONFIG", "SET", "cluster-node-timeout", NODE_TIMEOUT_MS)

    await redis_cluster.kill(victim)

    async def refused() -> bool:
        told = await error()
        return told == f"{share}: Redis refuses the connection: nothing listens there"

    await eventually(refused)

    async def refuse() -> bool:
        return "2 of 3 masters refuse, as the cluster is incomplete" in await error()

    await eventually(refuse)
    await eventually(lambda: tells(error, share))
    await redis_cluster.start(victim)
    await eventually(lambda: healthy(error))

    for node in redis_cluster.nodes:
        await redis_cluster.kill(node)
    assert "refuses" in await error()


async def tells(error: Callable[[], Awaitable[str]], start: str) -> bool:
    return (await error()).startswith(start)


async def healthy(error: Callable[[], Awaitable[str]]) -> bool:
    return await error() == ""
