"""A server whose requests for others' connections go to an owner that answers as the test says."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from kit.servers.fleet import FakeOwner, make_fleet, redis_client
from kit.servers.in_process import MakeServer, RunningServer
from kit.servers.redis_server import RedisServer
from tradecast.redis_client.client import RedisClient


@pytest.fixture
async def redis(own_redis: RedisServer) -> AsyncIterator[RedisClient]:
    client = redis_client(own_redis)
    yield client
    await client.aclose()


@pytest.fixture
async def edge(make_server: MakeServer, own_redis: RedisServer) -> RunningServer:
    (server,) = await make_fleet(make_server, own_redis, 1)
    return server


@pytest.fixture
async def owner(redis: RedisClient, edge: RunningServer) -> AsyncIterator[FakeOwner]:
    async with FakeOwner(redis) as fake:
        yield fake


@pytest.fixture
async def http(edge: RunningServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=edge.url, timeout=60, trust_env=False) as client:
        yield client
