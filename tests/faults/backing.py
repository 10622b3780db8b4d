"""What stands behind the servers: nothing, one Redis, Redis with two replicas and a Sentinel, or Redis Cluster.

Every redis-server writes all that it takes to disk before it answers: what it has accepted it has again after it was
killed. Only a failover loses something, since replication is asynchronous.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

from redis.exceptions import RedisError

from kit.servers.mongo_server import MongoServer
from kit.servers.redis_cluster import RedisCluster
from kit.servers.redis_sentinel import SERVICE, SentinelServer
from kit.servers.redis_server import DURABLE, RedisServer
from kit.waiting import eventually

DOWN_AFTER_MS = 3_000
"""Longer than a busy machine holds Redis up, so that only what a test does makes a failover."""
DONE_WITHIN = 120.0
"""Seconds for what a Sentinel does: one that was held up for 2 s does nothing for 30 s (TILT)."""


REPLICATED = (
    *DURABLE,
    *("--repl-diskless-sync-delay", "0"),
    *("--min-replicas-to-write", "1", "--min-replicas-max-lag", "10"),
)


class Backing:
    """No Redis.

    Attributes:
        url: REDIS_URL; empty: none.
    """

    url = ""

    @property
    def variables(self) -> dict[str, str]:
        """What more the servers' environment needs."""
        return {}

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


class WithMongo(OneRedis):
    """One redis-server, and the sessions in MongoDB: what Redis loses are events, and what clients recover by."""

    def __init__(self) -> None:
        super().__init__()
        self.mongo = MongoServer()

    @property
    def variables(self) -> dict[str, str]:
        return {"MONGODB_URI": self.mongo.uri, "MONGODB_DATABASE": "faults"}

    async def start(self) -> None:
        await self.mongo.start()
        await super().start()

    def close(self) -> None:
        super().close()
        self.mongo.close()


class WithSentinel(Backing):
    """A master, two replicas, and a Sentinel that lets one of them take over.

    As docs/redis.md demands, a master that no replica follows takes nothing (`min-replicas-to-write`).
    """

    def __init__(self) -> None:
        self.servers = [RedisServer(), RedisServer(), RedisServer()]
        self._sentinel: SentinelServer | None = None
        self._master = self.servers[0]

    @property
    def url(self) -> str:  # type: ignore[override]  # known once it has a port
        return f"redis+sentinel://127.0.0.1:{self.sentinel.port}/0/{SERVICE}"

    @property
    def sentinel(self) -> SentinelServer:
        assert self._sentinel is not None
        return self._sentinel

    @property
    def replicas(self) -> list[RedisServer]:
        """Those that follow the master, or will when they run."""
        return [server for server in self.servers if server is not self._master]

    async def start(self) -> None:
        self._master.extra_args = REPLICATED
        await self._master.start()
        for replica in self.replicas:
            await self._start_as_replica(replica)
        self._sentinel = SentinelServer(
            self._master.port,
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}",
            "sentinel resolve-hostnames no",
        )
        await self._sentinel.start()
        await self.in_order()

    def close(self) -> None:
        for server in (self._sentinel, *self.servers):
            if server is not None:
                server.close()

    def masters(self) -> list[RedisServer]:
        return [self._master]

    async def back(self, server: RedisServer) -> None:
        if server is not self._master:
            await self._start_as_replica(server)
        await server.start()
        await self.in_order()

    async def failed_over(self) -> RedisServer:
        """Wait until another one is master; that one."""
        old = self._master
        by_port = {server.port: server for server in self.servers}

        async def swapped() -> bool:
            _, port = await self.sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
            new = by_port[int(port)]
            if new is old or (await new.ask("ROLE"))[0] != "master":
                return False
            self._master = new
            return True

        await eventually(_or_not(swapped), DONE_WITHIN, what="the Sentinel makes a replica the master")
        return self._master

    async def in_order(self) -> None:
        """Wait until both replicas follow, the master counts them, and the Sentinel knows them."""

        async def follow() -> bool:
            for replica in self.replicas:
                role = await replica.ask("ROLE")
                if role[0] != "slave" or int(role[2]) != self._master.port or role[3] != "connected":
                    return False
            about = await self._master.ask("INFO", "replication")
            if about["min_slaves_good_slaves"] != len(self.replicas):
                return False
            told = await self.sentinel.ask("SENTINEL", "REPLICAS", SERVICE)
            return {replica.port for replica in self.replicas} == set(_healthy(told))

        await eventually(
            _or_not(follow), DONE_WITHIN, what="both replicas follow the master, and the Sentinel knows it"
        )

    async def _start_as_replica(self, server: RedisServer) -> None:
        server.extra_args = (*REPLICATED, "--replicaof", f"127.0.0.1 {self._master.port}")
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


def _healthy(told: Any) -> list[int]:
    """The ports of the replicas that a Sentinel holds for healthy."""
    # RESP2 gives names and values in one list, RESP3 and redis-py a dict
    replicas = [one if isinstance(one, dict) else dict(zip(one[::2], one[1::2], strict=True)) for one in told]
    return [int(one["port"]) for one in replicas if str(one["flags"]) == "slave"]


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
