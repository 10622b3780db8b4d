"""What was read from a store, kept for a short time: in memory, and in Redis for the other servers.

A reconnect, to whichever server, then costs no query. What is known to have changed is marked by a **tombstone**,
which stands where the value would be: a value that was read before the change, and arrives after it, finds the place
taken, on this server and on the others.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar

import orjson
import structlog

from tradecast.redis_client.client import RedisClient
from tradecast.redis_client.errors import FAILURES, explain_redis
from tradecast.redis_client.topology import raise_errors
from tradecast.sessions.batch_loader import BatchLoader
from tradecast.sessions.models import TIERS, Session, User

V = TypeVar("V")
Source = Literal["memory", "redis", "miss"]

MAX_ENTRIES = 50_000
MIN_TOMBSTONE = 30.0
REDIS_TIMEOUT = 0.25
REDIS_PAUSE = 1.0
TOMBSTONE = b"-"
log = structlog.stdlib.get_logger("tradecast.auth.cache")


class _Write(NamedTuple):
    key: str
    value: bytes
    milliseconds: int


class ValueCodec(Protocol[V]):
    """Values as bytes, and back."""

    def encode(self, value: V) -> bytes:
        """A value as bytes."""
        ...

    def decode(self, key: str, text: bytes) -> V:
        """The value again, from its key and bytes. Raises ValueError or TypeError for what it does not know."""
        ...


class LookupObserver(Protocol):
    """Receives where look-ups end."""

    def session_lookup(self, source: Source) -> None:
        """A value was found in memory or in Redis, or has to be fetched (`miss`)."""
        ...


class Unobserved(LookupObserver):
    """Ignores everything."""

    def session_lookup(self, source: Source) -> None:
        """Nothing."""


class RedisTier:
    """Texts by key in Redis, read and written in batches.

    It only ever helps: what goes wrong counts as a miss, takes at most 0.25 s, and Redis is not used again for 1 s.

    Args:
        redis: Stays the caller's.
        monotonic: Seconds on a clock that is never set.
    """

    def __init__(self, redis: RedisClient, monotonic: Callable[[], float]) -> None:
        self._redis = redis
        self._monotonic = monotonic
        self._available_from = 0.0
        self._is_up = True
        self._reads: BatchLoader[str, bytes] = BatchLoader(_Reader(self))
        self._writes: BatchLoader[_Write, bool] = BatchLoader(_Writer(self))

    @property
    def is_available(self) -> bool:
        """Whether Redis is used now."""
        return self._monotonic() >= self._available_from

    async def get(self, key: str) -> bytes | None:
        """The text of a key; None if there is none, or Redis does not answer."""
        return await self._reads.load(key)

    async def put(self, write: _Write) -> None:
        """Write a text, unless its place is taken; a tombstone takes any place. Returns when that is done or failed."""
        await self._writes.load(write)

    async def close(self) -> None:
        """Drop what is under way."""
        await self._reads.close()
        await self._writes.close()

    async def read_batch(self, keys: Collection[str]) -> Mapping[str, bytes]:
        """The texts of these keys."""
        names = list(keys)
        try:
            async with asyncio.timeout(REDIS_TIMEOUT):
                values = await self._redis.read_many(names)
        except FAILURES as error:
            self._on_failure(error)
            return {}
        return {
            name: value.encode() if isinstance(value, str) else value
            for name, value in zip(names, values, strict=True)
            if value is not None
        }

    async def write_batch(self, writes: Collection[_Write]) -> None:
        """Write these."""
        # A tombstone takes the place of any value; a value takes no place that is taken.
        commands = [
            (one.key, ("SET", one.key, one.value, "PX", one.milliseconds, *(() if one.value == TOMBSTONE else ("NX",))))
            for one in writes
        ]
        try:
            async with asyncio.timeout(REDIS_TIMEOUT):
                raise_errors(await self._redis.run_all(commands))
        except FAILURES as error:
            self._on_failure(error)
        else:
            self._on_answer()

    def _on_failure(self, error: Exception) -> None:
        self._available_from = self._monotonic() + REDIS_PAUSE
        if self._is_up:
            self._is_up = False
            log.warning("session cache without Redis", **explain_redis(error, self._redis).fields())

    def _on_answer(self) -> None:
        if not self._is_up:
            self._is_up = True
            log.info("session cache has Redis again")


class _Reader:
    def __init__(self, tier: RedisTier) -> None:
        self._tier = tier

    async def load(self, keys: Collection[str]) -> Mapping[str, bytes]:
        return await self._tier.read_batch(keys)


class _Writer:
    def __init__(self, tier: RedisTier) -> None:
        self._tier = tier

    async def load(self, writes: Collection[_Write]) -> Mapping[_Write, bool]:
        await self._tier.write_batch(writes)
        return {}


class LayeredCache(Generic[V]):
    """Values by key, first in memory (the least recently used are dropped first), then in Redis.

    Args:
        prefix: Of the keys in Redis; what follows is a hash, since a key may be a secret.
        codec: Values as bytes.
        ttl: Seconds a value is good for, counted from when it was read from the store; 0 remembers nothing (changes are
            marked all the same).
        redis: None for memory alone. Stays the caller's.
        observer: Receives where each look-up ended.
        max_entries: Most values in memory.
        clock: Unix time in seconds, which other servers share.
        monotonic: Seconds on a clock that is never set.
    """

    def __init__(
        self,
        prefix: str,
        codec: ValueCodec[V],
        *,
        ttl: float,
        redis: RedisClient | None = None,
        observer: LookupObserver | None = None,
        max_entries: int = MAX_ENTRIES,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._prefix = prefix
        self._codec = codec
        self._ttl = ttl
        self._tier = None if redis is None else RedisTier(redis, monotonic)
        self._observer = observer or Unobserved()
        self._max_entries = max_entries
        self._clock = clock
        self._monotonic = monotonic
        self._values: OrderedDict[str, tuple[V, float]] = OrderedDict()  # with their end, monotonic
        self._tombstones: OrderedDict[str, float] = OrderedDict()

    @property
    def tombstone_ttl(self) -> float:
        """Seconds a change stays marked: longer than any value read before it can live or be under way."""
        return max(2 * self._ttl, MIN_TOMBSTONE)

    async def get(self, key: str) -> V | None:
        """The value of a key; None if it is not remembered, or was marked as changed."""
        source: Source = "miss"
        value = self._get_memory(key)
        if value is not None:
            source = "memory"
        elif self._ttl > 0 and (tier := self._available_tier()) is not None and not self._is_marked(key):
            text = await tier.get(self._redis_key(key))
            value = self._keep(key, text) if text is not None and text != TOMBSTONE else None
            source = "miss" if value is None else "redis"
        self._observer.session_lookup(source)
        return value

    async def put(self, key: str, value: V, ttl: float | None = None) -> None:
        """Remember what was just read from the store, unless it is marked as changed.

        Args:
            key: Its key.
            value: What was read.
            ttl: Seconds it is good for, where that is less than the cache's own.
        """
        seconds = self._ttl if ttl is None else min(ttl, self._ttl)
        if seconds <= 0 or self._is_marked(key):
            return
        self._put_memory(key, value, seconds)
        if (tier := self._available_tier()) is not None:
            text = orjson.dumps(self._clock() + seconds) + b" " + self._codec.encode(value)
            await tier.put(_Write(self._redis_key(key), text, math.ceil(seconds * 1000)))

    def mark(self, keys: Collection[str]) -> None:
        """Drop values and mark them as changed, in this process. `publish_marks` informs the other servers."""
        now = self._monotonic()
        for key in keys:
            self._values.pop(key, None)
            self._tombstones[key] = now + self.tombstone_ttl
            self._tombstones.move_to_end(key)
        while self._tombstones and next(iter(self._tombstones.values())) <= now:
            self._tombstones.popitem(last=False)

    async def publish_marks(self, keys: Collection[str]) -> None:
        """Mark values as changed in Redis. Returns when that is done or has failed."""
        tier = self._tier
        if tier is None or not keys:
            return
        lives = math.ceil(self.tombstone_ttl * 1000)
        writes = [_Write(self._redis_key(key), TOMBSTONE, lives) for key in keys]
        await asyncio.gather(*(tier.put(write) for write in writes))

    async def forget(self, keys: Collection[str]) -> None:
        """Drop values and mark them as changed, here at once and then in Redis."""
        self.mark(keys)
        await self.publish_marks(keys)

    def has_in_memory(self, key: str) -> bool:
        """Whether a value is in memory."""
        return self._get_memory(key) is not None

    def clear(self) -> None:
        """Drop all values in memory; what is marked stays so."""
        self._values.clear()

    async def close(self) -> None:
        """Drop what is under way."""
        if self._tier is not None:
            await self._tier.close()

    # -- memory

    def _get_memory(self, key: str) -> V | None:
        entry = self._values.get(key)
        if entry is None:
            return None
        value, until = entry
        if until <= self._monotonic():
            del self._values[key]
            return None
        self._values.move_to_end(key)
        return value

    def _put_memory(self, key: str, value: V, seconds: float) -> None:
        self._values[key] = (value, self._monotonic() + seconds)
        self._values.move_to_end(key)
        if len(self._values) > self._max_entries:
            self._values.popitem(last=False)

    def _is_marked(self, key: str) -> bool:
        return self._tombstones.get(key, 0.0) > self._monotonic()

    # -- Redis

    def _redis_key(self, key: str) -> str:
        return self._prefix + hashlib.sha256(key.encode()).hexdigest()

    def _available_tier(self) -> RedisTier | None:
        return self._tier if self._tier is not None and self._tier.is_available else None

    def _keep(self, key: str, text: bytes) -> V | None:
        """Take over what another server (or this one, earlier) read from the store, for the time it has left."""
        until, _, encoded = text.partition(b" ")
        try:
            left = min(float(until) - self._clock(), self._ttl)
            value = self._codec.decode(key, encoded)
        except (ValueError, TypeError):
            return None
        if not left > 0 or self._is_marked(key):
            return None
        self._put_memory(key, value, left)
        return value


class SessionCache(LayeredCache[Session]):
    """Sessions by their bare id, without what a users collection adds. Keyword arguments are `LayeredCache`'s."""

    def __init__(
        self,
        *,
        ttl: float,
        redis: RedisClient | None = None,
        observer: LookupObserver | None = None,
        max_entries: int = MAX_ENTRIES,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(
            "tradecast:session:1:",
            _SessionCodec(),
            ttl=ttl,
            redis=redis,
            observer=observer,
            max_entries=max_entries,
            clock=clock,
            monotonic=monotonic,
        )


class UserCache(LayeredCache[dict[str, object]]):
    """Documents of the users collection by the user's id, reduced to the fields that are used."""

    def __init__(
        self,
        *,
        ttl: float,
        redis: RedisClient | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(
            "tradecast:user:1:",
            _DocumentCodec(),
            ttl=ttl,
            redis=redis,
            clock=clock,
            monotonic=monotonic,
        )


class _SessionCodec:
    def encode(self, value: Session) -> bytes:
        user = value.user
        return orjson.dumps([user.id, user.name, user.email, user.is_admin, user.tier, value.expires_at])

    def decode(self, key: str, text: bytes) -> Session:
        user_id, name, email, is_admin, tier, expires_at = orjson.loads(text)
        texts = all(isinstance(value, str) for value in (user_id, name, email))
        if not texts or not isinstance(is_admin, bool) or tier not in TIERS or not isinstance(expires_at, int | float):
            raise ValueError("not a session")
        return Session(key, User(user_id, name, email, is_admin, tier), float(expires_at))


class _DocumentCodec:
    def encode(self, value: dict[str, object]) -> bytes:
        return orjson.dumps(value)

    def decode(self, key: str, text: bytes) -> dict[str, object]:
        document = orjson.loads(text)
        if not isinstance(document, dict):
            raise ValueError("not a document")
        return document
