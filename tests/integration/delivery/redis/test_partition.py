"""A partition on a Redis that loses connections, or everything."""

from __future__ import annotations

import asyncio

import pytest

from integration.delivery.redis.trouble import MANY, not_heard
from kit.contracts.broker import event, listen, numbers, session
from kit.delivery.redis_brokers import Brokers
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.delivery.ids import Offset

pytestmark = pytest.mark.redis


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
