"""Which of several feeds leads, on a real Redis."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.config.settings import load_settings
from tradecast.demo.lead import LEAD_KEY, TICKS_KEY, Lead, read_ticks
from tradecast.redis_client.client import RedisClient, create_redis

pytestmark = pytest.mark.redis


@pytest.fixture
async def redis(redis_server: RedisServer) -> AsyncIterator[RedisClient]:
    client = create_redis(load_settings({"REDIS_URL": redis_server.url}))
    yield client
    await client.aclose()


async def test_one_feed_leads_until_it_releases(redis: RedisClient) -> None:
    first, second = Lead(redis), Lead(redis)
    assert await first.claim()
    assert await first.claim(), "renewed"
    assert not await second.claim()
    await second.release()
    assert not await second.claim(), "only the leader releases"
    await first.release()
    assert await second.claim()


async def test_the_lead_expires_unless_it_is_renewed(redis: RedisClient, redis_server: RedisServer) -> None:
    first, second = Lead(redis, seconds=0.05), Lead(redis)
    assert await first.claim()
    began = time.monotonic()
    await eventually(second.claim)
    assert not await first.claim()
    left = await redis_server.ask("PTTL", LEAD_KEY)
    assert 4_999 - 1_000 * (time.monotonic() - began) <= left <= 5_000


async def test_ticks_are_the_leaders(redis: RedisClient) -> None:
    first, second = Lead(redis), Lead(redis)
    assert await read_ticks(redis) == 0
    assert await first.claim(7)
    assert not await second.claim(1)
    assert await first.claim()
    assert await read_ticks(redis) == 7
    await first.release()
    assert await read_ticks(redis) == 7, "the next feed resumes there"


@pytest.mark.parametrize("text", ["", "-3", "many"])
async def test_ticks_that_are_none_are_none(redis: RedisClient, redis_server: RedisServer, text: str) -> None:
    await redis_server.ask("SET", TICKS_KEY, text)
    assert await read_ticks(redis) == 0
