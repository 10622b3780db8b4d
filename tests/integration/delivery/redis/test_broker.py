"""Brokers of several servers on one real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest

from kit.contracts.broker import (
    RETENTION,
    BrokerContract,
    MakeBroker,
    RecordingListener,
    event,
    listen,
    numbers,
    runtime_settings,
    session,
)
from kit.delivery.redis_brokers import Brokers, RecordingObserver, partitions_of
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.delivery.broker import Broker
from tradecast.delivery.envelope import COUNTED, LATEST, Envelope
from tradecast.delivery.redis.broker import RedisBroker
from tradecast.delivery.retention import Retention

pytestmark = pytest.mark.redis


@pytest.fixture
async def brokers(redis_server: RedisServer) -> AsyncIterator[Brokers]:
    async with Brokers(redis_server.url) as made:
        yield made


@pytest.fixture
def make_broker(brokers: Brokers) -> MakeBroker:
    async def make(retention: Retention = RETENTION) -> tuple[Broker, RecordingListener]:
        return await brokers.add(retention=retention)

    return make


class TestRedisBroker(BrokerContract):
    shared = True

    async def expired(self, broker: Broker, pid: str) -> bool:
        assert isinstance(broker, RedisBroker)
        return not await broker.redis.exists(f"{partitions_of(broker)[0].prefix}s:{pid}")


# -- routing


async def test_a_server_without_members_gets_no_message(brokers: Brokers) -> None:
    seen = RecordingObserver()
    (here, heard), (there, elsewhere) = await brokers.add(watch=seen), await brokers.add()
    await listen(there, "x")
    for n in range(20):
        last = await here.publish(event(n, "x"))
    await eventually(lambda: len(elsewhere.envelopes) == 20)
    await eventually(lambda: here.positions[0] >= last)  # its own tick has come, in its order
    assert seen.room_messages == 0
    assert heard.envelopes == []


async def test_a_message_comes_for_each_room_and_the_event_once(brokers: Brokers) -> None:
    seen = RecordingObserver()
    here, heard = await brokers.add(watch=seen)
    await listen(here, "x", "y")
    await here.publish(event(1, "x", "y", "z"))
    await here.publish(event(2, "x"))
    await eventually(lambda: len(heard.envelopes) == 2)
    assert seen.room_messages == 3
    assert heard.numbers == [1, 2]


async def test_a_room_is_listened_to_a_while_longer_then_no_more(brokers: Brokers, redis_server: RedisServer) -> None:
    seen = RecordingObserver()
    (here, heard), (there, _) = await brokers.add(watch=seen, channel_linger=60), await brokers.add()
    channel = partitions_of(here)[0].prefix + "r:x"
    await listen(here, "x")
    here.unsubscribe("x")
    await there.publish(event(1, "x"))
    await eventually(lambda: heard.numbers == [1])
    here.tune(runtime_settings(channel_linger=1))

    async def left() -> bool:
        return bool(await redis_server.ask("PUBSUB", "NUMSUB", channel) == [channel, 0])

    await eventually(left)
    await there.publish(event(2, "x"))
    last = await there.publish(event(3, "y"))
    await eventually(lambda: here.positions[0] >= last)
    assert heard.numbers == [1]
    # back again, with nothing missed from here on
    await listen(here, "x")
    await there.publish(event(4, "x"))
    await eventually(lambda: heard.numbers == [1, 4])


async def test_who_comes_back_while_it_lingers_finds_it_heard(brokers: Brokers, redis_server: RedisServer) -> None:
    (here, heard), (there, _) = await brokers.add(channel_linger=2), await brokers.add()
    await listen(here, "x", "y")
    here.unsubscribe("x")
    here.unsubscribe("y")
    here.subscribe("x")
    assert await here.wait_subscribed(["x"]) is False
    channel = partitions_of(here)[0].prefix + "r:"

    async def left() -> bool:
        return bool(await redis_server.ask("PUBSUB", "NUMSUB", channel + "y") == [channel + "y", 0])

    await eventually(left)
    assert await redis_server.ask("PUBSUB", "NUMSUB", channel + "x") == [channel + "x", 1]
    await there.publish(event(1, "x"))
    await eventually(lambda: heard.numbers == [1])


async def test_rooms_that_come_and_go_quickly_are_heard_when_it_is_said(brokers: Brokers) -> None:
    """Without a while to linger, listening and not listening cross on the way."""
    (here, heard), (there, _) = await brokers.add(channel_linger=0), await brokers.add()
    for n in range(200):
        here.subscribe("x")
        if n % 3:
            await here.wait_subscribed(["x"])
            await there.publish(event(n, "x"))
        partitions_of(here)[0].subscription.unsubscribe_idle()
        here.unsubscribe("x")
        partitions_of(here)[0].subscription.unsubscribe_idle()
        if n % 5 == 0:
            await asyncio.sleep(0)
    here.subscribe("x")
    await here.wait_subscribed(["x"])
    await there.publish(event(1000, "x"))
    await eventually(lambda: heard.numbers[-1:] == [1000])


async def test_databases_are_worlds_apart(redis_server: RedisServer) -> None:
    async with Brokers(redis_server.url) as one, Brokers(redis_server.url.removesuffix("/0") + "/1") as other:
        (here, heard), (there, elsewhere) = await one.add(), await other.add()
        for broker in (here, there):
            await listen(broker, "x")
        await here.publish(event(1, "x"))
        await there.publish(event(2, "x"))
        await eventually(lambda: heard.envelopes and elsewhere.envelopes)
        assert (heard.numbers, elsewhere.numbers) == ([1], [2])
        saved = session()
        await here.save(saved)
        assert await there.claim(saved.pid, "u1") is None
        assert here.epoch != there.epoch


async def test_publishers_without_clients_publish_in_the_same_order(brokers: Brokers) -> None:
    here, heard = await brokers.add()
    await listen(here, "x")
    start = dict(await here.read_positions(["x"]))
    writers = [await brokers.add_writer() for _ in range(3)]

    async def write(which: int) -> None:
        for n in range(100):
            await writers[which].publish(event([which, n], "x"))

    await asyncio.gather(*(write(which) for which in range(3)))
    await eventually(lambda: len(heard.envelopes) == 300)
    for which in range(3):
        assert [n for by, n in heard.numbers if by == which] == list(range(100))
    assert numbers((await here.read(start)).envelopes) == heard.numbers


async def test_a_room_that_cannot_be_said_fails_alone(brokers: Brokers) -> None:
    here, heard = await brokers.add()
    await listen(here, "x")
    good = [asyncio.create_task(here.publish(event(n, "x"))) for n in range(5)]
    bad = asyncio.create_task(here.publish(event("bad", "user:\ud800")))
    good += [asyncio.create_task(here.publish(event(n, "x"))) for n in range(5, 10)]
    with pytest.raises(ValueError, match="surrogates"):
        await bad
    await asyncio.gather(*good)
    await eventually(lambda: heard.numbers == list(range(10)))


async def test_events_of_different_partitions_may_have_the_same_id(
    brokers: Brokers, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, _ = await brokers.add()

    class Partition:
        async def read(self, starts: Mapping[str, int]) -> tuple[list[Envelope], int, set[str]]:
            (room,) = starts
            return [Envelope(COUNTED, "event", [room], b'2["event",1', event_id=n) for n in (5, 7)], 9, {room}

    monkeypatch.setattr(here, "_partitions", [Partition(), Partition()])
    monkeypatch.setattr(here, "partition_of", int)
    replay = await here.read({"0": 1, "1": 1})
    assert [(one.id, *one.rooms) for one in replay.envelopes] == [(5, "0"), (5, "1"), (7, "0"), (7, "1")]
    assert (list(replay.positions), sorted(replay.broken)) == ([9, 9], ["0", "1"])
    monkeypatch.undo()


async def test_keys_are_named_for_what_they_are_and_expire(brokers: Brokers, redis_server: RedisServer) -> None:
    here, _ = await brokers.add()
    await here.publish(event(1, "x"))
    await here.publish(event(2, "x", kind=LATEST))
    saved = session(joins={"x": 1})
    await here.save(saved)
    prefix = partitions_of(here)[0].prefix
    keys = set(await redis_server.ask("KEYS", "*"))
    producers = {key for key in keys if key.startswith(prefix + "p:")}
    assert keys - producers == {prefix + name for name in ("clock", "n", "h:x", "l:x", f"s:{saved.pid}")}
    assert len(producers) == 1
    for_good = {prefix + "clock", prefix + "n"}
    for key in keys - for_good:
        assert await redis_server.ask("PTTL", key) > 0
    for key in for_good:
        assert await redis_server.ask("PTTL", key) == -1


async def test_in_redis_each_room_has_its_last_events(brokers: Brokers, redis_server: RedisServer) -> None:
    here, _ = await brokers.add(retention=Retention(window=60, dead_after=10, refresh=5, events_per_room=200))
    await asyncio.gather(*(here.publish(event(n, "x")) for n in range(2000)))
    assert 200 <= await redis_server.ask("XLEN", partitions_of(here)[0].prefix + "h:x") < 400


async def test_what_is_not_ours_on_our_channels_hides_nothing(brokers: Brokers, redis_server: RedisServer) -> None:
    """Junk, another version, and an id of the future, after which all that follows would look old."""
    seen = RecordingObserver()
    here, heard = await brokers.add(watch=seen)
    await listen(here, "x")
    channel = f"{partitions_of(here)[0].prefix}r:x"
    real = b'.%b.ab.1\nC\te\t\n2["e"' % partitions_of(here)[0].subscription.instance.encode()
    epoch = str(here.epoch).encode()
    for forged in (b"", b"\x00", b"9future", b"1%b.%d%b" % (epoch, 2**53 - 1, real), b"1%b.12" % epoch):
        await here.redis.publish(channel, forged)
    await here.publish(event(1, "x"))
    await eventually(lambda: heard.numbers == [1])
    assert seen.why_skipped == {"malformed message": 2, "other version": 3}
