"""Where the partitions are."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator

import pytest
from redis.crc import key_slot

from kit.contracts.broker import (
    event,
    listen,
)
from kit.delivery.redis_brokers import Brokers, partitions_of
from kit.servers.redis_cluster import RedisCluster, started_cluster
from kit.waiting import eventually
from tradecast.delivery.broker import Broker
from tradecast.delivery.envelope import LATEST
from tradecast.delivery.redis.connections.endpoints import TAGS

pytestmark = pytest.mark.redis


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    """Three masters that nothing happens to but requests."""
    cluster = started_cluster()
    yield cluster
    cluster.close()


@pytest.fixture
async def brokers(cluster: RedisCluster) -> AsyncIterator[Brokers]:
    for node in cluster.nodes:
        await node.ask("FLUSHALL")
    async with Brokers(cluster.url) as made:
        yield made


def one_room_each(broker: Broker) -> list[str]:
    """A room of every partition, in their order."""
    found: dict[int, str] = {}
    for n in range(10_000):
        found.setdefault(broker.partition_of(f"room{n}"), f"room{n}")
    assert len(found) == broker.partitions
    return [found[partition] for partition in range(broker.partitions)]


async def test_the_partitions_are_spread_over_the_nodes(brokers: Brokers, cluster: RedisCluster) -> None:
    here, _ = await brokers.add()
    slots = sorted(key_slot(partition.prefix.encode()) for partition in partitions_of(here))
    assert here.partitions == len(TAGS) == 16
    assert max(later - earlier for earlier, later in itertools.pairwise(slots)) < 16_384 / 16 * 1.2
    owners = cluster.owners()
    of_nodes = [sum(owners[slot] is node for slot in slots) for node in cluster.nodes]
    assert min(of_nodes) >= 5


async def test_channels_and_keys_lie_where_their_partition_does(brokers: Brokers, cluster: RedisCluster) -> None:
    here, heard = await brokers.add()
    rooms = one_room_each(here)
    await listen(here, *rooms)
    for n, room in enumerate(rooms):
        await here.publish(event(n, room))
        await here.publish(event(n, room, kind=LATEST))
    await eventually(lambda: len(heard.envelopes) == 32)
    owners = cluster.owners()
    for partition, room in zip(partitions_of(here), rooms, strict=True):
        node = owners[key_slot(partition.prefix.encode())]
        assert await node.ask("PUBSUB", "SHARDNUMSUB", f"{partition.prefix}r:{room}") in (
            {f"{partition.prefix}r:{room}": 1},
            [f"{partition.prefix}r:{room}", 1],
        )
        assert await node.ask("XLEN", f"{partition.prefix}h:{room}") == 1
