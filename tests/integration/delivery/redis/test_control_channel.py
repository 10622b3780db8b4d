"""A server's ticks to itself, and what others send."""

from __future__ import annotations

import asyncio

import pytest

from integration.delivery.redis.trouble import PREFIX
from kit.contracts.broker import event, listen
from kit.delivery.redis_brokers import Brokers, RecordingObserver, partitions_of
from kit.network.redis_forwarder import RedisForwarder
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.delivery.ids import id_span, now_id

pytestmark = pytest.mark.redis


async def test_a_stalled_subscription_is_noticed_and_replaced(
    brokers: Brokers, forwarder: RedisForwarder, ticking: None
) -> None:
    (here, heard), (there, _) = await brokers.add(forwarder.url), await brokers.add()
    await listen(here, "x")
    await there.publish(event(1, "x"))
    await eventually(lambda: heard.numbers == [1])
    deaf = forwarder.subscription
    deaf.frozen = True
    await there.publish(event(2, "x"))
    await eventually(lambda: heard.numbers == [1, 2])
    await here.wait_until_subscribed()
    assert deaf not in forwarder.connections
    assert heard.broken_rooms == set()


async def test_a_server_that_receives_something_is_not_taken_for_stalled(
    brokers: Brokers,
    forwarder: RedisForwarder,
    own_redis: RedisServer,
    ticking: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tradecast.delivery.redis.control_channel.STALLED_AFTER", 20)  # 2 s: less than the pause below
    here, _ = await brokers.add(forwarder.url)
    same = forwarder.subscription
    await own_redis.pause(3)  # nothing is heard, and nothing could be
    await asyncio.sleep(3)
    seen = here.positions[0]
    await eventually(lambda: here.positions[0] > seen)
    assert forwarder.subscription is same


async def test_messages_of_others_are_passed_over_and_counted(brokers: Brokers, own_redis: RedisServer) -> None:
    seen = RecordingObserver()
    (here, heard), (there, _) = await brokers.add(watch=seen), await brokers.add()
    await listen(here, "x")
    epoch, instance = here.epoch, partitions_of(here)[0].subscription.instance
    head = f"1{epoch}.{now_id()}.{instance}.00ff.1\n"
    foreign = {
        PREFIX + "r:x": ["", "hello", "2" + head[1:] + "C\te\t\n2[1", head, head + "X\te\t\n2[1", '1{"method":"emit"}'],
        f"{PREFIX}c:{here.server_id}": ["", "hello", "2next", head + "claimed pid", head + "what is this"],
    }
    for channel, messages in foreign.items():
        for message in messages:
            assert await own_redis.ask("PUBLISH", channel, message) == 1
    await there.publish(event(1, "x"))
    await eventually(lambda: heard.numbers == [1])
    assert here.is_subscribed
    assert heard.claims == []
    assert seen.why_skipped == {"malformed message": 4, "other version": 6}


async def test_an_unbelievable_floor_is_passed_over(brokers: Brokers) -> None:
    (here, _), (there, _) = await brokers.add(), await brokers.add()
    partition = partitions_of(here)[0]
    partition.cursor.floor = now_id() + id_span(1800)  # clocks of Redis hosts may be apart
    last = await here.publish(event(1, "x"))
    assert last > now_id() + id_span(1700)
    assert await there.publish(event(2, "x")) == last + 1
    partition.cursor.floor = last + id_span(7200)
    assert await here.publish(event(3, "x")) == last + 2
