"""One pace for all servers on the same Redis: where each kept its own, several that drain would add up."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable

import structlog

from tradecast.lifecycle.pacing import LocalPace, batch_size, moments
from tradecast.limits.redis_store import PREFIX
from tradecast.redis_client.client import RedisClient
from tradecast.redis_client.errors import FAILURES
from tradecast.redis_client.place import explain_redis
from tradecast.redis_client.script import OWN, Script

KEY = f"{PREFIX}lifecycle:closes"
PATIENCE = 0.5
LEAVE_ALONE = 5.0
log = structlog.stdlib.get_logger("tradecast.lifecycle")

# The generic cell rate algorithm over slots. KEYS: a hash of when the next slot is `free` and when that was written
# (`at`), microseconds of Redis' clock. ARGV: how many slots, microseconds of each. The answer is the time until the
# first of them. A clock that was set back (another Redis has taken over) would make everybody wait: it starts anew, as
# it does where the row is far longer than any drain, or none.
_RESERVE = Script(
    OWN
    + """
own(KEYS[1], 'hash')
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local state = redis.call('HMGET', KEYS[1], 'free', 'at')
local free, at = tonumber(state[1] or 0) or 0, tonumber(state[2] or 0) or 0
if not (free >= now and free <= now + 3600000000 + 1000 * ARGV[1] * ARGV[2] and at <= now) then free = now end
local next = free + ARGV[1] * ARGV[2]
redis.call('HSET', KEYS[1], 'free', string.format('%.0f', next), 'at', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil((next - now) / 1000) + 1000)
return free - now
"""
)


class FleetPace:
    """Takes slots from one row that all servers on this Redis and database share.

    Each takes a quarter of a second's worth at a time, and asks again when that has passed: then it stands behind the
    others that are waiting, so all get on alike, and Redis is asked four times a second however many drain. While
    Redis does not answer, each server keeps its own pace.

    Args:
        redis: A client for requests; others may use it too.
        patience: Seconds that Redis may take to answer.
        leave_alone: Seconds for which it is not asked after it did not.
        clock: Seconds that never go back.
        jitter: Where in its slot a moment lies, from 0 to 1.
    """

    def __init__(
        self,
        redis: RedisClient,
        *,
        patience: float = PATIENCE,
        leave_alone: float = LEAVE_ALONE,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._redis = redis
        self._patience = patience
        self._leave_alone = leave_alone
        self._clock = clock
        self._jitter = jitter
        self._local = LocalPace(clock, jitter)
        self._ask_again = -math.inf
        self._away = False

    async def reserve(self, count: int, rate: float) -> list[float]:
        """As `Pace`; never raises because of Redis."""
        if self._clock() >= self._ask_again:
            size = batch_size(count, rate)
            try:
                async with asyncio.timeout(self._patience):
                    wait = await _RESERVE.run(self._redis, [KEY], [size, max(1, round(1_000_000 / rate))])
            except FAILURES as error:
                self._lost(error)
            else:
                self._found()
                # From the answer on, not from the question: at worst late by the way back, never early.
                return moments(self._clock() + int(wait) / 1_000_000, size, rate, self._jitter)
        return await self._local.reserve(count, rate)

    def _lost(self, error: Exception) -> None:
        self._ask_again = self._clock() + self._leave_alone
        if not self._away:
            self._away = True
            log.warning(
                "this server keeps its own pace: Redis does not answer", **explain_redis(error, self._redis).fields()
            )

    def _found(self) -> None:
        if self._away:
            self._away = False
            log.info("all servers keep one pace again")
