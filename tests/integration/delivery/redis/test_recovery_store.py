"""Recovery states in Redis."""

from __future__ import annotations

import pytest

from integration.delivery.redis.trouble import PREFIX
from kit.contracts.broker import event, session
from kit.delivery.redis_brokers import Brokers, RecordingObserver
from kit.network.redis_forwarder import RedisForwarder
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually

pytestmark = pytest.mark.redis


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


async def test_a_state_of_the_version_before_has_no_closes_for_slowness(
    brokers: Brokers, own_redis: RedisServer
) -> None:
    here, _ = await brokers.add()
    saved = session(joins={"x": 1})
    saved.slow_closes = 2
    await here.save(saved)
    assert await own_redis.ask("HGET", f"{PREFIX}s:{saved.pid}", "k") == "2"
    await own_redis.ask("HDEL", f"{PREFIX}s:{saved.pid}", "k")
    claimed = await here.claim(saved.pid, "u1")
    assert claimed is not None
    assert (claimed.slow_closes, claimed.joins) == (0, {"x": 1})
