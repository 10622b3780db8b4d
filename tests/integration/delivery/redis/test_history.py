"""Histories: read back in order, and gaps that are larger than they are."""

from __future__ import annotations

import asyncio

import pytest

from integration.delivery.redis.trouble import FEW, PREFIX, not_heard
from kit.contracts.broker import event, listen, numbers
from kit.delivery.redis_brokers import Brokers, RecordingObserver
from kit.network.redis_forwarder import RedisForwarder
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.delivery.envelope import LATEST
from tradecast.delivery.ids import now_id

pytestmark = pytest.mark.redis


async def test_what_was_missed_is_replayed_in_order(
    brokers: Brokers, forwarder: RedisForwarder, own_redis: RedisServer
) -> None:
    seen = RecordingObserver()
    (here, heard), (there, _) = await brokers.add(forwarder.url, watch=seen), await brokers.add()
    await listen(here, "x", "y")
    await there.publish(event(0, "x"))
    await eventually(lambda: heard.numbers == [0])
    forwarder.lead_to(None)
    await not_heard(here)
    for n in range(1, 10):
        await there.publish(event(n, *(["x"], ["y"], ["x", "y"], ["z"])[n % 4]))
    await there.publish(event("old", "y", kind=LATEST, name="quote"))
    await there.publish(event("new", "y", kind=LATEST, name="quote"))
    assert heard.numbers == [0]
    assert here.unreachable_for > 0
    assert seen.is_subscribed is False
    forwarder.target = own_redis
    await here.wait_until_subscribed()
    await there.publish(event(11, "y"))
    await eventually(lambda: 11 in heard.numbers)
    assert heard.numbers == [0, 1, 2, 4, 5, 6, 8, 9, "new", 11]
    assert heard.broken_rooms == set()
    assert here.unreachable_for == 0
    assert (seen.repairs, seen.is_subscribed) == ([8], True)


async def test_a_gap_that_is_larger_than_the_history_is_reported(
    brokers: Brokers, forwarder: RedisForwarder, own_redis: RedisServer
) -> None:
    (here, heard), (there, _) = await brokers.add(forwarder.url, retention=FEW), await brokers.add(retention=FEW)
    await listen(here, "x", "y", "z")
    await there.publish(event("x", "x"))
    await eventually(lambda: heard.numbers == ["x"])
    forwarder.lead_to(None)
    await not_heard(here)
    await asyncio.gather(*(there.publish(event(n, "x")) for n in range(1000)))
    await there.publish(event("y", "y"))
    forwarder.target = own_redis
    await here.wait_until_subscribed()
    assert heard.broken_rooms == {"x"}
    assert heard.numbers[-1] == "y"


async def test_entries_of_others_are_passed_over_and_counted(brokers: Brokers, own_redis: RedisServer) -> None:
    seen = RecordingObserver()
    here, _ = await brokers.add(watch=seen)
    start = dict(await here.read_positions(["x"]))
    for n, value in enumerate(["", "hello", ".0a.0b.1\nX\te\t\n2[", "\n\n"]):
        await here.publish(event(n, "x"))
        last = (await own_redis.ask("XREVRANGE", PREFIX + "h:x", "+", "-", "COUNT", 1))[0][0].partition("-")[0]
        await own_redis.ask("XADD", PREFIX + "h:x", f"{last}-5", "other", value)
    await own_redis.ask("HSET", PREFIX + "l:x", "a", "hello", "b", "12 hello", "c", f"{now_id()} hello")
    replay = await here.read(start)
    assert (numbers(replay.envelopes), replay.broken) == ([0, 1, 2, 3], frozenset())
    assert seen.why_skipped == {"malformed entry": 6}
