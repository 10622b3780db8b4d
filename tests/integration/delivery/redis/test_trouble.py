"""Brokers on a Redis that is killed, paused, full, emptied, replaced, or written to by others."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from redis.exceptions import RedisError

from kit.contracts.broker import event, listen, numbers, session
from kit.delivery.redis_brokers import Brokers, RecordingObserver, partitions_of
from kit.network.redis_forwarder import RedisForwarder
from kit.servers.redis_server import RedisServer, started
from kit.waiting import eventually
from tradecast.delivery.envelope import COUNTED, LATEST
from tradecast.delivery.errors import AdapterUnavailable, PublishUncertain
from tradecast.delivery.ids import Offset, id_span, now_id
from tradecast.delivery.redis.broker import RedisBroker
from tradecast.delivery.retention import Retention

pytestmark = pytest.mark.redis
FEW = Retention(window=60, dead_after=10, refresh=5, events_per_room=200)
MANY = Retention(window=60, dead_after=10, refresh=5, events_per_room=100_000)
PREFIX = "tradecast:events:0:{0}:"


@pytest.fixture
async def brokers(own_redis: RedisServer) -> AsyncIterator[Brokers]:
    async with Brokers(own_redis.url) as made:
        yield made


@pytest.fixture
async def forwarder(own_redis: RedisServer) -> AsyncIterator[RedisForwarder]:
    async with RedisForwarder(own_redis) as made:
        yield made


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ticks come quickly."""
    monkeypatch.setattr("tradecast.delivery.redis.control_channel.TICK_EVERY", 0.1)


async def not_heard(broker: RedisBroker) -> None:
    await eventually(lambda: not broker.is_subscribed)


async def test_the_prefix_is_what_these_tests_take_it_for(brokers: Brokers) -> None:
    here, _ = await brokers.add()
    assert partitions_of(here)[0].prefix == PREFIX


# -- a lost subscription


async def test_what_was_missed_is_read_back_in_order(
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
    assert seen.hears is False
    forwarder.target = own_redis
    await here.wait_until_subscribed()
    await there.publish(event(11, "y"))
    await eventually(lambda: 11 in heard.numbers)
    assert heard.numbers == [0, 1, 2, 4, 5, 6, 8, 9, "new", 11]
    assert heard.broken_rooms == set()
    assert here.unreachable_for == 0
    assert (seen.repairs, seen.hears) == ([8], True)


async def test_connections_that_are_killed_all_the_time_lose_and_double_nothing(
    brokers: Brokers, own_redis: RedisServer
) -> None:
    (here, heard), (there, elsewhere) = await brokers.add(retention=MANY), await brokers.add(retention=MANY)
    await listen(here, "x", "y")
    await listen(there, "y")

    async def kill() -> None:
        for kind in ("pubsub", "normal") * 8:
            await asyncio.sleep(0.05)
            await own_redis.ask("CLIENT", "KILL", "TYPE", kind)

    killing = asyncio.create_task(kill())
    n = 0
    while not killing.done() or n % 2:
        await asyncio.gather(here.publish(event(n, "x", "y")), there.publish(event(n + 1, "y")))
        n += 2
    await killing
    await eventually(lambda: len(heard.envelopes) == n and len(elsewhere.envelopes) == n, 60)
    assert sorted(heard.numbers) == list(range(n))
    assert elsewhere.numbers == heard.numbers
    for which in (0, 1):
        assert [one for one in heard.numbers if one % 2 == which] == list(range(which, n, 2))


async def test_a_gap_that_is_larger_than_the_history_is_told(
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


async def test_a_deaf_subscription_is_noticed_and_replaced(
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


async def test_a_server_that_hears_something_is_not_taken_for_deaf(
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


# -- a Redis that begins anew


async def test_started_again_with_what_it_had(durable_redis: RedisServer) -> None:
    async with Brokers(durable_redis.url) as brokers:
        (here, heard), (there, _) = await brokers.add(), await brokers.add()
        await listen(here, "x")
        start = dict(await here.read_positions(["x"]))
        before = here.epoch
        assert before is not None
        last = await there.publish(event(1, "x"))
        saved = session(joins={"x": start["x"]})
        await here.save(saved)
        await eventually(lambda: heard.numbers == [1])
        await durable_redis.kill()
        await not_heard(here)
        publishing = asyncio.create_task(there.publish(event(2, "x")))
        await durable_redis.start()
        await publishing
        await eventually(lambda: heard.numbers == [1, 2])
        assert heard.broken_rooms == set()
        assert here.epoch != before
        assert here.epoch is not None
        # Where clients were before, they go on.
        assert here.translate_offset(Offset(before, (last,))) == Offset(here.epoch, (last,))
        replay = await here.read({"x": last})
        assert (numbers(replay.envelopes), replay.broken) == ([2], frozenset())
        claimed = await there.claim(saved.pid, "u1")
        assert claimed is not None
        assert claimed.joins == {"x": start["x"]}


async def test_started_again_without_what_it_had(brokers: Brokers, own_redis: RedisServer) -> None:
    (here, heard), (there, _) = await brokers.add(), await brokers.add()
    await listen(here, "x", "y")
    before = here.epoch
    assert before is not None
    last = await there.publish(event(1, "x"))
    saved = session(joins={"x": 1})
    await here.save(saved)
    await eventually(lambda: heard.numbers == [1])
    await own_redis.kill()
    await not_heard(here)
    publishing = asyncio.create_task(there.publish(event(2, "x")))
    await own_redis.start()
    await publishing
    await eventually(lambda: heard.numbers == [1, 2])
    assert len(heard.switches) == 1
    # Who is connected stays so, and gets all that is published from now on.
    assert heard.broken_rooms == set()
    assert here.translate_offset(Offset(before, (last,))) is None
    assert await there.claim(saved.pid, "u1") is None
    assert await here.save(saved)
    assert await there.claim(saved.pid, "u1") is not None


async def test_emptied_while_it_runs(brokers: Brokers, own_redis: RedisServer, ticking: None) -> None:
    (here, heard), (there, elsewhere) = await brokers.add(), await brokers.add()
    await listen(here, "x", "y")
    await there.publish(event(0, "x"))
    await eventually(lambda: heard.numbers == [0])
    for n in range(1, 4):
        before = (here.epoch, there.epoch)
        await own_redis.ask("FLUSHALL")
        await there.publish(event(n, "x"))
        await eventually(lambda n=n: heard.numbers == list(range(n + 1)))  # type: ignore[misc]  # the default binds it
        await eventually(lambda b=before: here.epoch == there.epoch and b[0] != here.epoch)  # type: ignore[misc]  # as above
    await here.wait_until_subscribed()
    assert len(heard.switches) == len(elsewhere.switches) == 3
    assert heard.broken_rooms == set()


async def test_ids_far_ahead_of_the_clock_hide_nothing_after_a_loss(
    brokers: Brokers, own_redis: RedisServer, ticking: None
) -> None:
    """The clock of the Redis that is gone was two hours ahead."""
    (here, heard), (there, _) = await brokers.add(), await brokers.add()
    await listen(here, "x")
    await own_redis.ask("HSET", PREFIX + "clock", "last", now_id() + id_span(7200))
    await there.publish(event(1, "x"))
    await eventually(lambda: heard.numbers == [1])
    await own_redis.ask("FLUSHALL")
    await eventually(lambda: heard.switches)
    await here.wait_until_subscribed()
    last = await there.publish(event(2, "x"))
    assert last < now_id() + id_span(3600)
    await eventually(lambda: heard.numbers == [1, 2])


async def test_scripts_that_are_flushed_are_sent_again(brokers: Brokers, own_redis: RedisServer) -> None:
    (here, heard), (there, _) = await brokers.add(), await brokers.add()
    await listen(here, "x")
    saved = session()
    for n in range(5):
        await own_redis.ask("SCRIPT", "FLUSH")
        await asyncio.gather(there.publish(event(n, "x")), here.save(saved), here.read({"x": here.positions[0]}))
    await eventually(lambda: heard.numbers == list(range(5)))


# -- a Redis that takes nothing


async def test_out_of_memory_publishing_waits_and_reading_goes_on(brokers: Brokers, own_redis: RedisServer) -> None:
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


async def test_out_of_memory_for_too_long_is_told_for_certain(brokers: Brokers, own_redis: RedisServer) -> None:
    seen = RecordingObserver()
    (here, heard), (there, _) = await brokers.add(), await brokers.add(watch=seen, publish_timeout=3)
    await listen(here, "x")
    await own_redis.ask("CONFIG", "SET", "maxmemory", "1")
    for kind in (COUNTED, LATEST):
        with pytest.raises(AdapterUnavailable) as caught:
            await there.publish(event(1, "x", kind=kind))
        assert not isinstance(caught.value, PublishUncertain)
    await own_redis.ask("CONFIG", "SET", "maxmemory", "0")
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


async def test_a_server_that_starts_without_redis_hears_once_it_is_there(
    brokers: Brokers, own_redis: RedisServer
) -> None:
    await own_redis.stop()
    here, heard = await brokers.add(heard=False)
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


async def test_a_claim_whose_answer_was_lost_is_repeated(brokers: Brokers, forwarder: RedisForwarder) -> None:
    (here, _), (there, _) = await brokers.add(), await brokers.add(forwarder.url)
    saved = session(user="MARK", joins={"x": 1})
    await here.save(saved)
    forwarder.lose_answer_to = b"MARK"
    claimed = await there.claim(saved.pid, "MARK")
    assert forwarder.lost == 1
    assert claimed is not None
    assert claimed.joins == {"x": 1}
    assert await there.save(claimed)
    assert not await here.save(saved)


# -- what others write


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


async def test_what_lies_under_our_keys_is_put_right(brokers: Brokers, own_redis: RedisServer) -> None:
    seen = RecordingObserver()
    here, heard = await brokers.add(watch=seen)
    await listen(here, "x")
    start = dict(await here.read_positions(["x"]))
    await here.publish(event(0, "x"))
    for name, words in {"h:x": "SADD", "l:x": "RPUSH"}.items():
        await own_redis.ask("DEL", PREFIX + name)
        await own_redis.ask(words, PREFIX + name, "something", "else")
    assert (await here.read(start)).broken == {"x"}
    last = await here.publish(event(1, "x"))
    await here.publish(event(2, "x", kind=LATEST))
    await eventually(lambda: heard.numbers == [0, 1, 2])
    # 0 is gone: whoever has not got it is told
    assert (await here.read(start)).broken == {"x"}
    replay = await here.read({"x": last})
    assert (numbers(replay.envelopes), replay.broken) == ([2], frozenset())


async def test_a_stream_that_others_have_written_ahead_loses_nothing_in_silence(
    brokers: Brokers, own_redis: RedisServer
) -> None:
    here, heard = await brokers.add()
    await listen(here, "x")
    start = dict(await here.read_positions(["x"]))
    await here.publish(event(0, "x"))
    await own_redis.ask("XADD", PREFIX + "h:x", f"{now_id() + id_span(3600)}-0", "m", "not ours")
    last = await here.publish(event(1, "x"))
    await here.publish(event(2, "x"))
    await eventually(lambda: heard.numbers == [0, 1, 2])
    assert (await here.read(start)).broken == {"x"}
    assert numbers((await here.read({"x": last})).envelopes) == [2]


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
    assert seen.why_skipped == {"malformed entry": 5}


async def test_what_lies_under_a_sessions_key_is_no_session(brokers: Brokers, own_redis: RedisServer) -> None:
    seen = RecordingObserver()
    here, _ = await brokers.add(watch=seen)
    odd = [["SET", "text"], ["SADD", "text"], ["HSET", "u", "u1"], ["HSET", "u", "u1", "g", "x"]]
    nearly = ["HSET", "u", "u1", "i", "sid", "c", "id", "g", "1"]
    odd += [[*nearly, "p", "1"], [*nearly, "p", "1", "o", "x"], [*nearly, "p", "1 2", "o", "x", "e", f"{here.epoch}"]]
    for words in odd:
        saved = session()
        await own_redis.ask(words[0], f"{PREFIX}s:{saved.pid}", *words[1:])
        assert await here.claim(saved.pid, "u1") is None
    await here.publish(event(1, "x"))


@pytest.mark.parametrize("words", [["SET", "text"], ["SADD", "a"], ["HSET", "last", "soon"], ["HSET", "last", "-5"]])
async def test_a_clock_that_others_have_written_is_put_right(
    brokers: Brokers, own_redis: RedisServer, ticking: None, words: list[str]
) -> None:
    (here, heard), (there, _) = await brokers.add(), await brokers.add()
    await listen(here, "x")
    last = await there.publish(event(1, "x"))
    await eventually(lambda: heard.numbers == [1])
    # in one step, or a server would have written its own meanwhile
    forget = "" if words[0] == "HSET" else "redis.call('DEL', KEYS[1]) "
    write = "return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))"
    await own_redis.ask("EVAL", forget + write, 1, PREFIX + "clock", *words)
    assert await there.publish(event(2, "x")) > last
    await eventually(lambda: heard.numbers == [1, 2])
    await here.wait_until_subscribed()
    assert await there.publish(event(3, "x")) > last
    await eventually(lambda: heard.numbers == [1, 2, 3])
    await eventually(lambda: here.epoch == there.epoch)


# -- another instance in charge


async def replicated(replica: RedisServer, key: str, value: object) -> None:
    async def same() -> bool:
        with contextlib.suppress(RedisError):
            return bool(await replica.ask("HGET", PREFIX + "clock", key) == str(value))
        return False

    await eventually(same)


@pytest.fixture
def replica(own_redis: RedisServer) -> Iterator[RedisServer]:
    server = started("--replicaof", "127.0.0.1", str(own_redis.port))
    yield server
    server.close()


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


async def test_a_session_of_before_a_failover_is_cut_and_kept_so(
    brokers: Brokers, forwarder: RedisForwarder, own_redis: RedisServer, replica: RedisServer
) -> None:
    here, heard = await brokers.add(forwarder.url)
    last = await here.publish(event(0, "x"))
    await own_redis.ask("HSET", PREFIX + "clock", "last", last + 1000)
    saved = session(joins={"x": last - 5, "y": last + 10**9})
    saved.confirmed = (last + 10**9,)
    await here.save(saved)

    async def has_it() -> bool:
        return bool(await replica.ask("EXISTS", f"{PREFIX}s:{saved.pid}"))

    await eventually(has_it)
    await replica.ask("REPLICAOF", "NO", "ONE")
    forwarder.lead_to(replica)
    await eventually(lambda: heard.switches)
    ((_, top),) = heard.switches
    assert here.epoch is not None
    claimed = await here.claim(saved.pid, "u1")
    assert claimed is not None
    assert claimed.joins == {"x": last - 5, "y": min(last + 10**9, top)}
    # What is joined from now on is not cut again: it is of this history.
    joined = await here.publish(event(1, "x"))
    claimed.joins["z"] = joined
    assert await here.save_join(claimed, "z")
    again = await here.claim(saved.pid, "u1")
    assert again is not None
    assert again.joins == claimed.joins


async def test_a_master_that_becomes_a_replica_is_left(
    brokers: Brokers, forwarder: RedisForwarder, own_redis: RedisServer, replica: RedisServer, ticking: None
) -> None:
    """No connection breaks: what is published at the new master comes through the old one, its replica now."""
    here, heard = await brokers.add(forwarder.url)
    await listen(here, "x")
    await here.publish(event(0, "x"))
    await replicated(replica, "instance", await own_redis.ask("HGET", PREFIX + "clock", "instance"))
    await replica.ask("REPLICAOF", "NO", "ONE")
    forwarder.target = replica
    await own_redis.ask("REPLICAOF", "127.0.0.1", replica.port)
    other, _ = await brokers.add(replica.url)
    for n in range(1, 20):
        await other.publish(event(n, "x"))
        await asyncio.sleep(0.05)
    await eventually(lambda: 19 in heard.numbers)
    await here.wait_until_subscribed()
    assert heard.numbers == list(range(20))
    assert partitions_of(here)[0].subscription.instance == partitions_of(other)[0].subscription.instance
    assert heard.broken_rooms == set()


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


async def test_without_permission_to_ask_who_it_is(own_redis: RedisServer) -> None:
    await own_redis.ask("ACL", "SETUSER", "tc", "on", ">pw", "~tradecast:*", "&tradecast:*", "+@all", "-info")
    async with Brokers(own_redis.url.replace("://", "://tc:pw@")) as brokers:
        (here, heard), (there, _) = await brokers.add(), await brokers.add()
        await listen(here, "x")
        await there.publish(event(1, "x"))
        await eventually(lambda: heard.numbers == [1])
        await own_redis.ask("CLIENT", "KILL", "TYPE", "pubsub")
        await there.publish(event(2, "x"))
        await eventually(lambda: heard.numbers == [1, 2])
        assert heard.switches == []
