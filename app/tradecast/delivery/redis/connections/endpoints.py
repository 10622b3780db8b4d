"""Where the partitions are: one on a single Redis, sixteen on the nodes of a Redis Cluster."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from redis.asyncio.connection import AbstractConnection

from tradecast.causes import SOME_REDIS, Place
from tradecast.delivery.redis.command_sets import PUBSUB, SHARDED, CommandSet
from tradecast.delivery.redis.connections.script_connection import Connector
from tradecast.redis_client.client import RedisClient

# Hash tags of the partitions in Redis Cluster. Their slots lie evenly among the 16,384, and so on the nodes that share
# these. Both are part of where events are: they do not change.
TAGS: Final = tuple("18 3 65 140 19 2 64 141 106 23 70 49 107 0 66 48".split())  # noqa: SIM905 read at a glance


@dataclass(frozen=True, slots=True)
class PartitionEndpoint:
    """How to reach a partition.

    Attributes:
        connector: Knows where it is now.
        prefix: Of all its keys and channels, with a hash tag.
        commands: The scripts and commands for it.
        place: Where it is, for logs and errors.
    """

    connector: Connector
    prefix: str
    commands: CommandSet
    place: Place = SOME_REDIS


def find_partition(room: str, partitions: int) -> int:
    """Which partition a room belongs to, the same for all servers and publishers."""
    return 0 if partitions == 1 else zlib.crc32(room.encode()) % partitions


def list_endpoints(redis: RedisClient) -> Sequence[PartitionEndpoint]:
    """Where all partitions are, in their order."""
    if redis.is_cluster:
        prefixes, commands = [_format_prefix(0, tag) for tag in TAGS], SHARDED
    else:
        # Pub/sub knows no databases: without the number, deployments on one Redis would receive each other's events.
        prefixes, commands = [_format_prefix(redis.database, "0")], PUBSUB
    return [PartitionEndpoint(KeyConnector(redis, prefix), prefix, commands, redis.place) for prefix in prefixes]


class KeyConnector:
    """`Connector` to where a key is.

    Args:
        redis: Knows where that is; its own connections are used for asking only.
        key: The key, or what it begins with, hash tag included.
    """

    def __init__(self, redis: RedisClient, key: str) -> None:
        self._redis = redis
        self._key = key

    async def connect(self) -> AbstractConnection:
        return await self._redis.open_connection(self._key)


def _format_prefix(database: int, tag: str) -> str:
    return f"tradecast:events:{database}:{{{tag}}}:"
