"""Brokers of several servers on a real Redis Cluster."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterator
from functools import partial

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot

from kit.contracts.broker import (
    RETENTION,
    BrokerContract,
    MakeBroker,
    RecordingListener,
    event,
    listen,
    numbers,
    session,
)
from kit.delivery.redis_brokers import Brokers, RecordingObserver, partitions_of
from kit.servers.redis_cluster import RedisCluster, started_cluster
from kit.waiting import eventually
from tradecast.delivery.broker import Broker
from tradecast.delivery.errors import AdapterUnavailable, PublishUncertain
from tradecast.delivery.ids import Offset
from tradecast.delivery.redis.broker import RedisBroker
from tradecast.delivery.retention import Retention

pytestmark = pytest.mark.redis
MANY = Retention(window=60, dead_after=10, refresh=5, events_per_room=100_000)


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


@pytest.fixture
def make_broker(brokers: Brokers) -> MakeBroker:
    async def make(retention: Retention = RETENTION) -> tuple[Broker, RecordingListener]:
        return await brokers.add(retention=retention)

    return make


class TestShardedBroker(BrokerContract):
    shared = True

    async def expired(self, broker: Broker, pid: str) -> bool:
        assert isinstance(broker, RedisBroker)
        return not await broker.redis.exists(f"{broker._of(pid).prefix}s:{pid}")


def one_room_each(broker: Broker) -> list[str]:
    """A room of every partition, in their order."""
    found: dict[int, str] = {}
    for n in range(10_000):
        found.setdefault(broker.partition_of(f"room{n}"), f"room{n}")
    assert len(found) == broker.partitions
    return [found[partition] for partition in range(broker.partitions)]


async def test_a_node_passes_nothing_on_to_the_others(brokers: Brokers) -> None:
    seen = RecordingObserver()
    (here, _), (there, elsewhere) = await brokers.add(watch=seen), await brokers.add()
    rooms = one_room_each(here)
    await listen(there, *rooms)
    last = [await here.publish(event(n, room)) for n, room in enumerate(rooms)]
    await eventually(lambda: len(elsewhere.envelopes) == 16)
    await eventually(lambda: all(at >= sent for at, sent in zip(here.positions, last, strict=True)))
    assert seen.room_messages == 0


async def test_an_event_to_rooms_of_several_partitions_says_where_else_it_is(brokers: Brokers) -> None:
    here, heard = await brokers.add()
    rooms = one_room_each(here)[:3]
    start = dict(await here.read_positions(rooms))
    await listen(here, *rooms)
    await here.publish(event(1, *reversed(rooms), skip=["s"], except_rooms=["z"]))
    await eventually(lambda: len(heard.envelopes) == 3)
    first, second, third = sorted(heard.envelopes, key=lambda one: len(one.elsewhere))
    assert [one.rooms for one in (first, second, third)] == [(room,) for room in rooms]
    assert dict(third.elsewhere) == {rooms[0]: first.id, rooms[1]: second.id}
    assert all(([*one.skip], [*one.except_rooms]) == (["s"], ["z"]) for one in (first, second, third))
    replay = await here.read(start)
    assert sorted(dict(one.elsewhere).keys().__len__() for one in replay.envelopes) == [0, 1, 2]


async def test_epochs_are_told_apart_in_each_partition(brokers: Brokers) -> None:
    here, _ = await brokers.add()
    offset = Offset(str(here.epoch), tuple(here.positions))
    lost = partitions_of(here)[5]
    known = str(lost.cursor.epoch)
    top = here.positions[5] - 3
    lost.cursor.epoch, lost.cursor.lineage = ("a0" if known[:2] != "a0" else "b0") + "000000", {known: top}
    assert here.translate_offset(offset) == Offset(str(here.epoch), (*offset.ids[:5], top, *offset.ids[6:]))
    lost.cursor.lineage = {}
    assert here.translate_offset(offset) is None


# -- with a cluster that something happens to


@pytest.fixture
async def own(redis_cluster: RedisCluster) -> AsyncIterator[Brokers]:
    async with Brokers(redis_cluster.url) as made:
        yield made


async def test_slots_that_move_lose_and_repeat_nothing(own: Brokers, redis_cluster: RedisCluster) -> None:
    seen = RecordingObserver()
    # the more, the longer the slots take to move
    (here, heard), (there, _) = await own.add(watch=seen, retention=MANY), await own.add(retention=MANY)
    rooms = one_room_each(here)
    await listen(here, *rooms)
    start = dict(await here.read_positions(rooms))
    done = asyncio.Event()
    sent: dict[str, list[int]] = {room: [] for room in rooms}

    async def publish(room: str) -> None:
        number = 0
        while not done.is_set():
            number += 1
            await there.publish(event(number, room))
            sent[room].append(number)

    publishing = [asyncio.create_task(publish(room)) for room in rooms]
    draw = random.Random(1)
    moved: set[int] = set()
    for _ in range(4):
        moved |= set(await redis_cluster.move_slots(8, draw))
    assert moved & {key_slot(partition.prefix.encode()) for partition in partitions_of(here)}
    before = {room: len(sent[room]) for room in rooms}
    await eventually(lambda: all(len(sent[room]) > before[room] + 20 for room in rooms))
    done.set()
    await asyncio.gather(*publishing)
    for room in rooms:
        await eventually(partial(_has, heard, room, len(sent[room])))
        assert _of(heard, room) == sent[room]
    replay = await here.read(start)
    for room in rooms:
        assert numbers([one for one in replay.envelopes if room in one.rooms]) == sent[room]
    assert heard.broken_rooms == set()


async def test_sessions_continue_where_their_slot_is_now(own: Brokers, redis_cluster: RedisCluster) -> None:
    (here, _), (there, _) = await own.add(), await own.add()
    rooms = one_room_each(here)
    saved = [session(joins=dict(await here.read_positions(rooms))) for _ in range(40)]
    for one in saved:
        assert await here.save(one)
    epoch = here.epoch
    for _ in range(3):
        await redis_cluster.move_slots(16, random.Random(2))
    await eventually(lambda: here.epoch != epoch and there.epoch == here.epoch)
    for one in saved:
        claimed = await there.claim(one.pid, one.user)
        assert claimed is not None
        assert claimed.joins == one.joins


async def test_a_session_begun_while_a_node_was_away_has_the_rooms_joined_since(
    own: Brokers, redis_cluster: RedisCluster
) -> None:
    node = redis_cluster.nodes[2]
    for each in redis_cluster.nodes:
        await each.ask("CONFIG", "SET", "cluster-require-full-coverage", "no")
    (there, _) = await own.add()
    rooms = one_room_each(there)
    await redis_cluster.kill(node)
    here, _ = await own.add(subscribed=False)
    await eventually(lambda: partitions_of(here)[0].live.is_set())
    pid = next(f"pid{n}" for n in range(1_000) if here.partition_of(f"pid{n}") == 0)
    saved = session(pid, joins=dict(await here.read_positions(rooms[:1])))
    assert await here.save(saved)
    await redis_cluster.start(node)
    await here.wait_until_subscribed()
    saved.joins |= await here.read_positions(rooms[-1:])
    assert await here.save_join(saved, rooms[-1])
    claimed = await there.claim(saved.pid, saved.user)
    assert claimed is not None
    assert claimed.joins == saved.joins


async def test_who_needs_nothing_of_a_node_that_is_away_continues_at_a_new_server(
    own: Brokers, redis_cluster: RedisCluster
) -> None:
    for each in redis_cluster.nodes:
        await each.ask("CONFIG", "SET", "cluster-require-full-coverage", "no")
    there, _ = await own.add()
    rooms = one_room_each(there)
    pid = next(f"pid{n}" for n in range(1_000) if there.partition_of(f"pid{n}") == 0)
    saved = session(pid, joins=dict(await there.read_positions(rooms[:1])))
    assert await there.save(saved)
    offset = Offset(str(there.epoch), tuple(there.positions))
    await redis_cluster.kill(redis_cluster.nodes[2])
    here, _ = await own.add(subscribed=False)
    await eventually(lambda: partitions_of(here)[0].live.is_set())
    claimed = await here.claim(pid, saved.user)
    assert claimed is not None
    assert claimed.joins == saved.joins
    assert here.translate_offset(offset) is not None


async def test_what_waits_for_a_slot_that_moves_holds_up_nothing_else(
    own: Brokers, redis_cluster: RedisCluster
) -> None:
    here, _ = await own.add(timeout=10)
    slot = _slot(partitions_of(here)[0].prefix)
    source = redis_cluster.owners()[slot]
    target = next(node for node in redis_cluster.nodes if node is not source)
    pids = [f"pid{n}" for n in range(1_000) if here.partition_of(f"pid{n}") == 0]
    known = session(pids[0])
    assert await here.save(known)
    await target.ask("CLUSTER", "SETSLOT", str(slot), "IMPORTING", source.node_id)
    await source.ask("CLUSTER", "SETSLOT", str(slot), "MIGRATING", target.node_id)
    waits = asyncio.create_task(here.claim(pids[1], "u1"))  # Redis would look for it at the other node
    await eventually(lambda: len(partitions_of(here)[0].queue.moving_queue))
    for _ in range(3):
        assert list(await here.touch([known])) == [True]
        await here.send_to_all(b"{}")
    assert not waits.done()
    await source.ask("CLUSTER", "SETSLOT", str(slot), "STABLE")
    assert await waits is None


async def test_a_master_that_has_lost_the_others_is_left(own: Brokers, redis_cluster: RedisCluster) -> None:
    """It still answers servers, and says CLUSTERDOWN; its slots are another's by now."""
    here, heard = await own.add(timeout=1)
    room = one_room_each(here)[0]
    await listen(here, room)
    slot = _slot(partitions_of(here)[0].prefix)
    alone = redis_cluster.owners()[slot]
    first, second = (node for node in redis_cluster.nodes if node is not alone)
    owner = first.node_id
    slots = alone.slots()
    for node in (first, second):
        await alone.ask("CLUSTER", "FORGET", node.node_id)
        async with Redis(port=node.port) as redis, redis.pipeline(transaction=False) as thousands:
            for each in slots:
                thousands.execute_command("CLUSTER", "SETSLOT", each, "NODE", owner)
            assert set(await thousands.execute()) == {b"OK"}
    await first.ask("CLUSTER", "BUMPEPOCH")

    async def heard_of() -> bool:
        with contextlib.suppress(AdapterUnavailable):
            await here.publish(event("again", room))
        return bool(_of(heard, room))

    await eventually(heard_of, within=60)


async def test_a_node_that_is_gone_takes_its_partitions_only(own: Brokers, redis_cluster: RedisCluster) -> None:
    here, heard = await own.add(timeout=1, publish_timeout=5)
    rooms = one_room_each(here)
    await listen(here, *rooms)
    owners = redis_cluster.owners()
    node = redis_cluster.nodes[2]  # of the last partitions
    gone = [room for room, one in zip(rooms, partitions_of(here), strict=True) if owners[_slot(one.prefix)] is node]
    left = [room for room in rooms if room not in gone]
    for each in redis_cluster.nodes:  # else the others refuse all that they are asked
        await each.ask("CONFIG", "SET", "cluster-require-full-coverage", "no")
    await redis_cluster.kill(node)
    for n, room in enumerate(left):
        await here.publish(event(n, room))
    await eventually(lambda: here.unreachable_for > 0 and not here.is_subscribed)
    with pytest.raises(AdapterUnavailable):
        await here.publish(event("lost", gone[0]))
    with pytest.raises(PublishUncertain, match="some of its rooms"):
        await here.publish(event("half", gone[-1], left[0]))
    await eventually(lambda: len(heard.envelopes) >= len(left))
    await redis_cluster.start(node)
    await here.wait_until_subscribed()
    for n, room in enumerate(gone):
        await here.publish(event(n, room))
    await eventually(lambda: _told(heard, gone))
    assert heard.broken_rooms == set()


def _slot(prefix: str) -> int:
    return key_slot(prefix.encode())


def _of(heard: RecordingListener, room: str) -> list[int]:
    return numbers([one for one in heard.envelopes if room in one.rooms])


async def _has(heard: RecordingListener, room: str, count: int) -> bool:
    return len(_of(heard, room)) >= count


async def _told(heard: RecordingListener, rooms: list[str]) -> bool:
    return all(_of(heard, room) for room in rooms)
