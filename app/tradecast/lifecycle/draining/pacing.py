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
"""Seconds for which a server reserves slots at a time; a single slot if that lasts longer.

One reservation delays the other servers by no more than this, and a drain that is cancelled leaves no more slots
unused.
"""


# The sequence of slots that all servers on this Redis share. If each had its own, the rates of several drains would
# add up.
KEY = f"{PREFIX}lifecycle:closes"
# The sequence of urgent servers, which have no time to wait for their turn in the first one. Together they disconnect
# clients as fast as the other servers accept them.
URGENT_KEY = f"{PREFIX}lifecycle:closes:urgent"
# Slots longer than a batch would make servers of a higher rate wait: one client in 1,000 s, and no drain of the fleet
# goes on. So such rates have sequences of their own, each for rates up to so many times as low as the one before.
SLOWER = 4
PATIENCE = 0.5
LEAVE_ALONE = 5.0
LONGEST_WAIT = 1e9
log = structlog.stdlib.get_logger("tradecast.lifecycle")

# A need leaves a fifth of the time unused (`terms.USED`). If a server's turns come so seldom that it would disconnect
# less than this share of its need per second, it will not end in time. The share is less than `USED`, so a fleet whose
# time just suffices keeps its rate. Only the last turn has to come in time itself.
ENOUGH = 0.64

# The generic cell rate algorithm over slots. KEYS: a hash of when the next slot is `free` and when that was written
# (`at`), microseconds of Redis' clock. ARGV: how many slots, microseconds of each, and the longest time until the first
# in microseconds. The answer is the time until the first slot; or -1 if that is too long, and no slot is reserved. If
# the clock was set back (another Redis has taken over), every server would wait. So the sequence starts over then, and
# also if it is missing, or far longer than any drain.
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
    """Decides when clients are disconnected.

    Each method returns times of the monotonic clock in rising order, at most as many as `count`. Call it again when
    they have passed.
    """

    async def reserve(self, count: int, rate: float, need: float = 0) -> list[float]:
        """Reserve times for up to `count` clients, at a rate that servers may share.

        Args:
            count: The number of clients, at least 1.
            rate: Disconnects per second.
            need: Disconnects per second that this server needs to end in time. If its turn comes too late for that,
                nothing is reserved, and the answer is empty.
        """
        ...

    async def reserve_urgent(self, count: int, rate: float, need: float) -> list[float]:
        """Reserve times at a rate of this server's own, as it has no time to share one; at least one time.

        Args:
            count: The number of clients, at least 1.
            rate: Disconnects per second that servers share.
            need: See `reserve`.
        """
        ...


class Receivers(Protocol):
    """The servers that accept disconnected clients."""

    def compute_accept_rate(self) -> float:
        """Clients per second that they accept in all."""
        ...


def compute_batch_size(count: int, rate: float) -> int:
    """How many of `count` slots are reserved at a time."""
    return min(count, max(1, int(rate * BATCH_SECONDS)))


def find_sequence(rate: float) -> str:
    """The key of the sequence that servers of this rate share.

    Those of rates below four clients per second add less than six a second in all, if they are in use at the same time.
    """
    longer = min(1 / rate, LONGEST_WAIT) / BATCH_SECONDS
    return KEY if longer <= 1 else f"{KEY}:{math.ceil(math.log(longer, SLOWER))}"


def schedule_moments(first: float, count: int, rate: float, jitter: Callable[[], float] = random.random) -> list[float]:
    """Choose `count` times from `first` on: one at random within each slot of 1/`rate` seconds.

    So any second has at most `rate` of them, plus one, and several servers do not disconnect in step.
    """
    return [first + (number + jitter()) / rate for number in range(count)]


class LocalPace:
    """The pace of one server alone.

    Args:
        clock: Seconds that never go back.
        jitter: Where within its slot a time is, from 0 to 1.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, jitter: Callable[[], float] = random.random
    ) -> None:
        self._clock = clock
        self._jitter = jitter
        self._free = 0.0  # when the next slot begins
        self._rate = math.inf  # of the slots before it

    async def reserve(self, count: int, rate: float, need: float = 0) -> list[float]:
        """See `Pace.reserve`."""
        return self.schedule(count, rate)

    async def reserve_urgent(self, count: int, rate: float, need: float) -> list[float]:
        """See `Pace.reserve_urgent`."""
        return self.schedule(count, need)

    def schedule(self, count: int, rate: float, *, wait: float = 0) -> list[float]:
        """Choose the times of a batch, the first at least `wait` seconds from now."""
        size = compute_batch_size(count, rate)
        now = self._clock()
        if rate > self._rate:  # do not wait for the rest of a longer slot
            self._free = min(self._free, now + 1 / rate)
        self._rate = rate
        # Slots follow each other without gaps, wherever the times within them are; unused time is not made up for.
        first = max(self._free, now + wait)
        self._free = first + size / rate
        return schedule_moments(first, size, rate, self._jitter)


class FleetPace:
    """Reserves slots in one sequence that all servers of this rate share, on this Redis and database.

    Each server reserves slots for a quarter of a second at a time, and then queues behind the others, so all make equal
    progress, and Redis gets four requests a second, however many servers drain. While Redis does not answer, each
    server keeps a pace of its own.

    Urgent servers use a second sequence, which is as fast as the other servers accept clients.

    Args:
        redis: A client for requests; others may use it too.
        receivers: The servers that accept the clients.
        patience: Seconds that Redis may take to answer.
        leave_alone: Seconds without requests after Redis did not answer.
        clock: Seconds that never go back.
        jitter: Where within its slot a time is, from 0 to 1.
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
        """See `Pace.reserve`. Raises nothing if Redis does not answer."""
        size = compute_batch_size(count, rate)
        enough = need if size == count else ENOUGH * need
        wait = await self._ask(find_sequence(rate), size, rate, size / enough - size / rate if enough else LONGEST_WAIT)
        if wait is None:
            return self._local.schedule(count, rate)
        # Counted from the answer, not from the request: too late by the network delay at worst, but never too early.
        return [] if wait < 0 else schedule_moments(self._clock() + wait, size, rate, self._jitter)

    async def reserve_urgent(self, count: int, rate: float, need: float) -> list[float]:
        """See `Pace.reserve_urgent`. Raises nothing if Redis does not answer."""
        accepted = max(rate, self._receivers.compute_accept_rate())  # an urgent server is never slower than the others
        own = min(need, accepted)
        wait = await self._ask(URGENT_KEY, compute_batch_size(count, own), accepted)
        return self._local.schedule(count, own, wait=wait or 0)

    async def _ask(self, key: str, size: int, rate: float, patience: float = LONGEST_WAIT) -> float | None:
        """Reserve `size` slots: seconds until the first; negative if that is too late; None: Redis does not answer."""
        if self._clock() < self._try_again:
            return None
        arguments = [
            size,
            max(1, round(1_000_000 * min(1 / rate, LONGEST_WAIT))),
            max(0, round(min(patience, LONGEST_WAIT) * 1_000_000)),
        ]
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
