"""Asking Redis how it is: INFO, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from redis.asyncio import Redis, RedisCluster
from redis.exceptions import RedisClusterException, RedisError

from tradecast_operator.redis_limits import RedisFacts

# Seconds for a connection or an answer, and for all of it: a fleet's round waits for it.
TIMEOUT: Final = 3.0
LONGEST: Final = 5.0
CLUSTER: Final = {"redis+cluster": "redis", "rediss+cluster": "rediss"}


class RedisSilent(Exception):
    """Redis did not answer, or refused; the text says how, and nothing of the URL."""


async def ask_redis(url: str) -> RedisFacts:
    """What Redis says of itself.

    Args:
        url: As the servers' REDIS_URL; not Sentinel's.

    Raises:
        RedisSilent: It says nothing.
    """
    scheme, _, rest = url.partition("://")
    try:
        async with asyncio.timeout(LONGEST):
            if scheme in CLUSTER:
                return facts_of(await _ask_cluster(CLUSTER[scheme], rest))
            async with Redis.from_url(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT) as redis:
                return facts_of([await redis.info()])
    except (RedisError, RedisClusterException, OSError, ValueError, KeyError, TypeError) as error:
        raise RedisSilent(f"Redis does not answer INFO: {type(error).__name__}") from None


async def _ask_cluster(scheme: str, rest: str) -> Sequence[Mapping[str, Any]]:
    """The primaries, found through the first node that answers."""
    user, at, nodes = rest.rpartition("@")
    *others, last = nodes.split(",")
    for node in others:
        try:
            return await _ask_primaries(f"{scheme}://{user}{at}{node}")
        except (RedisError, RedisClusterException, OSError):
            continue
    return await _ask_primaries(f"{scheme}://{user}{at}{last}")


async def _ask_primaries(url: str) -> Sequence[Mapping[str, Any]]:
    cluster = RedisCluster.from_url(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT)
    try:
        answers = await cluster.info(target_nodes=RedisCluster.PRIMARIES)
    finally:
        await cluster.aclose()
    # By node; of one node alone its answer itself.
    if "used_memory" in answers:
        return [answers]
    return [answers[name] for name in sorted(answers)]


def facts_of(nodes: Sequence[Mapping[str, Any]]) -> RedisFacts:
    """Of all nodes, in each respect the one that is worst off."""
    fullest = max(nodes, key=lambda node: _share(int(node["used_memory"]), int(node["maxmemory"])))
    cpu = [
        float(node["used_cpu_user_main_thread"]) + float(node["used_cpu_sys_main_thread"])
        for node in nodes
        if "used_cpu_user_main_thread" in node
    ]
    return RedisFacts(
        used_memory=int(fullest["used_memory"]),
        max_memory=int(fullest["maxmemory"]),
        evicted_keys=sum(int(node["evicted_keys"]) for node in nodes),
        ops_per_second=max(float(node["instantaneous_ops_per_sec"]) for node in nodes),
        clients=max(int(node["connected_clients"]) for node in nodes),
        cpu_seconds=tuple(cpu) if len(cpu) == len(nodes) else None,
        cluster=any(int(node.get("cluster_enabled", 0)) for node in nodes),
    )


def _share(used: int, most: int) -> float:
    return used / most if most > 0 else 0.0
