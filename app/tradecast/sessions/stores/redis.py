"""Sessions in Redis, as connect-redis keeps them: the key is prefix and id, the value JSON, the end the key's TTL."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

import orjson
from redis.exceptions import NoPermissionError, ResponseError

from tradecast.redis_client.client import RedisClient
from tradecast.redis_client.errors import FAILURES, explain_redis
from tradecast.redis_client.script import decode_reply
from tradecast.sessions.documents.document import decode_data
from tradecast.sessions.errors import StoreUnavailable
from tradecast.sessions.stores.base import Instances, SessionChange, SessionRecord

T = TypeVar("T")
CHUNK = 500
KEY_IS_GONE = -2
GLOB = str.maketrans({char: f"\\{char}" for char in "*?[]\\^-"})


class RedisStore:
    """The session store of a server with Redis.

    Redis does not report reliably that a key is gone (keyspace notifications are off by default and may be lost), so
    there is no stream of changes here: deletions are noticed by polling.

    Args:
        client: Stays the caller's, who closes it.
        prefix: Of the keys.
        timeout: Seconds one request may take, the client's own retries included.
        clock: Unix time in seconds.
    """

    name = "redis"
    is_local = False

    def __init__(
        self,
        client: RedisClient,
        prefix: str = "sess:",
        *,
        timeout: float = 2.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._redis = client
        self._prefix = prefix
        self._timeout = timeout
        self._clock = clock

    async def load(self, ids: Collection[str]) -> dict[str, SessionRecord]:
        if not ids:
            return {}
        names = list(dict.fromkeys(ids))
        values, ttls = await self._answer(self._redis.read_with_ttl(_make_keys(self._prefix, names)))
        now = self._clock()
        return {
            name: SessionRecord(name, decode_data(value), now + ttl / 1000 if ttl >= 0 else None)
            for name, value, ttl in zip(names, values, ttls, strict=True)
            if value is not None and ttl != KEY_IS_GONE
        }

    async def existing(self, ids: Collection[str]) -> set[str]:
        names = list(dict.fromkeys(ids))
        if not names:
            return set()
        there = await self._answer(self._redis.find_existing(_make_keys(self._prefix, names)))
        return {name for name, exists in zip(names, there, strict=True) if exists}

    async def save(self, session_id: str, data: Mapping[str, Any], expires_at: float) -> None:
        left = max(1, round((expires_at - self._clock()) * 1000))
        await self._answer(self._redis.set(self._prefix + session_id, orjson.dumps(data), px=left))

    async def delete(self, ids: Sequence[str]) -> int:
        if not ids:
            return 0
        return await self._answer(self._redis.delete_all(_make_keys(self._prefix, ids)))

    def list(self) -> AsyncIterator[SessionRecord]:
        return self._scan()

    async def supports_changes(self) -> bool:
        return False

    def changes(self) -> AsyncGenerator[SessionChange, None]:
        """Not here: see `supports_changes`."""
        raise NotImplementedError("Redis has no stream of changes")

    async def instances(self) -> Instances | None:
        run_of = await self._answer(self._redis.read_run_ids())
        return lambda session_id: run_of(self._prefix + session_id)

    async def ping(self) -> None:
        await self._answer(self._redis.check())

    async def close(self) -> None:
        """Nothing: the client is the caller's."""

    async def _answer(self, request: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._timeout):
                return await request
        except FAILURES as error:
            cause = explain_redis(error, self._redis)
            why = f"Redis: {type(error).__name__}"
            raise StoreUnavailable(why, refused=_is_refusal(error), cause=cause) from None

    async def _scan(self) -> AsyncIterator[SessionRecord]:
        seen: set[str] = set()  # SCAN may name a key more than once
        async for keys in self._keys_in_turn(self._prefix.translate(GLOB) + "*"):
            names = (decode_reply(key)[len(self._prefix) :] for key in keys)
            fresh = iter([name for name in names if name not in seen])
            while chunk := list(islice(fresh, CHUNK)):
                seen.update(chunk)
                for record in (await self.load(chunk)).values():
                    yield record

    async def _keys_in_turn(self, pattern: str) -> AsyncIterator[Sequence[bytes | str]]:
        async with contextlib.aclosing(self._redis.scan_keys(pattern, CHUNK)) as scan:
            while (keys := await self._answer(anext(scan, None))) is not None:
                yield keys


def _is_refusal(error: BaseException) -> bool:
    """Whether Redis answers, and does not do this: a proxy that does not know it, or an ACL."""
    return isinstance(error, NoPermissionError) or type(error) is ResponseError


def _make_keys(prefix: str, ids: Collection[str]) -> list[str]:
    return [prefix + session_id for session_id in ids]
