"""What servers on one Redis write for each other: that it has lost its sessions, and which were revoked since."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final

import structlog

from tradecast.redis_client.client import RedisClient
from tradecast.redis_client.errors import FAILURES, explain_redis, is_key_error
from tradecast.redis_client.topology import raise_errors
from tradecast.sessions.errors import StoreUnavailable
from tradecast.sessions.loss.mass_loss import LONGEST

PREFIX: Final = "tradecast:sessions:1:"
LOST: Final = PREFIX + "lost"
EVERYTHING: Final = "all"
PATIENCE: Final = 2.0
CHUNK: Final = 500
log = structlog.stdlib.get_logger("tradecast.auth.revocation")


def name_session(session_id: str) -> str:
    """A session as revocations name it."""
    return f"session {session_id}"


def name_user(user_id: str) -> str:
    """All sessions of a user as revocations name them."""
    return f"user {user_id}"


def name_handle(handle: str) -> str:
    """A session by its handle as revocations name it."""
    return f"handle {handle}"


class StoreMarks:
    """Marks in Redis, each for as long as a loss may last. The keys are digests: what they name is a secret.

    Raises:
        StoreUnavailable: From every method, when Redis does not answer.

    Args:
        redis: That of the sessions; stays the caller's.
        patience: Seconds that it may take to answer.
        clock: Unix time in seconds.
    """

    def __init__(self, redis: RedisClient, patience: float = PATIENCE, clock: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._patience = patience
        self._clock = clock

    async def mark_lost(self, until: float) -> float:
        """Mark the sessions as lost until then; the time that the first server has written."""
        left = max(1, round((until - self._clock()) * 1000))
        await self._run([(LOST, ("SET", LOST, f"{until:.3f}", "PX", left, "NX"))])
        return await self.lost_until() or until

    async def lost_until(self) -> float | None:
        """Until when a missing session may be a lost one; None: no loss is known."""
        (value,) = await self._run([(LOST, ("GET", LOST))])
        until = _parse_time(value)
        return until if self._clock() < until <= self._clock() + 2 * LONGEST else None

    async def revoke(self, names: Iterable[str]) -> None:
        """Mark sessions as revoked, by their names; the store may have lost them."""
        lives = round(LONGEST * 1000)
        keys = [_make_key(name) for name in names]
        await self._run([(key, ("SET", key, f"{self._clock():.3f}", "PX", lives)) for key in keys])

    async def revoke_all(self) -> None:
        """Mark all sessions as revoked; no loss is known any more."""
        await self.revoke([EVERYTHING])
        await self._run([(LOST, ("DEL", LOST))])

    async def revoked(self, names: Collection[str], since: float) -> set[str]:
        """Which of these names were marked as revoked at or after `since` (Unix seconds)."""
        listed = list(names)
        found: set[str] = set()
        for start in range(0, len(listed), CHUNK):
            some = listed[start : start + CHUNK]
            keys = [_make_key(name) for name in some]
            answers = await self._run([(key, ("GET", key)) for key in keys])
            found.update(name for name, answer in zip(some, answers, strict=True) if _parse_time(answer) >= since)
        return found

    async def _run(self, commands: Sequence[tuple[str, tuple[Any, ...]]]) -> Sequence[Any]:
        async def ask() -> Sequence[Any]:
            answers = await self._redis.run_all(commands)
            return raise_errors([None if is_key_error(answer) else answer for answer in answers])

        try:
            async with asyncio.timeout(self._patience):
                return await ask()
        except FAILURES as error:
            cause = explain_redis(error, self._redis)
            raise StoreUnavailable(f"Redis: {type(error).__name__}", cause=cause) from None


def _parse_time(value: Any) -> float:
    try:
        return float(value or 0)
    except ValueError:
        return 0.0


def _make_key(name: str) -> str:
    return PREFIX + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
