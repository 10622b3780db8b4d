"""Which of several feeds leads, and how far the replay is: both in Redis, for every server and for the next feed."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable
from typing import cast

from tradecast.redis_client.client import RedisClient

# In braces, so that a Redis Cluster keeps both together.
LEAD_KEY = "tradecast:{demo}:lead"
TICKS_KEY = "tradecast:{demo}:ticks"
LEAD_SECONDS = 5.0
RENEW_SECONDS = 1.0

# Taken when nobody has it, kept by who has it; the ticks go with it, so that a feed that was replaced writes none.
_CLAIM = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if ARGV[3] ~= '' then redis.call('SET', KEYS[2], ARGV[3]) end
return 1
"""
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class Lead:
    """One feed's claim to be the one that publishes. All methods raise redis-py's errors.

    Args:
        redis: A client for requests.
        seconds: Lifetime of the claim unless it is renewed.
    """

    def __init__(self, redis: RedisClient, seconds: float = LEAD_SECONDS) -> None:
        self._redis = redis
        self._milliseconds = round(seconds * 1000)
        self._token = secrets.token_hex(16)

    async def claim(self, ticks: int | None = None) -> bool:
        """Take or renew the lead, and store the number of ticks done; False if another feed leads."""
        text = "" if ticks is None else str(ticks)
        done = self._redis.eval(_CLAIM, 2, LEAD_KEY, TICKS_KEY, self._token, self._milliseconds, text)
        return bool(await cast("Awaitable[int]", done))

    async def release(self) -> None:
        """Leave the lead to the next feed at once."""
        await cast("Awaitable[int]", self._redis.eval(_RELEASE, 1, LEAD_KEY, self._token))


async def read_ticks(redis: RedisClient) -> int:
    """How many ticks of the replay have been published; 0 where none have, or the value is invalid."""
    text = await redis.get(TICKS_KEY)
    try:
        return max(0, int(text or 0))
    except ValueError:
        return 0
