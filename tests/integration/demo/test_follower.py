"""A server that follows the feed of another process: its replay is where that one's is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.config.settings import load_settings
from tradecast.demo import follower
from tradecast.demo.feed import Feed
from tradecast.demo.follower import follow_feed
from tradecast.demo.lead import TICKS_KEY
from tradecast.redis_client.client import create_redis

pytestmark = pytest.mark.redis


class NoEmitters:
    """A follower publishes nothing."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a follower emits nothing, and yet {name}")


async def test_it_follows_and_survives_a_redis_that_refuses(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "RENEW_SECONDS", 0.01)
    settings = load_settings({"REDIS_URL": own_redis.url})
    feed = Feed(NoEmitters(), settings)
    redis = create_redis(settings)
    following = asyncio.create_task(follow_feed(feed, redis))
    try:
        own_redis.ask_now("SET", TICKS_KEY, "5")
        await eventually(lambda: feed.ticks == 5)
        own_redis.ask_now("DEL", TICKS_KEY)
        own_redis.ask_now("LPUSH", TICKS_KEY, "x")  # an error at each GET
        await asyncio.sleep(0.1)
        assert not following.done()
        own_redis.ask_now("DEL", TICKS_KEY)
        own_redis.ask_now("SET", TICKS_KEY, "9")
        await eventually(lambda: feed.ticks == 9)
    finally:
        following.cancel()
        await redis.aclose()
