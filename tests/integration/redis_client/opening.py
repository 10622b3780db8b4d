"""Clients by their URL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis

from tradecast.config.settings import load_settings
from tradecast.redis_client.client import create_redis


@asynccontextmanager
async def client(url: str, environ: dict[str, str] | None = None, **overrides: Any) -> AsyncIterator[Redis]:
    redis = create_redis(load_settings({"REDIS_URL": url, **(environ or {})}), **overrides)
    assert isinstance(redis, Redis)
    try:
        yield redis
    finally:
        await redis.aclose()
