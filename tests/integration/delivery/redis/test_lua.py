"""The scripts: ids, clocks and keys that others have written."""

from __future__ import annotations

import pytest

from integration.delivery.redis.trouble import PREFIX
from kit.contracts.broker import event, listen, numbers
from kit.delivery.redis_brokers import Brokers, RecordingObserver
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.delivery.envelope import LATEST
from tradecast.delivery.ids import id_span, now_id

pytestmark = pytest.mark.redis


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
