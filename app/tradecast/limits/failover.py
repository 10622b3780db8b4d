"""Whether Redis is asked: it is left alone while it is away, and a probe in the background finds it back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from tradecast.background.tasks import cancel_and_wait
from tradecast.causes import SOME_REDIS, Place, explain
from tradecast.redis_client.errors import FAILURES, is_key_error

T = TypeVar("T")
# Below the pool size of create_redis, which others share.
PLACES = 32
log = structlog.stdlib.get_logger("tradecast.limits")


class RedisAway(Exception):
    """Redis was not asked, or did not answer."""


class KeyUnusable(RedisAway):
    """Redis answers, and cannot do this one request: something else lies under its keys, and stays there."""


class Failover:
    """Asks Redis while it answers.

    Args:
        probe: A request that shows that Redis can do what it is needed for. Raises one of `FAILURES` if not, within
            a time of its own.
        on_change: Told True when Redis is given up and False when it is back.
        patience: Seconds that a request may take.
        place: Where Redis is, for logs.
    """

    def __init__(
        self,
        probe: Callable[[], Awaitable[object]],
        on_change: Callable[[bool], None],
        patience: float,
        place: Place = SOME_REDIS,
    ) -> None:
        self.away = False
        self.place = place
        self._probe = probe
        self._on_change = on_change
        self._patience = patience
        self._spell = 0
        self._places = asyncio.Semaphore(PLACES)
        self._probing: asyncio.Task[None] | None = None
        self._closed = False

    async def ask(self, request: Callable[[], Awaitable[T]]) -> T:
        """The answer of Redis.

        Raises:
            RedisAway: There is none, after `patience` seconds at most.
            KeyUnusable: There is none for these keys; for all others Redis goes on to be asked.
        """
        if self.away:
            raise RedisAway
        spell = self._spell
        try:
            # Waiting for a place says nothing about Redis: in a storm of connects the patience begins when it is asked.
            async with self._places, asyncio.timeout(self._patience):
                if self.away:
                    raise RedisAway
                return await request()
        except FAILURES as error:
            if is_key_error(error):
                raise KeyUnusable from error
            # a request that was already under way when Redis came back says nothing about now
            if spell == self._spell:
                self._give_up(error)
            raise RedisAway from error

    def _give_up(self, error: Exception) -> None:
        self._spell += 1
        self.away = True
        log.warning("limits are kept in memory: Redis does not answer", **explain(error, self.place).fields())
        self._on_change(True)
        if not self._closed:
            self._probing = asyncio.create_task(self._find_back(), name="limits-probe")

    async def _find_back(self) -> None:
        attempt = 0
        while True:
            attempt += 1
            await asyncio.sleep(min(attempt * 0.05, 2))
            try:
                await self._probe()
                break
            except FAILURES:
                continue
            except Exception as error:
                log.exception("the probe of Redis failed unexpectedly", error=type(error).__name__)
        self.away = False
        log.info("limits are kept in Redis again")
        self._on_change(False)

    async def close(self) -> None:
        """Stop looking for Redis."""
        self._closed = True
        await cancel_and_wait(self._probing)
