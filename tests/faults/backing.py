"""What stands behind the servers: nothing, one Redis, Redis with a replica and a Sentinel, or Redis Cluster.

Every redis-server writes all that it takes to disk before it answers: what it has accepted it has again after it was
killed. Only a failover loses something, since replication is asynchronous.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

from redis.exceptions import RedisError

from support.redis_cluster import RedisCluster
from support.redis_sentinel import SERVICE, SentinelServer, eventually
from support.redis_server import DURABLE, RedisServer

DOWN_AFTER_MS = 3_000
"""Longer than a busy machine holds Redis up, so that only what a test does makes a failover."""


class Backing:
    """No Redis.

    Attributes:
        url: REDIS_URL; empty: none.
    """

    url = ""

    async def start(self) -> None:
        """Start all of it, and wait until it is in order."""

    def close(self) -> None:
        """End all of it."""

    def masters(self) -> list[RedisServer]:
        """The servers that take writes now."""
        return []

    async def back(self, server: RedisServer) -> None:
        """Start one that was ended, and wait until all is in order."""
        await server.start()


class OneRedis(Backing):
    """One redis-server."""

    def __init__(self) -> None:
        self.server = RedisServer(*DURABLE)

    @property
    def url(self) -> str:  # type: ignore[override]  # known once it has a port
        return self.server.url

    async def start(self) -> None:
        await self.server.start()

    def close(self) -> None:
        self.server.close()

    def masters(self) -> list[RedisServer]:
        return [self.server]


class WithSentinel(Backing):
    """A master, its replica, and a Sentinel that swaps them."""

    def __init__(self) -> None:
        self.pair = [RedisServer(*DURABLE), RedisServer(*DURABLE)]
        self._sentinel: SentinelServer | None = None
        self._master = self.pair[0]

    @property
    def url(self) -> str:  # type: ignore[override]  # known once it has a port
        assert self._sentinel is not None
        return f"redis+sentinel://127.0.0.1:{self._sentinel.port}/0/{SERVICE}"

    @property
    def sentinel(self) -> SentinelServer:
        assert self._sentinel is not None
        return self._sentinel

    async def start(self) -> None:
        master, replica = self.pair
        await master.start()
        await self._start_as_replica(replica, master)
        self._sentinel = SentinelServer(
            master.port, f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}", "sentinel resolve-hostnames no"
        )
        await self._sentinel.start()
        await self.in_order()

    def close(self) -> None:
        for server in (self._sentinel, *self.pair):
            if server is not None:
                server.close()

    def masters(self) -> list[RedisServer]:
        return [self._master]

    async def back(self, server: RedisServer) -> None:
        if server is not self._master:
            await self._start_as_replica(server, self._master)
        await server.start()
        await self.in_order()

    async def failed_over(self) -> RedisServer:
        """Wait until the other one is master; that one."""
        old = self._master
        (new,) = [server for server in self.pair if server is not old]

        async def swapped() -> bool:
            _, port = await self.sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
            return int(port) == new.port and (await new.ask("ROLE"))[0] == "master"

        await eventually(_or_not(swapped), "the Sentinel makes the replica the master")
        self._master = new
        return new

    async def in_order(self) -> None:
        """Wait until the replica follows, and the Sentinel knows it."""
        (replica,) = [server for server in self.pair if server is not self._master]

        async def follows() -> bool:
            role = await replica.ask("ROLE")
            if role[0] != "slave" or int(role[2]) != self._master.port or role[3] != "connected":
                return False
            told = await self.sentinel.ask("SENTINEL", "REPLICAS", SERVICE)
            return any(_is_healthy(one, replica.port) for one in told)

        await eventually(_or_not(follows), "the replica follows the master, and the Sentinel knows it")

    async def _start_as_replica(self, server: RedisServer, master: RedisServer) -> None:
        server.extra_args = (*(*DURABLE, "--replicaof", f"127.0.0.1 {master.port}", "--repl-diskless-sync-delay", "0"),)
        await server.start()


class WithCluster(Backing):
    """Three masters."""

    def __init__(self) -> None:
        self.cluster = RedisCluster()

    @property
    def url(self) -> str:  # type: ignore[override]  # known once the nodes have ports
        return self.cluster.url

    async def start(self) -> None:
        await self.cluster.start()

    def close(self) -> None:
        self.cluster.close()

    def masters(self) -> list[RedisServer]:
        return list(self.cluster.nodes)

    async def back(self, server: RedisServer) -> None:
        (node,) = [node for node in self.cluster.nodes if node is server]
        await self.cluster.start(node)


def _is_healthy(told: Any, port: int) -> bool:
    # RESP2 gives names and values in one list, RESP3 and redis-py a dict
    fields = told if isinstance(told, dict) else dict(zip(told[::2], told[1::2], strict=True))
    return int(fields["port"]) == port and str(fields["flags"]) == "slave"


def _or_not(holds: Any) -> Any:
    async def asked() -> bool:
        try:
            return bool(await holds())
        except (RedisError, OSError):
            return False

    return asked


async def ids_in_streams(server: RedisServer, prefix: str) -> set[str]:
    """Ids of published events that lie in this server's streams, whatever stands around them."""
    pattern = re.compile(re.escape(prefix) + r"[\w-]+:\d+")

    def search() -> set[str]:
        found: set[str] = set()
        cursor: Any = "0"
        while True:
            cursor, keys = server.ask_now("SCAN", cursor, "COUNT", 1_000, "TYPE", "stream")
            for key in keys:
                found.update(pattern.findall(str(server.ask_now("XRANGE", key, "-", "+"))))
            if str(cursor) == "0":
                return found

    return await asyncio.to_thread(search)
