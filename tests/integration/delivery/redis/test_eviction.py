"""What was kept and is gone, evicted or deleted, is never taken for nothing; what never was is not taken for gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from kit.contracts.broker import LONGER, MIDDLE, RETENTION, event, listen, numbers, positions, runtime_settings
from kit.delivery.hub_clients import running_hub
from kit.delivery.redis_brokers import Brokers, partitions_of
from kit.delivery.version_before import publish_as_before, tick_as_before
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.config.runtime_settings import RuntimeSettings
from tradecast.config.settings import load_settings
from tradecast.delivery.envelope import COUNTED, LATEST, VOLATILE, Kind
from tradecast.delivery.errors import AdapterUnavailable, HistoryLost
from tradecast.delivery.redis.broker import RedisBroker
from tradecast.delivery.redis.lua import MAX_TRIMMED
from tradecast.delivery.redis.options import NullBrokerObserver, PartitionConfig
from tradecast.delivery.writer_factory import create_adapter_redis

pytestmark = pytest.mark.redis
PREFIX = "tradecast:events:0:{0}:"
CLOCK, NOTES = PREFIX + "clock", PREFIX + "n"
KINDS = pytest.mark.parametrize(("kind", "mark"), [(COUNTED, "h:"), (LATEST, "l:")])


@pytest.fixture
async def brokers(redis_server: RedisServer) -> AsyncIterator[Brokers]:
    async with Brokers(redis_server.url) as made:
        yield made


@pytest.fixture
async def broker(brokers: Brokers) -> RedisBroker:
    made, _ = await brokers.add()
    return made


async def now(broker: RedisBroker, *rooms: str) -> dict[str, int]:
    return dict(await broker.read_positions(rooms))


# -- what is gone


@KINDS
async def test_a_room_whose_only_history_is_gone_is_broken(
    broker: RedisBroker, redis_server: RedisServer, kind: Kind, mark: str
) -> None:
    start = await now(broker, "x", "quiet")
    last = await broker.publish(event(1, "x", kind=kind))
    await redis_server.ask("DEL", PREFIX + mark + "x")
    assert (await broker.read(start)).broken == {"x"}
    assert (await broker.read({"x": last})).broken == frozenset()  # who has it misses nothing


@KINDS
async def test_a_history_that_began_again_after_it_was_gone_is_broken(
    broker: RedisBroker, redis_server: RedisServer, kind: Kind, mark: str
) -> None:
    start = await now(broker, "x")
    lost = await broker.publish(event(1, "x", kind=kind, name="first"))
    await redis_server.ask("DEL", PREFIX + mark + "x")
    last = await broker.publish(event(2, "x", kind=kind, name="second"))
    assert (await broker.read(start)).broken == {"x"}
    replay = await broker.read({"x": lost})
    assert (numbers(replay.envelopes), replay.broken) == ([2], frozenset())
    assert (await broker.read({"x": last})).broken == frozenset()


@pytest.mark.parametrize("which", [1, 2])
async def test_single_entries_that_are_gone_are_missed_too(
    broker: RedisBroker, redis_server: RedisServer, which: int
) -> None:
    """Whatever is there before and behind them: somebody has deleted them by hand."""
    await broker.publish(event(1, "x"))
    start = await now(broker, "x")
    ids = [await broker.publish(event(number, "x")) for number in (2, 3, 4)]
    await redis_server.ask("XDEL", PREFIX + "h:x", f"{ids[which - 1]}-0")
    assert (await broker.read(start)).broken == {"x"}
    replay = await broker.read({"x": ids[which - 1]})  # who has it misses nothing
    assert (numbers(replay.envelopes), replay.broken) == ([3, 4][which - 1 :], frozenset())


@KINDS
async def test_gone_in_the_middle_of_a_batch_or_twice(
    broker: RedisBroker, redis_server: RedisServer, kind: Kind, mark: str
) -> None:
    for turn in range(3):
        start = await now(broker, "x", "y")
        await asyncio.gather(*(broker.publish(event(n, "x", kind=kind, name=f"e{turn}")) for n in range(20)))
        await redis_server.ask("DEL", PREFIX + mark + "x")
        await asyncio.gather(*(broker.publish(event(n, "xy"[n % 2], kind=kind, name="e")) for n in range(20)))
        assert (await broker.read(start)).broken == {"x"}


async def test_of_one_room_one_kind_may_be_gone_and_the_other_there(
    broker: RedisBroker, redis_server: RedisServer
) -> None:
    start = await now(broker, "x")
    await broker.publish(event(1, "x", kind=LATEST, name="quote"))
    await broker.publish(event(2, "x"))
    await redis_server.ask("DEL", PREFIX + "l:x")
    await broker.publish(event(3, "x"))
    assert (await broker.read(start)).broken == {"x"}


async def test_an_event_of_several_rooms_may_be_gone_from_one(broker: RedisBroker, redis_server: RedisServer) -> None:
    start = await now(broker, "x", "y")
    await broker.publish(event(1, "x", "y"))
    await redis_server.ask("DEL", PREFIX + "h:y")
    assert (await broker.read(start)).broken == {"y"}
    assert (await broker.read({"x": start["x"]})).broken == frozenset()


async def test_where_the_notes_are_gone_nothing_of_before_is_sure(
    broker: RedisBroker, redis_server: RedisServer
) -> None:
    start = await now(broker, "x", "quiet")
    await broker.publish(event(1, "x"))
    await redis_server.ask("DEL", NOTES, PREFIX + "h:x")
    assert (await broker.read(start)).broken == {"x", "quiet"}
    await eventually(lambda: _exists(redis_server, NOTES))  # they begin anew with the next tick
    assert (await broker.read(start)).broken == {"x", "quiet"}
    later = await now(broker, "x", "quiet")
    await broker.publish(event(2, "x"))
    replay = await broker.read(later)
    assert (numbers(replay.envelopes), replay.broken) == ([2], frozenset())


@pytest.mark.parametrize("what", [("SET", "7"), ("RPUSH", "7"), ("HSET", "s", "7")])
async def test_what_lies_there_and_is_no_notes_is_removed(
    broker: RedisBroker, redis_server: RedisServer, what: tuple[str, ...]
) -> None:
    start = await now(broker, "x")
    await broker.publish(event(0, "y"))
    # in one step, or the next tick would have begun the notes anew meanwhile
    write = "redis.call('DEL', KEYS[1]) return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))"
    await redis_server.ask("EVAL", write, 1, NOTES, *what)
    assert (await broker.read(start)).broken == {"x"}
    await broker.publish(event(1, "x"))
    assert await redis_server.ask("TYPE", NOTES) == "zset"


async def _exists(server: RedisServer, key: str) -> bool:
    return bool(await server.ask("EXISTS", key))


async def test_a_clock_that_is_gone_is_another_history(brokers: Brokers, redis_server: RedisServer) -> None:
    here, heard = await brokers.add()
    await listen(here, "x")
    before = here.epoch
    await here.publish(event(1, "x"))
    await redis_server.ask("DEL", CLOCK)
    await eventually(lambda: here.epoch != before and here.is_subscribed)
    assert heard.switches
    start = positions(here, "x")
    await here.publish(event(2, "x"))
    assert numbers((await here.read(start)).envelopes) == [2]


# -- what never was


async def test_quiet_rooms_are_whole(broker: RedisBroker, redis_server: RedisServer) -> None:
    start = await now(broker, "x", "y", "z")
    await broker.publish(event(1, "x", kind=VOLATILE))
    await broker.publish(event(2, "y"))
    clock = int(await redis_server.ask("HGET", CLOCK, "last"))
    await eventually(lambda: _is_past(redis_server, clock))  # time goes on, as nobody publishes
    replay = await broker.read(start)
    assert (numbers(replay.envelopes), replay.broken) == ([2], frozenset())


async def _is_past(server: RedisServer, position: int) -> bool:
    return int(await server.ask("HGET", CLOCK, "last")) > position


@KINDS
async def test_a_history_that_expired_and_began_again_was_not_lost(
    brokers: Brokers, redis_server: RedisServer, kind: Kind, mark: str
) -> None:
    broker, _ = await brokers.add(retention=LONGER)
    await broker.publish(event(1, "x", kind=kind))

    async def is_gone() -> bool:
        return not await _exists(redis_server, PREFIX + mark + "x")

    await eventually(is_gone)
    start = positions(broker, "x")
    await broker.publish(event(2, "x", kind=kind))
    replay = await broker.read(start)
    assert (numbers(replay.envelopes), replay.broken) == ([2], frozenset())


async def test_out_of_memory_nothing_is_noted(broker: RedisBroker, redis_server: RedisServer) -> None:
    start = await now(broker, "x")
    await broker.publish(event(1, "x"))
    noted = await redis_server.ask("ZSCORE", NOTES, "hx")
    await redis_server.ask("CONFIG", "SET", "maxmemory", "1")
    try:
        broker.tune(runtime_settings(publish_timeout=0.5))
        with pytest.raises(AdapterUnavailable):
            await broker.publish(event(2, "x"))
        assert await redis_server.ask("ZSCORE", NOTES, "hx") == noted
    finally:
        await redis_server.ask("CONFIG", "SET", "maxmemory", "0")
    replay = await broker.read(start)
    assert (numbers(replay.envelopes), replay.broken) == ([1], frozenset())


# -- how much is noted


async def test_notes_end_with_what_they_are_about(brokers: Brokers, redis_server: RedisServer) -> None:
    broker, _ = await brokers.add(retention=LONGER)
    rooms = [f"room{n}" for n in range(MAX_TRIMMED + 700)]
    await asyncio.gather(*(broker.publish(event(1, room)) for room in rooms[: len(rooms) // 2]))
    await broker.publish(event(1, *rooms[len(rooms) // 2 :]))  # of one id
    assert await redis_server.ask("ZCARD", NOTES) == len(rooms) + 2

    async def are_gone() -> bool:
        await broker.publish(event(2, "x"))
        return int(await redis_server.ask("ZCARD", NOTES)) == 3

    await eventually(are_gone)
    assert await redis_server.ask("PTTL", NOTES) == -1
    start = await now(broker, "x", *rooms[:3])
    await broker.publish(event(3, "x"))
    replay = await broker.read(start)
    assert (numbers(replay.envelopes), replay.broken) == ([3], frozenset())


async def test_more_rooms_in_a_batch_than_lua_takes_at_once(broker: RedisBroker) -> None:
    rooms = [f"room{n}" for n in range(9_000)]
    start = await now(broker, *rooms[-3:])
    await broker.publish(event(1, *rooms))
    replay = await broker.read(start)
    assert (numbers(replay.envelopes), replay.broken) == ([1], frozenset())


async def test_a_publisher_that_keeps_less_makes_no_gap_silent(brokers: Brokers) -> None:
    here, _ = await brokers.add(retention=RETENTION)
    other, _ = await brokers.add(retention=MIDDLE)
    start = await now(here, "x", "y")
    await other.publish(event(1, "x"))

    async def is_gone() -> bool:
        await other.publish(event(2, "y"))
        return not numbers([one for one in (await here.read(start)).envelopes if one.rooms == ("x",)])

    await eventually(is_gone)
    assert "x" in (await here.read(start)).broken


# -- versions


@KINDS
async def test_what_a_version_without_notes_published_is_missed_when_it_is_gone(
    broker: RedisBroker, redis_server: RedisServer, kind: Kind, mark: str
) -> None:
    start = await now(broker, "x")
    await publish_as_before(redis_server, PREFIX, "x", kind)
    await redis_server.ask("DEL", PREFIX + mark + "x")
    assert (await broker.read(start)).broken == {"x"}
    await broker.publish(event(1, "y"))  # one that writes notes does not vouch for it
    await eventually(lambda: _ticked(broker))
    assert (await broker.read(start)).broken == {"x"}


async def _ticked(broker: RedisBroker) -> bool:
    before = broker.positions[0]
    await eventually(lambda: broker.positions[0] > before)
    return True


async def test_while_a_version_without_notes_is_there_nothing_proves_that_nothing_was(
    broker: RedisBroker, redis_server: RedisServer
) -> None:
    start = await now(broker, "x")
    await tick_as_before(redis_server, PREFIX)
    assert (await broker.read(start)).broken == {"x"}
    broker.set_eviction(None)
    assert (await broker.read(start)).broken == {"x"}
    broker.set_eviction(False)  # as `INFO` says: then nothing is gone that nobody has removed
    assert (await broker.read(start)).broken == frozenset()


async def test_where_the_notes_are_gone_it_does_not_help_that_redis_evicts_nothing(
    broker: RedisBroker, redis_server: RedisServer
) -> None:
    """It may have, until a moment ago."""
    broker.set_eviction(False)
    start = await now(broker, "x")
    await broker.publish(event(1, "x"))
    await redis_server.ask("DEL", NOTES, PREFIX + "h:x")
    assert (await broker.read(start)).broken == {"x"}
    await broker.publish(event(2, "y"))
    assert (await broker.read(start)).broken == {"x"}


async def test_notes_are_trimmed_beside_a_version_that_writes_none(brokers: Brokers, redis_server: RedisServer) -> None:
    broker, _ = await brokers.add(retention=MIDDLE)
    for n in range(50):
        await broker.publish(event(n, f"room{n}"))

    async def are_gone() -> bool:
        await tick_as_before(redis_server, PREFIX)
        await broker.publish(event(2, "x"))
        return int(await redis_server.ask("ZCARD", NOTES)) == 3

    await eventually(are_gone)


async def test_once_all_write_notes_they_are_believed(broker: RedisBroker, redis_server: RedisServer) -> None:
    await publish_as_before(redis_server, PREFIX, "y")
    await tick_as_before(redis_server, PREFIX)
    await eventually(lambda: _ticked(broker))
    start = await now(broker, "x")
    await broker.publish(event(1, "x"))
    await broker.publish(event(2, "y"))
    replay = await broker.read(start)
    assert (numbers(replay.envelopes), replay.broken) == ([1], frozenset())


# -- the client


async def test_a_client_whose_missed_events_were_evicted_starts_a_new_session(redis_server: RedisServer) -> None:
    redis = create_adapter_redis(load_settings({"REDIS_URL": redis_server.url}))
    broker = RedisBroker(redis, RETENTION, PartitionConfig(2, RuntimeSettings()), NullBrokerObserver())
    async with running_hub(broker) as here:
        await broker.wait_until_subscribed()
        a = await here.connect("x", "y")
        await here.send("x", 1)
        await eventually(lambda: a.got == [1])
        await here.lose(a)
        await here.send("x", 2)
        await here.send("y", 3)
        await redis_server.ask("DEL", PREFIX + "h:y")
        back = await here.connect(auth=a.auth)
        assert back.resumed is None
        assert here.results == ["gap"]


@pytest.mark.parametrize("policy", ["volatile-lru", "volatile-lfu", "volatile-ttl", "volatile-random"])
@pytest.mark.parametrize("notes_too", [False, True])
async def test_real_eviction_is_noticed(own_redis: RedisServer, policy: str, notes_too: bool) -> None:
    if notes_too:
        policy = policy.replace("volatile", "allkeys").replace("ttl", "lru")
    async with Brokers(own_redis.url) as brokers:
        broker, _ = await brokers.add()
        rooms = [f"room{n}" for n in range(300)]
        start = await now(broker, *rooms)
        text = "x" * 20_000
        for room in rooms[:100]:
            await broker.publish(event(text, room))
        used = int((await own_redis.ask("INFO", "memory"))["used_memory"])
        await own_redis.ask("CONFIG", "SET", "maxmemory-policy", policy)
        await own_redis.ask("CONFIG", "SET", "maxmemory", used - 500_000)
        ids = {}
        for room in rooms[100:200]:
            ids[room] = await broker.publish(event(text, room))
        assert (await own_redis.ask("INFO", "stats"))["evicted_keys"] > 0
        await own_redis.ask("CONFIG", "SET", "maxmemory", 0)
        try:
            replay = await broker.read(start)
        except HistoryLost:  # the clock is gone as well
            assert notes_too
            return
        got = {one.rooms[0] for one in replay.envelopes}
        assert set(rooms[:200]) - got <= replay.broken
        assert len(got) < 200
        if not notes_too:
            assert not set(rooms[200:]) & replay.broken


# -- what Redis says


async def test_what_was_published_between_two_losses_of_the_clock_is_a_gap(
    brokers: Brokers, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The epoch in between is known to nobody any more, nor what was published in it."""
    here, heard = await brokers.add()
    other, _ = await brokers.add()
    await listen(here, "x")
    partition = partitions_of(here)[0]
    restored = partition.on_restored
    for _ in range(2):
        # Before this server has looked, the clock is gone again.
        gate = asyncio.Event()

        async def later(gate: asyncio.Event = gate) -> None:
            await gate.wait()
            await restored()

        monkeypatch.setattr(partition, "on_restored", later)
        heard.broken_rooms.clear()
        await redis_server.ask("DEL", CLOCK)
        await other.publish(event(1, "x"))
        await eventually(lambda: not here.is_subscribed)
        await redis_server.ask("DEL", CLOCK)
        await other.publish(event(2, "x"))
        gate.set()
        await eventually(lambda: here.is_subscribed)
        assert heard.broken_rooms == {"x"}
        monkeypatch.undo()


async def test_one_loss_of_the_clock_is_no_gap_for_who_is_connected(
    brokers: Brokers, redis_server: RedisServer
) -> None:
    here, heard = await brokers.add()
    other, _ = await brokers.add()
    await listen(here, "x")
    for n in range(3):
        await redis_server.ask("DEL", CLOCK)
        await other.publish(event(n, "x"))
        await eventually(lambda n=n: heard.numbers == list(range(n + 1)) and here.is_subscribed)  # type: ignore[misc]
    assert heard.broken_rooms == set()
