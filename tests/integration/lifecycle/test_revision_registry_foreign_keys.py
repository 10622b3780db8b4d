"""Keys that all servers share, and what is none of ours lies there: it is removed, as nobody else would."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from kit.lifecycle import ReceiversByHand, StateByHand
from kit.servers.redis_server import RedisServer
from tradecast.config.settings import load_settings
from tradecast.lifecycle import revision_registry
from tradecast.lifecycle.draining import pacing
from tradecast.lifecycle.rollout import Rollout
from tradecast.polling_relay import addresses
from tradecast.redis_client.client import create_redis
from tradecast.redis_client.single import SingleClient

pytestmark = pytest.mark.redis
Write = Callable[[SingleClient, str], object]
PATIENT = 20.0
"""Seconds: a Redis that is held up by a busy machine is no Redis that is away."""
TYPES: list[Write] = [
    lambda redis, key: redis.set(key, "text"),
    lambda redis, key: redis.lpush(key, "one"),
    lambda redis, key: redis.zadd(key, {"a": 1}),
]


@pytest.fixture
async def redis(redis_server: RedisServer) -> AsyncIterator[SingleClient]:
    client = create_redis(load_settings({"REDIS_URL": redis_server.url}))
    assert isinstance(client, SingleClient)
    yield client
    await client.aclose()


@pytest.mark.parametrize(
    "write",
    [
        *TYPES,
        lambda redis, key: redis.hset(key, mapping={"a": "text", "b": "", "c": "1 2 ready"}),
        lambda redis, key: redis.hset(key, mapping={"x": "99999999999999999999 1 ready r", "y": "\xff"}),
    ],
)
async def test_servers_of_a_fleet_find_each_other(redis: SingleClient, write: Write) -> None:
    one, two = (
        revision_registry.RevisionRegistry(redis, name, "1", StateByHand(), Rollout(), patience=PATIENT)
        for name in "ab"
    )
    await write(redis, revision_registry.KEY)  # type: ignore[misc]  # an awaitable
    await one.refresh()
    await two.refresh()
    assert two.servers == 2


@pytest.mark.parametrize(
    "write",
    [
        *TYPES,
        lambda redis, key: redis.hset(key, mapping={"free": "soon", "at": "now"}),
        lambda redis, key: redis.hset(key, mapping={"free": "9e18", "at": "0"}),
        lambda redis, key: redis.hset(key, mapping={"free": "inf", "at": "nan"}),
        lambda redis, key: redis.hset(key, mapping={"free": "nan", "at": "-1"}),
    ],
)
async def test_drain_keeps_the_pace_of_all(redis: SingleClient, write: Write) -> None:
    options: dict[str, Any] = {"patience": PATIENT, "clock": lambda: 0.0, "jitter": lambda: 0.0}
    one, two = (pacing.FleetPace(redis, ReceiversByHand(), **options) for _ in range(2))
    await write(redis, pacing.KEY)  # type: ignore[misc]  # an awaitable
    began = time.monotonic()
    first = await one.reserve(25, 100)
    for _ in range(39):
        await one.reserve(25, 100)
    second = await two.reserve(10, 100)
    late = time.monotonic() - began + 0.001
    assert 0 <= first[0] <= 0.001
    # behind the first server's thousand, on the row that they share, which has moved on meanwhile
    assert 10 - late <= second[0] <= 10 + late


@pytest.mark.parametrize(
    "write",
    [*TYPES, lambda redis, key: redis.hset(key, mapping={"a": "text", "b": "1 2", "c": "9 \xff 1"})],
)
@pytest.mark.parametrize("key", [addresses.OWNERS, addresses.KEY])
async def test_servers_find_each_other_and_one_key(redis: SingleClient, write: Write, key: str) -> None:
    one, two = (addresses.ServerAddresses(redis, name, patience=PATIENT) for name in "ab")
    await write(redis, key)  # type: ignore[misc]  # an awaitable
    await one.announce(("127.0.0.1", 1))
    await two.announce(("127.0.0.1", 2))
    assert await one.find("b") == ("127.0.0.1", 2)
    assert await two.find("a") == ("127.0.0.1", 1)
    assert one.keys == two.keys
    assert len(one.keys) == 1
