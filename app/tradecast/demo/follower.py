"""A server that follows the feed of another process."""

from __future__ import annotations

import asyncio
import contextlib

from tradecast.demo.feed import Feed
from tradecast.demo.lead import RENEW_SECONDS, read_ticks
from tradecast.redis_client.client import RedisClient
from tradecast.redis_client.errors import FAILURES


async def follow_feed(feed: Feed, redis: RedisClient) -> None:
    """Keep this server's replay at the tick of the feed that publishes, until cancelled."""
    while True:
        with contextlib.suppress(*FAILURES):
            feed.go_to(await read_ticks(redis))
        await asyncio.sleep(RENEW_SECONDS)
