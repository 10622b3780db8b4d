"""The client of one Redis: bytes, its database, and its socket."""

from __future__ import annotations

import pytest

from integration.redis_client.opening import client
from kit.servers.redis_server import RedisServer

pytestmark = pytest.mark.redis


async def test_plain_gives_bytes(redis_server: RedisServer) -> None:
    async with client(redis_server.url) as redis:
        await redis.set("key", "välue")
        assert await redis.get("key") == "välue".encode()


async def test_the_database_of_the_url_is_used(redis_server: RedisServer) -> None:
    async with client(redis_server.url.removesuffix("/0") + "/3") as third, client(redis_server.url) as first:
        await third.set("key", "3")
        assert await first.get("key") is None
        assert await third.get("key") == b"3"


async def test_unix_socket(redis_server: RedisServer) -> None:
    async with client(redis_server.unix_url) as over_socket, client(redis_server.url) as over_tcp:
        await over_socket.set("key", "x")
        assert await over_tcp.get("key") == b"x"


async def test_a_short_absence_is_bridged_by_the_retries(own_redis: RedisServer) -> None:
    async with client(own_redis.url) as redis:
        await redis.ping()
        for _ in range(3):
            await redis.client_kill_filter(skipme=False)
            await redis.set("key", "x")
        assert await redis.get("key") == b"x"
