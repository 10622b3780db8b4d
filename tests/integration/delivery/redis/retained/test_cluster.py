"""What stays in a Redis Cluster for those who join later."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from kit.contracts.snapshots import RETAINING, SnapshotContract, quote, snapshot_of, until_history_is_gone
from kit.delivery.redis_brokers import Brokers
from kit.servers.redis_cluster import RedisCluster, started_cluster
from tradecast.delivery.redis.retained.purge import purge_rooms

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


class TestRetentionInCluster(SnapshotContract):
    """The contract, in sixteen partitions."""


async def test_rooms_of_all_partitions_are_retained_and_purged(brokers: Brokers) -> None:
    here, _ = await brokers.add(retention=RETAINING)
    rooms = [f"room{number}" for number in range(60)]
    for number, room in enumerate(rooms):
        await quote(here, number, room)
    await until_history_is_gone(here, *rooms)
    found = await here.read_snapshots(dict.fromkeys(rooms, 3))
    assert all(len(found[room].latest) == 1 for room in rooms)
    assert sum(one.total for one in (await purge_rooms(here.redis, rooms[:30])).values()) == 30
    assert (await snapshot_of(here, rooms[0])).latest == []
    assert len((await snapshot_of(here, rooms[30])).latest) == 1
