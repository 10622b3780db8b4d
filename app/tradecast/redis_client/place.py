"""Where a client of Redis asks, for what is told of it when it does not work."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import SSLConnection
from redis.asyncio.sentinel import SentinelConnectionPool

from tradecast.causes import REDIS, Cause, Place, explain
from tradecast.redis_client.cluster import ClusterClient
from tradecast.redis_client.urls import PORT, join_hosts


def place_of(redis: Redis | ClusterClient) -> Place:
    """Where a client asks, without credentials."""
    if isinstance(redis, ClusterClient):
        return redis.place
    pool = redis.connection_pool
    options: dict[str, Any] = pool.connection_kwargs
    certified, authenticated = options.get("ssl_certfile") is not None, bool(options.get("password"))
    if isinstance(pool, SentinelConnectionPool):
        pools = [one.connection_pool for one in pool.sentinel_manager.sentinels]
        at = join_hosts([(one.connection_kwargs["host"], one.connection_kwargs["port"]) for one in pools])
        tls = any(issubclass(one.connection_class, SSLConnection) for one in pools)
        return Place(REDIS, at, "REDIS_URL", tls, certified, authenticated, "sentinel")
    at = options.get("path") or join_hosts([(options.get("host", "localhost"), options.get("port", PORT))])
    tls = issubclass(pool.connection_class, SSLConnection)
    return Place(REDIS, at, "REDIS_URL", tls, certified, authenticated)


def first_address(redis: Redis | ClusterClient) -> tuple[str | None, int]:
    """Host and port that a client asks first; no host for a Unix socket."""
    if isinstance(redis, ClusterClient):
        return redis.hosts[0]
    pool: Any = redis.connection_pool
    if isinstance(pool, SentinelConnectionPool):
        pool = pool.sentinel_manager.sentinels[0].connection_pool
    return pool.connection_kwargs.get("host"), pool.connection_kwargs.get("port", PORT)


@contextlib.contextmanager
def naming(redis: Redis | ClusterClient) -> Iterator[None]:
    """Note in errors which of several they are of (`causes.explain` reads that)."""
    try:
        yield
    except Exception as error:
        error.__dict__.setdefault("place", place_of(redis))
        raise


def explain_redis(error: BaseException, redis: Redis | ClusterClient) -> Cause:
    """What an error of a client means."""
    return explain(error, place_of(redis))
