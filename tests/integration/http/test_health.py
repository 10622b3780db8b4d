"""`/health` on both ports."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from kit.servers.in_process import MakeServer, RunningServer
from kit.servers.mongo_server import MongoServer
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually


async def test_health_without_dependencies(server: RunningServer, http: httpx.AsyncClient) -> None:
    for base in (server.url, server.admin_url):
        answer = await http.get(f"{base}/health")
        assert answer.status_code == 200
        assert answer.json()["status"] == "up"
        assert answer.headers["cache-control"] == "no-store"
        for name in ("redis", "database"):
            answer = await http.get(f"{base}/health/{name}")
            assert (answer.status_code, answer.json()["status"]) == (200, "not configured")


@pytest.mark.redis
async def test_health_follows_redis_as_it_goes_and_comes(
    make_server: MakeServer, own_redis: RedisServer, http: httpx.AsyncClient
) -> None:
    server = await make_server(redis_url=own_redis.url, redis_timeout=0.5)
    answer = await until_status(http, f"{server.url}/health/redis", 200)
    assert answer.json()["status"] == "up"
    assert 0 <= answer.json()["latencyMs"] < 30_000
    await own_redis.kill()
    answer = await until_status(http, f"{server.url}/health/redis", 503)
    assert answer.json()["status"] == "down"
    assert str(own_redis.port) not in answer.text
    assert (await http.get(f"{server.url}/health")).status_code == 200
    await own_redis.start()
    answer = await until_status(http, f"{server.url}/health/redis", 200)
    assert answer.json()["status"] == "up"


@pytest.mark.redis
async def test_health_with_redis_that_hangs(
    make_server: MakeServer, own_redis: RedisServer, http: httpx.AsyncClient
) -> None:
    """`/health` answers at once: it asks nobody."""
    server = await make_server(redis_url=own_redis.url, redis_timeout=0.5)
    await own_redis.pause(60)
    slow = asyncio.create_task(http.get(f"{server.url}/health/redis"))
    async with asyncio.timeout(30):
        for _ in range(20):
            assert (await http.get(f"{server.url}/health")).json()["status"] == "up"
    answer = await slow
    if answer.status_code == 200:  # a check from just before the pause may be told once more
        answer = await until_status(http, f"{server.url}/health/redis", 503)
    assert answer.json()["status"] == "down"
    own_redis.resume()
    await until_status(http, f"{server.url}/health/redis", 200)


@pytest.mark.mongodb
async def test_health_follows_the_database_as_it_goes_and_comes(
    make_server: MakeServer, own_mongo: MongoServer, http: httpx.AsyncClient
) -> None:
    server = await make_server(mongodb_uri=own_mongo.uri, mongodb_timeout=2)
    await until_status(http, f"{server.url}/health/database", 200)
    await own_mongo.kill()
    answer = await until_status(http, f"{server.url}/health/database", 503)
    assert answer.json()["status"] == "down"
    assert str(own_mongo.port) not in answer.text
    assert "pymongo" not in answer.text
    assert (await http.get(f"{server.url}/health")).status_code == 200
    await own_mongo.start()
    answer = await until_status(http, f"{server.url}/health/database", 200)
    assert answer.json()["latencyMs"] >= 0


async def until_status(http: httpx.AsyncClient, url: str, status: int) -> httpx.Response:
    async def answered() -> httpx.Response | None:
        answer = await http.get(url)
        return answer if answer.status_code == status else None

    found: httpx.Response = await eventually(answered, 60)
    return found
