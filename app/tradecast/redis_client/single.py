"""The client of one Redis, at one address or found by Sentinels."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection, ConnectionPool, SSLConnection
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import NoPermissionError, ResponseError

from tradecast.causes import REDIS, Place
from tradecast.redis_client.topology import Command, RedisTopology, raise_errors
from tradecast.redis_client.urls import PORT, join_hosts


class SingleClient(Redis, RedisTopology):  # type: ignore[misc]  # redis-py's own bases do not agree
    """`redis.asyncio.Redis` with what it has in common with a cluster's client."""

    is_cluster = False

    @property
    def place(self) -> Place:  # type: ignore[override]  # an attribute may be a property
        return _find_place(self.connection_pool)

    @property
    def database(self) -> int:  # type: ignore[override]  # as above
        return self.connection_pool.connection_kwargs.get("db") or 0

    @property
    def first_host(self) -> tuple[str | None, int]:
        pool: Any = self.connection_pool
        if isinstance(pool, SentinelConnectionPool):
            pool = pool.sentinel_manager.sentinels[0].connection_pool
        return pool.connection_kwargs.get("host"), pool.connection_kwargs.get("port", PORT)

    async def check(self) -> None:
        await self.ping()

    async def open_connection(self, key: str) -> AbstractConnection:
        connection: AbstractConnection = self.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        await connection.connect()  # type: ignore[no-untyped-call]
        return connection

    async def run_all(self, commands: Sequence[Command]) -> list[Any]:
        async with self.pipeline(transaction=False) as pipeline:
            for _, words in commands:
                pipeline.execute_command(*words)
            return await pipeline.execute(raise_on_error=False)

    async def read_info(self) -> Mapping[str, Mapping[str, Any]]:
        return {self.place.at: await self.execute_command("INFO")}  # type: ignore[no-untyped-call]

    async def read_run_ids(self) -> Callable[[str], str]:
        run_id = ""
        try:
            run_id = str((await self.info("server")).get("run_id", ""))
        except ResponseError as error:
            if not (isinstance(error, NoPermissionError) or type(error) is ResponseError):
                raise
            # without permission to ask
        return lambda key: run_id

    async def scan_keys(self, pattern: str, count: int) -> AsyncGenerator[Sequence[bytes | str], None]:
        cursor: Any = 0
        while True:
            cursor, keys = await self.scan(cursor, match=pattern, count=count)
            yield keys
            if cursor == 0:
                return

    async def read_many(self, keys: Sequence[str]) -> Sequence[Any]:
        return await self.mget(keys)

    async def read_with_ttl(self, keys: Sequence[str]) -> tuple[Sequence[Any], Sequence[int]]:
        pipeline = self.pipeline(transaction=False)
        pipeline.mget(keys)
        for key in keys:
            pipeline.pttl(key)
        values, *ttls = await pipeline.execute()
        return values, ttls

    async def find_existing(self, keys: Sequence[str]) -> Sequence[bool]:
        if await self.exists(*keys) == len(keys):
            return [True] * len(keys)
        # EXISTS with many keys gives their number only.
        return list(map(bool, raise_errors(await self.run_all([(key, ("EXISTS", key)) for key in keys]))))

    async def delete_all(self, keys: Sequence[str]) -> int:
        return int(await self.delete(*keys))

    async def vary_name(self, name: str, key: Callable[[str], str]) -> list[str]:
        return [name]


def create_single_client(pool: ConnectionPool) -> SingleClient:
    """Create a client that closes its pool with itself."""
    return cast(SingleClient, SingleClient.from_pool(pool))


def _find_place(pool: ConnectionPool) -> Place:
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
