"""Limiters on a Redis, and what their observer is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.config.settings import load_settings
from tradecast.limits.limiter import RateLimiter
from tradecast.redis_client.client import create_redis


class Transitions:
    """The changes that `limiter_fallback` has reported."""

    def __init__(self) -> None:
        self.told: list[bool] = []

    def limiter_fallback(self, fallen_back: bool) -> None:
        self.told.append(fallen_back)

    def foreign_key(self, of: str) -> None:
        raise AssertionError(of)

    async def reach(self, expected: Sequence[bool]) -> None:
        async def reached() -> bool:
            return self.told == list(expected)

        await eventually(reached, 60, what=f"transitions {expected}")


@asynccontextmanager
async def limiter(
    server: RedisServer, told: Transitions | None = None, environ: dict[str, str] | None = None, **options: Any
) -> AsyncIterator[RateLimiter]:
    settings = load_settings({"REDIS_URL": server.url, **(environ or {})})
    redis = create_redis(settings)
    made = RateLimiter(settings, redis, observer=told, **options)
    await made.start()
    try:
        yield made
    finally:
        await made.close()
        await redis.aclose()


async def allowed(limiter: RateLimiter, event: str, tries: int, user_id: str = "u") -> int:
    return sum([bool(await limiter.check_limit(user_id, event)) for _ in range(tries)])
