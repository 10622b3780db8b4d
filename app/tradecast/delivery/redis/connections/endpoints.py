"""Where the partitions are: of one Redis one, of Redis Cluster sixteen, spread over its nodes."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot

from tradecast.causes import SOME_REDIS, Place
from tradecast.delivery.redis.command_sets import PUBSUB, SHARDED, CommandSet
from tradecast.delivery.redis.connections.script_connection import Connect
from tradecast.redis_client.cluster import ClusterClient
from tradecast.redis_client.place import place_of

# Hash tags of the partitions in Redis Cluster. Their slots lie evenly among the 16,384, and so on the nodes that share
# these. Both are part of where events are: they do not change.
TAGS: Final = tuple("18 3 65 140 19 2 64 141 106 23 70 49 107 0 66 48".split())  # noqa: SIM905 read at a glance
# Seconds for which what the cluster said of its slots is believed; a connection is asked for after that was wrong.
BELIEVED: Final = 0.2


@dataclass(frozen=True, slots=True)
class PartitionEndpoint:
    """The way to a partition.

    Attributes:
        connect: Makes an open connection to where it is now.
        prefix: Of all its keys and channels, with a hash tag.
        dialect: What is said there.
        place: What is told of it when it does not work.
    """

    connect: Connect
    prefix: str
    dialect: CommandSet
    place: Place = SOME_REDIS


def partition_of(room: str, partitions: int) -> int:
    """Which partition a room belongs to, the same for all servers and publishers."""
    return 0 if partitions == 1 else zlib.crc32(room.encode()) % partitions


def prefix_of(redis: Redis) -> str:
    """Of the keys and channels in one Redis.

    Pub/sub knows no databases: without the number, deployments on one Redis would hear each other.
    """
    return _prefix(redis.connection_pool.connection_kwargs.get("db") or 0, "0")


def links_of(redis: Redis | ClusterClient) -> Sequence[PartitionEndpoint]:
    """The ways to all partitions."""
    if isinstance(redis, ClusterClient):
        slots = Slots(redis)
        prefixes = [_prefix(0, tag) for tag in TAGS]
        return [
            PartitionEndpoint(partial(slots.connect, key_slot(prefix.encode())), prefix, SHARDED, redis.place)
            for prefix in prefixes
        ]
    return [PartitionEndpoint(partial(_connect, redis), prefix_of(redis), PUBSUB, place_of(redis))]


def _prefix(database: int, tag: str) -> str:
    return f"tradecast:events:{database}:{{{tag}}}:"


async def _connect(redis: Redis) -> AbstractConnection:
    """As the client's pool would, outside of it."""
    connection: AbstractConnection = redis.connection_pool.make_connection()  # type: ignore[no-untyped-call]
    await connection.connect()  # type: ignore[no-untyped-call]
    return connection


class Slots:
    """Which node of a cluster has which slot. Asked again when connections are wanted, which is when that was wrong.

    Args:
        cluster: Knows nodes and how to connect to them; its own connections are used for asking only.
    """

    def __init__(self, cluster: ClusterClient) -> None:
        self._cluster = cluster
        self._lock = asyncio.Lock()
        self._asked_at = -BELIEVED

    async def connect(self, slot: int) -> AbstractConnection:
        """A connection to the node that has a slot.

        Raises:
            ConnectionError: No node answers, none has the slot, or the one that has it cannot be reached.
        """
        async with self._lock:
            if time.monotonic() - self._asked_at >= BELIEVED:
                await self._cluster.find_anew()
                self._asked_at = time.monotonic()
        try:
            node = self._cluster.nodes_manager.get_node_from_slot(slot)
        except (exceptions.SlotNotCoveredError, KeyError) as error:
            raise exceptions.ConnectionError("no node of the cluster has the slot") from error
        options = node.connection_kwargs | {"retry": Retry(NoBackoff(), 0)}
        connection: AbstractConnection = node.connection_class(**options)
        await connection.connect()  # type: ignore[no-untyped-call]
        return connection
