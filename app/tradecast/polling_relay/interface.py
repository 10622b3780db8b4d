"""The address at which other servers reach this one, where no setting tells."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from redis.asyncio.sentinel import SentinelConnectionPool

from tradecast.redis_client.client import RedisClient
from tradecast.redis_client.cluster import ClusterClient

LOOPBACK = "127.0.0.1"


async def address_towards(redis: RedisClient) -> str:
    """This machine's address on the way to Redis; loopback where there is none. Nothing is sent."""
    host, port = _place(redis)
    if not host:
        return LOOPBACK  # a Unix socket
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        family, kind, _, _, address = found[0]
        with socket.socket(family, kind) as probe:
            probe.connect(address)  # of a datagram socket: it only chooses the way
            return str(probe.getsockname()[0])
    except OSError:
        return LOOPBACK


def _place(redis: RedisClient) -> tuple[str | None, int]:
    if isinstance(redis, ClusterClient):
        return redis.hosts[0]
    pool: Any = redis.connection_pool
    if isinstance(pool, SentinelConnectionPool):
        pool = pool.sentinel_manager.sentinels[0].connection_pool
    return pool.connection_kwargs.get("host"), pool.connection_kwargs.get("port", 6379)
