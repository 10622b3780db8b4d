"""The scripts of what is retained: what others do to its keys, a full Redis, and rounds that nobody runs."""

from __future__ import annotations

import asyncio

import pytest

from integration.delivery.redis.trouble import PREFIX
from kit.contracts.broker import event
from kit.contracts.snapshots import LIMITS, RETAINING, latest_of, quote, recent_of, until_history_is_gone
from kit.delivery.redis_brokers import Brokers, RecordingObserver, partitions_of
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.delivery.retention import RetainLimits, Retention

pytestmark = pytest.mark.redis
LARGE = Retention(
    window=6.2,
    dead_after=0.4,
    refresh=0.1,
    events_per_room=1000,
    retain=RetainLimits(60, 16_000, 1_000_000_000, LIMITS.recent),
)
OFF = Retention(window=6.2, dead_after=0.4, refresh=0.1, events_per_room=1000)


async def until_copied(redis: RedisServer, room: str) -> None:
    await eventually(lambda: redis.ask("EXISTS", f"{PREFIX}k:{room}"), 20)


async def test_keys_live_as_long_as_their_newest_value(brokers: Brokers, own_redis: RedisServer) -> None:
    here, _ = await brokers.add(retention=RETAINING)
    await quote(here, 1, "r")
    await until_copied(own_redis, "r")
    assert 50_000 < await own_redis.ask("PTTL", PREFIX + "k:r") <= 1000 * LIMITS.seconds
    assert await own_redis.ask("PTTL", PREFIX + "l:r") <= RETAINING.seconds * 1000  # the history has its own time


async def test_rooms_of_clients_are_not_retained(brokers: Brokers, own_redis: RedisServer) -> None:
    here, _ = await brokers.add(retention=RETAINING)
    await quote(here, 1, "x" * 20)
    await quote(here, 1, "/admin," + "x" * 20)
    await quote(here, 1, "r")
    await until_copied(own_redis, "r")
    assert await own_redis.ask("KEYS", PREFIX + "k:*") == [PREFIX + "k:r"]


async def test_what_lies_under_the_keys_is_put_right(brokers: Brokers, own_redis: RedisServer) -> None:
    here, _ = await brokers.add(retention=RETAINING)
    for name in ("k:r", "kt", "ks"):
        await own_redis.ask("DEL", PREFIX + name)
        await own_redis.ask("SET", PREFIX + name, "something else")
    await quote(here, 1, "r")
    await here.publish(event(2, "r", name="trade"))
    assert await latest_of(here, "r") == [1]
    await until_history_is_gone(here, "r")
    assert await latest_of(here, "r") == [1]
    assert await recent_of(here, "r") == [2]


async def test_a_key_that_was_evicted_does_not_bring_an_older_value_back(
    brokers: Brokers, own_redis: RedisServer
) -> None:
    here, _ = await brokers.add(retention=RETAINING)
    await quote(here, "old", "r")
    await here.publish(event("old", "r", name="trade"))
    await until_history_is_gone(here, "r")
    await quote(here, "new", "r")
    await here.publish(event("new", "r", name="trade"))
    await own_redis.ask("DEL", PREFIX + "l:r", PREFIX + "h:r")
    assert await latest_of(here, "r") == await recent_of(here, "r") == []
    await eventually(lambda: _is_gone(own_redis), 20)  # the next round finds that out, too
    await quote(here, "newest", "r", "key")
    assert await latest_of(here, "r") == ["newest"]


async def _is_gone(redis: RedisServer) -> bool:
    return not await redis.ask("EXISTS", PREFIX + "k:r")


async def test_what_nobody_copied_in_time_does_not_leave_an_older_value_the_newest(
    brokers: Brokers, own_redis: RedisServer
) -> None:
    """The servers were away, and a publisher went on."""
    first = Brokers(own_redis.url)
    async with first:
        here, _ = await first.add(retention=RETAINING)
        await quote(here, "old", "r")
        await until_copied(own_redis, "r")
    alone, _ = await brokers.add(retention=OFF)  # it writes as a publisher does, and its rounds come too late
    await quote(alone, "new", "r")
    await until_history_is_gone(alone, "r")
    here, _ = await brokers.add(retention=RETAINING)
    assert await latest_of(here, "r") == []
    await quote(here, "newest", "r")
    assert await latest_of(here, "r") == ["newest"]


async def test_without_retention_what_is_there_goes(brokers: Brokers, own_redis: RedisServer) -> None:
    async with Brokers(own_redis.url) as before:
        here, _ = await before.add(retention=RETAINING)
        for number in range(300):
            await quote(here, number, f"r{number}")
        await until_copied(own_redis, "r299")
    (partition,) = partitions_of((await brokers.add(retention=OFF))[0])
    partition._keeper._every = 0.05

    async def all_gone() -> bool:
        return not await own_redis.ask("KEYS", PREFIX + "k:*")

    await eventually(all_gone, 20)


async def test_a_full_redis_takes_events_and_what_is_retained_makes_room(
    brokers: Brokers, own_redis: RedisServer
) -> None:
    seen = RecordingObserver()
    here, _ = await brokers.add(retention=LARGE, watch=seen)
    await asyncio.gather(*(quote(here, "v" * 10_000, f"r{number}") for number in range(1_000)))
    await until_history_is_gone(here, *(f"r{number}" for number in range(1_000)))
    await eventually(lambda: seen.retained.get(0, 0) > 9_000_000, 20)
    used = (await own_redis.ask("INFO", "memory"))["used_memory"]
    await own_redis.ask("CONFIG", "SET", "maxmemory", used - 2_000_000)
    # Redis refuses everything, until what is retained has made room; the publisher repeats.
    await quote(here, "new", "other")
    assert await latest_of(here, "other") == ["new"]
    await eventually(lambda: seen.not_retained["over_budget"] > 0, 20)


async def test_an_event_to_more_rooms_than_a_round_visits_is_retained_in_all(
    brokers: Brokers, own_redis: RedisServer
) -> None:
    here, _ = await brokers.add(retention=LARGE)
    rooms = [f"r{number}" for number in range(350)]
    await here.publish(event(1, "before", name="trade"))
    await here.publish(event(1, *rooms, name="trade"))
    await here.publish(event(1, "after", name="trade"))
    await until_history_is_gone(here, *rooms[::50])
    found = await here.read_snapshots(dict.fromkeys([*rooms, "before", "after"], 3))
    assert [room for room, snapshot in found.items() if not snapshot.recent] == []
    assert await own_redis.ask("ZCARD", PREFIX + "kt") == 352
