"""Connections for scripts: sent again where Redis has lost them, and left where another is in charge."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from redis.exceptions import RedisError

from integration.delivery.redis.trouble import PREFIX
from kit.contracts.broker import event, listen, session
from kit.delivery.redis_brokers import Brokers, partitions_of
from kit.network.redis_forwarder import RedisForwarder
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually

pytestmark = pytest.mark.redis


async def test_scripts_that_are_flushed_are_sent_again(brokers: Brokers, own_redis: RedisServer) -> None:
    (here, heard), (there, _) = await brokers.add(), await brokers.add()
    await listen(here, "x")
    saved = session()
    for n in range(5):
        await own_redis.ask("SCRIPT", "FLUSH")
        await asyncio.gather(there.publish(event(n, "x")), here.save(saved), here.read({"x": here.positions[0]}))
    await eventually(lambda: heard.numbers == list(range(5)))


async def replicated(replica: RedisServer, key: str, value: object) -> None:
    async def same() -> bool:
        with contextlib.suppress(RedisError):
            return bool(await replica.ask("HGET", PREFIX + "clock", key) == str(value))
        return False

    await eventually(same)


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
