"""When clients are disconnected: a steady pace with some jitter, of one server or of all servers on the same Redis."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable
from typing import Protocol

import structlog

from tradecast.redis_client.client import RedisClient
from tradecast.redis_client.errors import FAILURES, explain_redis
from tradecast.redis_client.keys import PREFIX
from tradecast.redis_client.script import OWN, Script

BATCH_SECONDS = 0.25
"""Slots are taken for so long at a time (or one, where a slot lasts longer).

It is what one server may keep others waiting, and what a drain that is cancelled may leave unused.
"""


# The row of slots that all servers on this Redis share. Where each kept its own, several that drain would add up.
KEY = f"{PREFIX}lifecycle:closes"
# The same of those that have no time for their turn in it: together they are as fast as others let clients in.
URGENT_KEY = f"{PREFIX}lifecycle:closes:urgent"
PATIENCE = 0.5
LEAVE_ALONE = 5.0
LONGEST_WAIT = 1e9
log = structlog.stdlib.get_logger("tradecast.lifecycle")

# A need is such that a fifth of the time is left over (`terms.USED`). A server whose turns come so seldom that it would
# disconnect fewer than this share of it will not be ready in time. The share is less than `USED`: a fleet whose time
# just suffices keeps its rate. Only the last turn has to come in time itself.
ENOUGH = 0.64

# The generic cell rate algorithm over slots. KEYS: a hash of when the next slot is `free` and when that was written
# (`at`), microseconds of Redis' clock. ARGV: how many slots, microseconds of each, and how many microseconds the first
# may be away. The answer is the time until the first of them; -1, and none is taken: it is further away. A clock that
# was set back (another Redis has taken over) would make every server wait: the row starts over, as it does where it is
# far longer than any drain, or missing.
_RESERVE = Script(
    OWN
    + """
own(KEYS[1], 'hash')
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local state = redis.call('HMGET', KEYS[1], 'free', 'at')
local free, at = tonumber(state[1] or 0) or 0, tonumber(state[2] or 0) or 0
if not (free >= now and free <= now + 3600000000 + 1000 * ARGV[1] * ARGV[2] and at <= now) then free = now end
if free - now > tonumber(ARGV[3]) then return -1 end
local next = free + ARGV[1] * ARGV[2]
redis.call('HSET', KEYS[1], 'free', string.format('%.0f', next), 'at', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil((next - now) / 1000) + 1000)
return free - now
"""
)


class Pace(Protocol):
    """Gives the moments at which clients are disconnected.

    Moments are of the monotonic clock, rising: at least one, at most as many as are wanted. Ask again when they have
    passed.
    """

    async def reserve(self, count: int, rate: float, need: float = 0) -> list[float]:
        """Moments for `count` clients at a rate that servers may share.

        Args:
            count: How many are wanted, at least 1.
            rate: Disconnects per second.
            need: Disconnects per second of this server alone, so that it is ready in time; where its turn comes too
                late for that there are no moments.
        """
        ...

    async def reserve_urgent(self, count: int, rate: float, need: float) -> list[float]:
        """Moments at a rate of this server's own: it has no time to share one.

        Args:
            count: How many are wanted, at least 1.
            rate: Disconnects per second that servers share.
            need: As of `reserve`.
        """
        ...


class Receivers(Protocol):
    """The servers at which disconnected clients arrive."""

    def compute_accept_rate(self) -> float:
        """Clients per second that they let in together."""
        ...


def compute_batch_size(count: int, rate: float) -> int:
    """How many of `count` slots are taken at a time."""
    return min(count, max(1, int(rate * BATCH_SECONDS)))


def schedule_moments(first: float, count: int, rate: float, jitter: Callable[[], float] = random.random) -> list[float]:
    """`count` moments from `first` on: one at a random place in each slot of 1/`rate` seconds.

    So never more than `rate` a second (and one) fall into any stretch of time, and clients of several servers do
    not leave in step.
    """
    return [first + (number + jitter()) / rate for number in range(count)]


class LocalPace:
    """The pace of one server alone.

    Args:
        clock: Seconds that never go back.
        jitter: Where in its slot a moment lies, from 0 to 1.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, jitter: Callable[[], float] = random.random
    ) -> None:
        self._clock = clock
        self._jitter = jitter
        self._free = 0.0  # when the next slot begins
        self._rate = math.inf  # of the slots before it

    async def reserve(self, count: int, rate: float, need: float = 0) -> list[float]:
        """As of `Pace`."""
        return self.schedule(count, rate)

    async def reserve_urgent(self, count: int, rate: float, need: float) -> list[float]:
        """As of `Pace`."""
        return self.schedule(count, need)

    def schedule(self, count: int, rate: float, *, wait: float = 0) -> list[float]:
        """Moments of a batch, the first no sooner than `wait` seconds from now."""
        size = compute_batch_size(count, rate)
        now = self._clock()
        if rate > self._rate:  # what is left of longer slots keeps nobody waiting
            self._free = min(self._free, now + 1 / rate)
        self._rate = rate
        # Slots follow each other even where the last moment lay early in its slot; time that has passed is lost.
        first = max(self._free, now + wait)
        self._free = first + size / rate
        return schedule_moments(first, size, rate, self._jitter)


class FleetPace:
    """Reserves slots in one row that all servers on this Redis and database share.

    Each server reserves slots for a quarter of a second, and more when that has passed: then it stands behind the
    others that wait, so all advance alike, with four requests a second to Redis however many drain. While Redis does
    not answer, each server keeps its own pace.

    Urgent ones do not wait for each other's clients, but for those who let them in: their slots are of a second row.

    Args:
        redis: A client for requests; others may use it too.
        receivers: Where the clients go.
        patience: Seconds that Redis may take to answer.
        leave_alone: Seconds for which Redis gets no request after it did not answer.
        clock: Seconds that never go back.
        jitter: Where in its slot a moment lies, from 0 to 1.
    """

    def __init__(
        self,
        redis: RedisClient,
        receivers: Receivers,
        *,
        patience: float = PATIENCE,
        leave_alone: float = LEAVE_ALONE,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._redis = redis
        self._receivers = receivers
        self._patience = patience
        self._leave_alone = leave_alone
        self._clock = clock
        self._jitter = jitter
        self._local = LocalPace(clock, jitter)
        self._try_again = -math.inf
        self._away = False

    async def reserve(self, count: int, rate: float, need: float = 0) -> list[float]:
        """As of `Pace`; never raises because of Redis."""
        size = compute_batch_size(count, rate)
        enough = need if size == count else ENOUGH * need
        wait = await self._ask(KEY, size, rate, size / enough - size / rate if enough else LONGEST_WAIT)
        if wait is None:
            return self._local.schedule(count, rate)
        # From the answer on, not from the request: at worst late by the way back, never early.
        return [] if wait < 0 else schedule_moments(self._clock() + wait, size, rate, self._jitter)

    async def reserve_urgent(self, count: int, rate: float, need: float) -> list[float]:
        """As of `Pace`; never raises because of Redis."""
        accepted = max(rate, self._receivers.compute_accept_rate())  # haste is never slower
        own = min(need, accepted)
        wait = await self._ask(URGENT_KEY, compute_batch_size(count, own), accepted)
        return self._local.schedule(count, own, wait=wait or 0)

    async def _ask(self, key: str, size: int, rate: float, patience: float = LONGEST_WAIT) -> float | None:
        """Seconds until the first of `size` slots that were taken; negative: none was; None: Redis does not answer."""
        if self._clock() < self._try_again:
            return None
        arguments = [size, max(1, round(1_000_000 / rate)), max(0, round(min(patience, LONGEST_WAIT) * 1_000_000))]
        try:
            async with asyncio.timeout(self._patience):
                wait = await _RESERVE.run(self._redis, [key], arguments)
        except FAILURES as error:
            self._lost(error)
            return None
        self._found()
        return int(wait) / 1_000_000

    def _lost(self, error: Exception) -> None:
        self._try_again = self._clock() + self._leave_alone
        if not self._away:
            self._away = True
            log.warning(
                "this server keeps its own pace: Redis does not answer", **explain_redis(error, self._redis).fields()
            )

    def _found(self) -> None:
        if self._away:
            self._away = False
            log.info("all servers keep one pace again")
