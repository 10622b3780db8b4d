"""Whether Redis is used: not while it is away, until a probe in the background reaches it again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import structlog

from tradecast.background.tasks import cancel_and_wait
from tradecast.causes import SOME_REDIS, Place, explain_error
from tradecast.redis_client.errors import FAILURES, is_key_error

T = TypeVar("T")
# Requests at a time: below the pool size of `create_redis`, which others share.
MOST_AT_ONCE = 32
log = structlog.stdlib.get_logger("tradecast.limits")


class RedisAway(Exception):
    """Redis was not asked, or did not answer."""


class KeyUnusable(RedisAway):
    """Redis answers but cannot do this one request: foreign data lies under its keys and cannot be removed."""


class RedisDependent(Protocol):
    """What uses Redis, and does without it while it is away."""

    async def restore_redis(self) -> None:
        """Check that Redis can do what it is needed for, and bring it up to date.

        Raises:
            Exception: One of `FAILURES`, within a time of its own: Redis is still away.
        """
        ...

    def redis_away(self, away: bool) -> None:
        """Redis is given up (True), or used again (False)."""
        ...


class Failover:
    """Sends requests to Redis while it answers.

    Args:
        dependent: Checks Redis before it is used again.
        patience: Seconds that a request may take.
        place: Where Redis is, for logs.
    """

    def __init__(
        self,
        dependent: RedisDependent,
        patience: float,
        place: Place = SOME_REDIS,
    ) -> None:
        self.away = False
        self.place = place
        self._dependent = dependent
        self._patience = patience
        self._spell = 0
        self._at_once = asyncio.Semaphore(MOST_AT_ONCE)
        self._probing: asyncio.Task[None] | None = None
        self._closed = False

    async def ask(self, request: Callable[[], Awaitable[T]]) -> T:
        """The answer of Redis.

        Raises:
            RedisAway: There is none, after `patience` seconds at most.
            KeyUnusable: There is none for these keys; for all others Redis stays in use.
        """
        if self.away:
            raise RedisAway
        spell = self._spell
        try:
            # Waiting for a turn says nothing about Redis: in a storm of connects the time runs from the request on.
            async with self._at_once, asyncio.timeout(self._patience):
                if self.away:
                    raise RedisAway
                return await request()
        except FAILURES as error:
            if is_key_error(error):
                raise KeyUnusable from error
            # A request that was already under way when Redis came back says nothing about now.
            if spell == self._spell:
                self._give_up(error)
            raise RedisAway from error

    def _give_up(self, error: Exception) -> None:
        self._spell += 1
        self.away = True
        log.warning("limits are kept in memory: Redis does not answer", **explain_error(error, self.place).fields())
        self._dependent.redis_away(True)
        if not self._closed:
            self._probing = asyncio.create_task(self._wait_until_back(), name="limits-probe")

    async def _wait_until_back(self) -> None:
        attempt = 0
        while True:
            attempt += 1
            await asyncio.sleep(min(attempt * 0.05, 2))
            try:
                await self._dependent.restore_redis()
                break
            except FAILURES:
                continue
            except Exception as error:
                log.exception("the probe of Redis failed unexpectedly", error=type(error).__name__)
        self.away = False
        log.info("limits are kept in Redis again")
        self._dependent.redis_away(False)

    async def close(self) -> None:
        """Stop probing Redis."""
        self._closed = True
        await cancel_and_wait(self._probing)
