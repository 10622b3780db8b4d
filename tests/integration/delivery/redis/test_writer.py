"""Publishing while Redis is full, paused or away."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from kit.contracts.broker import event, listen, numbers, runtime_settings, session
from kit.delivery.redis_brokers import Brokers, RecordingObserver, partitions_of
from kit.network.redis_forwarder import RedisForwarder
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.delivery.envelope import COUNTED, LATEST
from tradecast.delivery.errors import AdapterUnavailable, PublishUncertain
from tradecast.delivery.redis.broker import RedisBroker

pytestmark = pytest.mark.redis


async def test_out_of_memory_publishing_waits_and_reading_continues(brokers: Brokers, own_redis: RedisServer) -> None:
    seen = RecordingObserver()
    (here, heard), (there, _) = await brokers.add(), await brokers.add(watch=seen)
    await listen(here, "x")
    start = dict(await here.read_positions(["x"]))
    await there.publish(event(0, "x"))
    await own_redis.ask("CONFIG", "SET", "maxmemory", "1")
    publishing = [asyncio.create_task(there.publish(event(n, "x"))) for n in range(1, 4)]
    await eventually(lambda: partitions_of(there)[0].writer.queue.failing)
    await asyncio.sleep(1.5)  # a tick has been refused as well
    assert numbers((await here.read(start)).envelopes) == [0]
    assert here.is_subscribed
    assert there.waiting == 3
    await own_redis.ask("CONFIG", "SET", "maxmemory", "0")
    await asyncio.gather(*publishing)
    await eventually(lambda: len(heard.numbers) == 4)
    assert heard.numbers == [0, 1, 2, 3]
    assert seen.results == {"ok": 4}
    assert there.waiting == 0


async def test_out_of_memory_for_too_long_is_reported_for_certain(brokers: Brokers, own_redis: RedisServer) -> None:
    seen = RecordingObserver()
    (here, heard), (there, _) = await brokers.add(), await brokers.add(watch=seen, publish_timeout=3)
    await listen(here, "x")
    await own_redis.ask("CONFIG", "SET", "maxmemory", "1")
    for kind in (COUNTED, LATEST):
        with pytest.raises(AdapterUnavailable) as caught:
            await there.publish(event(1, "x", kind=kind))
        assert not isinstance(caught.value, PublishUncertain)
    await own_redis.ask("CONFIG", "SET", "maxmemory", "0")
    there.tune(runtime_settings(publish_timeout=20))
    await there.publish(event(2, "x"))
    await eventually(lambda: heard.numbers == [2])
    assert seen.results == {"failed": 2, "ok": 1}


async def test_paused_for_a_while_everything_comes_once(brokers: Brokers, own_redis: RedisServer) -> None:
    here, heard = await brokers.add()
    await listen(here, "x")
    brokers.timeout = 0.3
    there, _ = await brokers.add()
    for n in range(3):
        await own_redis.pause(1)
        # tried again and again, on one connection after the other, while Redis takes none of it
        await asyncio.gather(*(there.publish(event(10 * n + m, "x")) for m in range(10)))
    await eventually(lambda: len(heard.numbers) >= 30)
    last = await there.publish(event("end", "x"))
    await eventually(lambda: here.positions[0] >= last)
    assert heard.numbers == [*range(30), "end"]


async def test_paused_for_too_long_it_is_not_known(brokers: Brokers, own_redis: RedisServer) -> None:
    seen = RecordingObserver()
    (here, heard), (there, _) = await brokers.add(), await brokers.add(watch=seen, publish_timeout=3)
    await listen(here, "x")
    await there.publish(event(0, "x"))
    await own_redis.pause(60)
    with pytest.raises(PublishUncertain):
        await there.publish(event(1, "x"))
    own_redis.resume()
    there.tune(runtime_settings(publish_timeout=20))
    await eventually(lambda: published(there, 2))
    await eventually(lambda: 2 in heard.numbers)
    assert heard.numbers in ([0, 1, 2], [0, 2])
    assert seen.results["uncertain"] >= 1


async def published(broker: RedisBroker, number: int) -> bool:
    with contextlib.suppress(AdapterUnavailable):
        await broker.publish(event(number, "x"))
        return True
    return False


async def test_away_it_is_certain_that_nobody_has_it(brokers: Brokers, own_redis: RedisServer) -> None:
    here, _ = await brokers.add(publish_timeout=3, timeout=1)
    await here.publish(event(0, "x"))
    await own_redis.stop()
    with pytest.raises(AdapterUnavailable):  # what was tried on the connection that was lost is not known
        await here.publish(event(1, "x"))
    with pytest.raises(AdapterUnavailable):
        await here.read({"x": 1})
    with pytest.raises(AdapterUnavailable):
        await here.save(session())
    with pytest.raises(AdapterUnavailable):
        await here.read_positions(["x"])
    here.subscribe("y")
    with pytest.raises(AdapterUnavailable):
        await here.wait_subscribed(["y"])
    assert 0 < here.unreachable_for < 60


@pytest.mark.parametrize("rooms", [["x"], ["x", "y"]])
async def test_an_event_whose_answer_was_lost_is_not_doubled(
    brokers: Brokers, forwarder: RedisForwarder, rooms: list[str]
) -> None:
    (here, heard), (there, _) = await brokers.add(), await brokers.add(forwarder.url)
    await listen(here, *rooms)
    start = dict(await here.read_positions(rooms))
    await there.publish(event(0, *rooms))
    forwarder.lose_answer_to = b"MARK"
    ids = await asyncio.gather(*(there.publish(event(n, *rooms, name="MARK")) for n in range(1, 4)))
    await there.publish(event(4, *rooms))
    assert forwarder.lost == 1
    await eventually(lambda: 4 in heard.numbers)
    assert heard.numbers == [0, 1, 2, 3, 4]
    assert [one.id for one in heard.envelopes[1:4]] == ids
    assert numbers((await here.read(start)).envelopes) == [0, 1, 2, 3, 4]
