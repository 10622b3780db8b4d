"""Brokers on a Redis that is killed, paused, full, emptied, replaced, or written to by others."""

from __future__ import annotations

import asyncio
import time

import pytest

from integration.delivery.redis.trouble import PREFIX, not_heard
from kit.contracts.broker import event, listen, numbers, session
from kit.delivery.redis_brokers import Brokers, partitions_of
from kit.network.redis_forwarder import RedisForwarder
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.delivery.errors import AdapterUnavailable
from tradecast.delivery.ids import Offset, id_span, now_id

pytestmark = pytest.mark.redis


async def test_the_prefix_is_what_these_tests_take_it_for(brokers: Brokers) -> None:
    here, _ = await brokers.add()
    assert partitions_of(here)[0].prefix == PREFIX


# -- a lost subscription


async def test_a_room_under_which_something_else_lies_does_not_hinder_the_others(
    brokers: Brokers, forwarder: RedisForwarder, own_redis: RedisServer
) -> None:
    (here, heard), (there, _) = await brokers.add(forwarder.url), await brokers.add()
    await listen(here, "x", "y")
    forwarder.lead_to(None)
    await not_heard(here)
    await there.publish(event(1, "y"))
    await own_redis.ask("SET", PREFIX + "h:x", "something else")
    await own_redis.ask("SET", PREFIX + "l:y", "something else")
    forwarder.target = own_redis
    await here.wait_until_subscribed()
    assert heard.numbers == [1]
    assert heard.broken_rooms == {"x"}


# -- a Redis that takes nothing


async def test_a_shutdown_waits_for_no_redis_that_is_away(brokers: Brokers, own_redis: RedisServer) -> None:
    here, _ = await brokers.add()
    await own_redis.stop()
    publishing = asyncio.create_task(here.publish(event(1, "x")))
    await eventually(lambda: partitions_of(here)[0].writer.queue.failing)
    began = time.monotonic()
    here.give_up()
    with pytest.raises(AdapterUnavailable):
        await publishing
    assert time.monotonic() - began < 15, "publish_timeout is 20"


async def test_a_server_that_starts_without_redis_subscribes_once_it_is_there(
    brokers: Brokers, own_redis: RedisServer
) -> None:
    await own_redis.stop()
    here, heard = await brokers.add(subscribed=False)
    here.subscribe("x")
    with pytest.raises(AdapterUnavailable):
        await here.wait_subscribed(["x"])
    assert here.epoch is None
    publishing = asyncio.create_task(here.publish(event(1, "x")))
    await own_redis.start()
    await publishing
    await here.wait_until_subscribed()
    await here.publish(event(2, "x"))
    await eventually(lambda: 2 in heard.numbers)
    assert heard.switches == []


# -- another instance in charge


async def test_after_a_failover_nothing_is_hidden_by_what_the_old_master_took_last(
    brokers: Brokers, forwarder: RedisForwarder, own_redis: RedisServer, replica: RedisServer
) -> None:
    here, heard = await brokers.add(forwarder.url)
    there, _ = await brokers.add(forwarder.url)
    await listen(here, "x")
    before = here.epoch
    assert before is not None
    for n in range(3):
        await there.publish(event(n, "x"))

    async def has_all() -> bool:
        return bool(await replica.ask("XLEN", PREFIX + "h:x") == 3)

    await eventually(has_all)
    await replica.ask("REPLICAOF", "NO", "ONE")
    # The old master does not know that it is none any more; and its clock is ahead.
    await own_redis.ask("HSET", PREFIX + "clock", "last", now_id() + id_span(1800))
    lost = await there.publish(event("lost", "x"))
    await eventually(lambda: heard.numbers[-1:] == ["lost"])
    saved = session(joins={"x": lost})
    saved.confirmed = (lost,)
    # Somebody who knows nothing of that is the first at the new one.
    other, _ = await brokers.add(replica.url)
    new = await other.publish(event("new", "x"))
    assert new < lost
    forwarder.lead_to(replica)
    await eventually(lambda: heard.numbers[-1:] == ["new"])
    await here.wait_until_subscribed()
    assert here.epoch == other.epoch != before
    ((partition, top),) = heard.switches
    assert (partition, heard.broken_rooms) == (0, set())
    assert heard.envelopes[2].id <= top < new
    # Offsets of before lead to where the histories part.
    assert here.epoch is not None
    assert here.translate_offset(Offset(before, (lost,))) == Offset(here.epoch, (top,))
    assert numbers((await here.read({"x": top})).envelopes) == ["new"]
    await there.publish(event("more", "x"))
    await eventually(lambda: heard.numbers == [0, 1, 2, "lost", "new", "more"])


async def test_an_event_that_two_masters_took_is_delivered_once(
    brokers: Brokers, forwarder: RedisForwarder, own_redis: RedisServer, replica: RedisServer
) -> None:
    """Its answer was lost with the old master, so it was published again, at the new one."""
    here, heard = await brokers.add(forwarder.url)
    await listen(here, "x")
    await here.publish(event(0, "x"))

    async def has_it() -> bool:
        return bool(await replica.ask("XLEN", PREFIX + "h:x"))

    await eventually(has_it)
    await replica.ask("REPLICAOF", "NO", "ONE")
    async with RedisForwarder(own_redis) as lossy:
        writer = await brokers.add_writer(lossy.url)
        lossy.lose_answer_to = b"MARK"
        writing = asyncio.create_task(writer.publish(event(1, "x", name="MARK")))
        await eventually(lambda: lossy.lost)
        lossy.lead_to(replica)
        await eventually(lambda: heard.numbers == [0, 1])
        await writing
        forwarder.lead_to(replica)
        await writer.publish(event(2, "x"))
        await eventually(lambda: 2 in heard.numbers)
        assert heard.numbers == [0, 1, 2]
