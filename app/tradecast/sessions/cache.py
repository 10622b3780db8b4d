"""What was read from a store, remembered for a short time: in memory, and in Redis for the other servers.

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
from typing import Generic, Literal, NamedTuple, TypeVar

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


class LayeredCache(Generic[V]):
    """Values by key, first in memory (least recently used go first), then in Redis.

    Redis only ever helps: what goes wrong there counts as a miss, takes at most 0.25 s, and is not asked again for 1 s.

    Args:
        prefix: Of the keys in Redis; what follows is a hash, since a key may be a secret.
        encode: A value as bytes.
        decode: The value again, from its key and bytes; raises ValueError or TypeError for what it does not know.
        ttl: Seconds a value is good for, counted from when it was read from the store; 0 remembers nothing (changes are
            marked all the same).
        redis: None for memory alone. Stays the caller's.
        on_lookup: Told where each look-up ended.
        max_entries: Most values in memory.
        clock: Unix time in seconds, which other servers share.
        monotonic: Seconds on a clock that is never set.
    """

    def __init__(
        self,
        prefix: str,
        encode: Callable[[V], bytes],
        decode: Callable[[str, bytes], V],
        *,
        ttl: float,
        redis: RedisClient | None = None,
        on_lookup: Callable[[Source], None] = lambda source: None,
        max_entries: int = MAX_ENTRIES,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._prefix = prefix
        self._encode = encode
        self._decode = decode
        self._ttl = ttl
        self._redis = redis
        self._on_lookup = on_lookup
        self._max_entries = max_entries
        self._clock = clock
        self._monotonic = monotonic
        self._values: OrderedDict[str, tuple[V, float]] = OrderedDict()  # with their end, monotonic
        self._tombstones: OrderedDict[str, float] = OrderedDict()
        self._redis_from = 0.0
        self._redis_up = True
        self._reads: BatchLoader[str, bytes] = BatchLoader(self._read_redis)
        self._writes: BatchLoader[_Write, bool] = BatchLoader(self._write_redis)

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
        elif self._ttl > 0 and self._redis_may_answer() and not self._is_marked(key):
            text = await self._reads.load(self._redis_key(key))
            value = self._keep(key, text) if text is not None and text != TOMBSTONE else None
            source = "miss" if value is None else "redis"
        self._on_lookup(source)
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
        if self._redis_may_answer():
            text = orjson.dumps(self._clock() + seconds) + b" " + self._encode(value)
            await self._writes.load(_Write(self._redis_key(key), text, math.ceil(seconds * 1000)))

    def mark(self, keys: Collection[str]) -> None:
        """Drop values and mark them as changed, in this process. `publish_marks` tells the other servers."""
        now = self._monotonic()
        for key in keys:
            self._values.pop(key, None)
            self._tombstones[key] = now + self.tombstone_ttl
            self._tombstones.move_to_end(key)
        while self._tombstones and next(iter(self._tombstones.values())) <= now:
            self._tombstones.popitem(last=False)

    async def publish_marks(self, keys: Collection[str]) -> None:
        """Mark values as changed in Redis. Returns when that is done or has failed."""
        if self._redis is None or not keys:
            return
        lives = math.ceil(self.tombstone_ttl * 1000)
        writes = [_Write(self._redis_key(key), TOMBSTONE, lives) for key in keys]
        await asyncio.gather(*(self._writes.load(write) for write in writes))

    async def forget(self, keys: Collection[str]) -> None:
        """Drop values and mark them as changed, here at once and then in Redis."""
        self.mark(keys)
        await self.publish_marks(keys)

    def holds(self, key: str) -> bool:
        """Whether a value is in memory."""
        return self._get_memory(key) is not None

    def clear(self) -> None:
        """Drop all values in memory; what is marked stays so."""
        self._values.clear()

    async def close(self) -> None:
        """Drop what is under way."""
        await self._reads.close()
        await self._writes.close()

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

    def _redis_may_answer(self) -> bool:
        return self._redis is not None and self._monotonic() >= self._redis_from

    def _keep(self, key: str, text: bytes) -> V | None:
        """Take over what another server (or this one, earlier) read from the store, for the time it has left."""
        until, _, encoded = text.partition(b" ")
        try:
            left = min(float(until) - self._clock(), self._ttl)
            value = self._decode(key, encoded)
        except (ValueError, TypeError):
            return None
        if not left > 0 or self._is_marked(key):
            return None
        self._put_memory(key, value, left)
        return value

    async def _read_redis(self, keys: Collection[str]) -> Mapping[str, bytes]:
        assert self._redis is not None  # noqa: S101 asked for before
        names = list(keys)
        try:
            async with asyncio.timeout(REDIS_TIMEOUT):
                values = await self._redis.read_many(names)
        except FAILURES as error:
            self._on_trouble(error)
            return {}
        return {
            name: value.encode() if isinstance(value, str) else value
            for name, value in zip(names, values, strict=True)
            if value is not None
        }

    async def _write_redis(self, writes: Collection[_Write]) -> Mapping[_Write, bool]:
        assert self._redis is not None  # noqa: S101 asked for before
        # A tombstone takes the place of any value; a value takes no place that is taken.
        commands = [
            (one.key, ("SET", one.key, one.value, "PX", one.milliseconds, *(() if one.value == TOMBSTONE else ("NX",))))
            for one in writes
        ]
        try:
            async with asyncio.timeout(REDIS_TIMEOUT):
                raise_errors(await self._redis.run_all(commands))
        except FAILURES as error:
            self._on_trouble(error)
            return {}
        self._on_answer()
        return {}

    def _on_trouble(self, error: Exception) -> None:
        self._redis_from = self._monotonic() + REDIS_PAUSE
        if self._redis_up and self._redis is not None:
            self._redis_up = False
            log.warning("session cache without Redis", **explain_redis(error, self._redis).fields())

    def _on_answer(self) -> None:
        if not self._redis_up:
            self._redis_up = True
            log.info("session cache has Redis again")


class SessionCache(LayeredCache[Session]):
    """Sessions by their bare id, as the session itself tells them. Keyword arguments are `LayeredCache`'s."""

    def __init__(
        self,
        *,
        ttl: float,
        redis: RedisClient | None = None,
        on_lookup: Callable[[Source], None] = lambda source: None,
        max_entries: int = MAX_ENTRIES,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(
            "tradecast:session:1:",
            _encode_session,
            _decode_session,
            ttl=ttl,
            redis=redis,
            on_lookup=on_lookup,
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
            orjson.dumps,
            _decode_document,
            ttl=ttl,
            redis=redis,
            clock=clock,
            monotonic=monotonic,
        )


def _encode_session(session: Session) -> bytes:
    user = session.user
    return orjson.dumps([user.id, user.name, user.email, user.is_admin, user.tier, session.expires_at])


def _decode_session(session_id: str, text: bytes) -> Session:
    user_id, name, email, is_admin, tier, expires_at = orjson.loads(text)
    texts = all(isinstance(value, str) for value in (user_id, name, email))
    if not texts or not isinstance(is_admin, bool) or tier not in TIERS or not isinstance(expires_at, int | float):
        raise ValueError("not a session")
    return Session(session_id, User(user_id, name, email, is_admin, tier), float(expires_at))


def _decode_document(user_id: str, text: bytes) -> dict[str, object]:
    document = orjson.loads(text)
    if not isinstance(document, dict):
        raise ValueError("not a document")
    return document
