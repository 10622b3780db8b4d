"""Asking Redis for INFO, and for nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.connection import DefaultParser
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import RedisClusterException, RedisError

from tradecast_operator.model.answers import read_number
from tradecast_operator.tuning.redis_limits import RedisFacts

# Seconds for a connection or an answer, and for everything: a fleet's round waits for it.
TIMEOUT: Final = 3.0
LONGEST: Final = 5.0
# Bytes that one connection may answer: INFO has some 10 kB, the description of a Redis Cluster some 200 kB.
LARGEST: Final = 4 * 1024 * 1024
MOST_PRIMARIES: Final = 1_000
# An upper bound of every value.
MOST: Final = 1e18
# The query parameters of a URL that are used; others would be options of the client.
OPTIONS: Final = ("db", "ssl_cert_reqs", "ssl_check_hostname")
PLAIN: Final = ("redis", "rediss")
SENTINEL_PORT: Final = 26_379
SENTINEL: Final = ("redis+sentinel", "rediss+sentinel")
CLUSTER: Final = {"redis+cluster": "redis", "rediss+cluster": "rediss"}


class RedisSilent(Exception):
    """Redis did not answer, or refused; the text says which, and contains nothing of the URL."""


class BoundedParser(DefaultParser):  # type: ignore[valid-type,misc]
    """Reads at most `LARGEST` bytes from a connection, because its other end is not trusted."""

    def on_connect(self, connection: Any) -> None:
        super().on_connect(connection)
        self._stream: Any = _Bounded(self._stream)


class _Bounded:
    """A stream that raises when too much is read from it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._left = LARGEST

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def read(self, count: int) -> bytes:
        return self._count(await self._stream.read(count))

    async def readline(self) -> bytes:
        return self._count(await self._stream.readline())

    async def readexactly(self, count: int) -> bytes:
        if count > self._left:
            raise RedisError("too large an answer")
        return self._count(await self._stream.readexactly(count))

    def _count(self, data: bytes) -> bytes:
        self._left -= len(data)
        if self._left < 0:
            raise RedisError("too large an answer")
        return data


TIMES: Final[Mapping[str, Any]] = {"socket_timeout": TIMEOUT, "socket_connect_timeout": TIMEOUT}
PARSER: Final = "parser_class"
BOUNDED: Final[Mapping[str, Any]] = {**TIMES, PARSER: BoundedParser}


@dataclass(frozen=True, slots=True)
class Access:
    """Credentials outside the URL, named as the servers' settings; empty: none.

    Attributes:
        ca: Certificates in PEM that sign those of Redis and of its Sentinels.
        sentinel_username: ACL user of the Sentinels.
        sentinel_password: Password of the Sentinels.
    """

    ca: str = ""
    sentinel_username: str = ""
    sentinel_password: str = ""


class RedisInfoClient:
    """Asks a Redis for INFO, through the network."""

    async def read_facts(self, url: str, access: Access = Access()) -> RedisFacts:
        """Read the values of INFO.

        Args:
            url: As the servers' REDIS_URL.
            access: What the URL does not contain.

        Raises:
            RedisSilent: Redis does not answer, or refuses.
        """
        try:
            url = _strip_options(url)
            scheme, _, rest = url.partition("://")
            async with asyncio.timeout(LONGEST):
                tls: dict[str, Any] = {"ssl_ca_data": access.ca} if access.ca and scheme.startswith("rediss") else {}
                if scheme in CLUSTER:
                    return facts_of(await _ask_cluster(CLUSTER[scheme], rest, tls))
                if scheme in SENTINEL:
                    return facts_of([await _ask_master(url, access, tls)])
                async with Redis.from_url(url, **BOUNDED, **tls) as redis:
                    return facts_of([await redis.info()])
        except Exception as error:  # whatever a foreign URL or answer causes in the client
            raise RedisSilent(f"Redis does not answer INFO: {type(error).__name__}") from None


def _strip_options(url: str) -> str:
    """The URL without options of the client. Raises ValueError for other schemes, as that of a Unix socket."""
    if url.partition("://")[0] not in (*PLAIN, *SENTINEL, *CLUSTER):
        raise ValueError("no such scheme")
    head, _, query = url.partition("#")[0].partition("?")
    kept = [(name, value) for name, value in parse_qsl(query) if name in OPTIONS]
    return f"{head}?{urlencode(kept)}" if kept else head


async def _ask_master(url: str, access: Access, tls: Mapping[str, Any]) -> Mapping[str, Any]:
    """Ask the master that the Sentinels of `redis+sentinel://user:password@host:port,host:port/db/service` name."""
    parts = urlsplit(url)
    credentials, _, listed = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    options: dict[str, Any] = {**TIMES, **tls}
    if parts.scheme.startswith("rediss"):
        options["ssl"] = True
    hosts = [_split_host(entry) for entry in listed.split(",")]
    theirs = {"username": access.sentinel_username or None, "password": access.sentinel_password or None}
    sentinel = Sentinel(hosts, sentinel_kwargs={**options, **theirs})  # type: ignore[no-untyped-call]
    for one in sentinel.sentinels:  # which accept it no other way
        one.connection_pool.connection_kwargs[PARSER] = BoundedParser
    ours: dict[str, Any] = {
        PARSER: BoundedParser,
        "username": unquote(user) or None,
        "password": unquote(password) or None,
    }
    try:
        # INFO is about all databases, whichever the URL names.
        async with sentinel.master_for(unquote(parts.path.rpartition("/")[2]), **options, **ours) as redis:
            answer: Mapping[str, Any] = await redis.info()
            return answer
    finally:
        for one in sentinel.sentinels:
            await one.aclose()


def _split_host(entry: str) -> tuple[str, int]:
    """Split host and port; an IPv6 address is in brackets, and its colons separate no port."""
    host, colon, port = ("", "", "") if entry.endswith("]") else entry.rpartition(":")
    return (host.strip("[]"), int(port)) if colon else (entry.strip("[]"), SENTINEL_PORT)


async def _ask_cluster(scheme: str, rest: str, tls: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Ask the primaries, found through the first node that answers."""
    user, at, nodes = rest.rpartition("@")
    *others, last = nodes.split(",")
    for node in others:
        try:
            return await _ask_primaries(f"{scheme}://{user}{at}{node}", tls)
        except (RedisError, RedisClusterException, OSError):
            continue
    return await _ask_primaries(f"{scheme}://{user}{at}{last}", tls)


async def _ask_primaries(url: str, tls: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    cluster = RedisCluster.from_url(url, **TIMES, **tls)
    # The client accepts it no other way, for the nodes that it starts with and for those that it finds.
    begins = cluster.nodes_manager.startup_nodes.values()
    for options in (cluster.connection_kwargs, *(node.connection_kwargs for node in begins)):
        options[PARSER] = BoundedParser
    try:
        await cluster.initialize()
        if len(cluster.get_primaries()) > MOST_PRIMARIES:
            raise ValueError("too many primaries")
        answers = await cluster.info(target_nodes=RedisCluster.PRIMARIES)
    finally:
        await cluster.aclose()
    # Answers by node; for a single node, its answer itself.
    if "used_memory" in answers:
        return [answers]
    return [answers[name] for name in sorted(answers)]


def facts_of(nodes: Sequence[Mapping[str, Any]]) -> RedisFacts:
    """Combine nodes: for each value, that of the worst node."""
    fullest = max(
        nodes, key=lambda node: _compute_share(_read_integer(node["used_memory"]), _read_integer(node["maxmemory"]))
    )
    cpu = [
        read_number(node["used_cpu_user_main_thread"], 0, MOST) + read_number(node["used_cpu_sys_main_thread"], 0, MOST)
        for node in nodes
        if "used_cpu_user_main_thread" in node
    ]
    return RedisFacts(
        used_memory=_read_integer(fullest["used_memory"]),
        max_memory=_read_integer(fullest["maxmemory"]),
        evicted_keys=sum(_read_integer(node["evicted_keys"]) for node in nodes),
        ops_per_second=max(read_number(node["instantaneous_ops_per_sec"], 0, MOST) for node in nodes),
        clients=max(_read_integer(node["connected_clients"]) for node in nodes),
        cpu_seconds=tuple(cpu) if len(cpu) == len(nodes) else None,
        cluster=any(_read_integer(node.get("cluster_enabled", 0)) for node in nodes),
    )


def _read_integer(value: Any) -> int:
    return int(read_number(value, 0, MOST))


def _compute_share(used: int, most: int) -> float:
    return used / most if most > 0 else 0.0
