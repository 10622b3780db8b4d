"""Reading snapshots: many in a call, and each at one instant."""

from __future__ import annotations

import asyncio
import random

import pytest

from kit.contracts.broker import numbers
from kit.contracts.snapshots import RETAINING, quote, snapshot_of
from kit.delivery.redis_brokers import Brokers, partitions_of
from kit.servers.redis_server import RedisServer
from tradecast.background.tasks import cancel_and_wait
from tradecast.delivery.errors import AdapterUnavailable
from tradecast.delivery.redis.retained import reader
from tradecast.delivery.redis.retained.reader import ROOMS_PER_READ

pytestmark = pytest.mark.redis


async def test_joins_at_once_share_their_reads(brokers: Brokers, monkeypatch: pytest.MonkeyPatch) -> None:
    here, _ = await brokers.add(retention=RETAINING)
    await quote(here, 7, "market")
    sent: list[int] = []
    queue = partitions_of(here)[0].snapshots._queue
    run = queue.run

    async def counted(request: object, size: int = 0) -> object:
        # The partition asks for its position from time to time, by the same queue.
        if isinstance(request, reader._Read):
            sent.append(1)
        return await run(request, size)  # type: ignore[arg-type]

    monkeypatch.setattr(queue, "run", counted)
    found = await asyncio.gather(*(here.read_snapshots({"market": 0, f"user{n % 20}": 3}) for n in range(1_000)))
    assert all(numbers(one["market"].latest) == [7] for one in found)
    assert len(sent) < 10
    sent.clear()
    rooms = [f"room{n}" for n in range(3 * ROOMS_PER_READ + 1)]
    assert list(await here.read_snapshots(dict.fromkeys(rooms, 0))) == rooms
    assert len(sent) == 4


async def test_one_who_goes_takes_nobodys_answer_along(brokers: Brokers) -> None:
    here, _ = await brokers.add(retention=RETAINING)
    goes = asyncio.create_task(snapshot_of(here, "r"))
    stays = asyncio.create_task(snapshot_of(here, "r"))
    await asyncio.sleep(0)
    await cancel_and_wait(goes)
    assert (await stays).latest == []


async def test_nothing_is_above_the_position(brokers: Brokers) -> None:
    """Published while it is read, the position and the values are of one instant."""
    (here, _), (there, _) = await brokers.add(retention=RETAINING), await brokers.add(retention=RETAINING)
    chance = random.Random(7)
    ids: list[int] = []

    async def publish() -> None:
        for number in range(300):
            last = await quote(there, number, "r")
            ids.append(last)

    publishing = asyncio.create_task(publish())
    while not publishing.done():
        found = await snapshot_of(here, "r")
        (newest,) = found.latest or (None,)
        seen = 0 if newest is None else newest.id
        assert seen <= found.position
        # All that was published up to the position is in it.
        assert max((one for one in ids if one <= found.position), default=0) <= seen
        await asyncio.sleep(chance.random() / 500)
    await publishing


async def test_without_redis_there_is_no_snapshot(brokers: Brokers, own_redis: RedisServer) -> None:
    here, _ = await brokers.add(retention=RETAINING)
    await own_redis.stop()
    with pytest.raises(AdapterUnavailable):
        await snapshot_of(here, "r")


async def test_a_value_that_is_none_of_ours_is_left_out(brokers: Brokers, own_redis: RedisServer) -> None:
    here, _ = await brokers.add(retention=RETAINING)
    await quote(here, 1, "r", "key")
    (partition,) = partitions_of(here)
    for field, value in (("a", "soon"), ("b", "5 nothing"), ("c", "")):
        await own_redis.ask("HSET", partition.prefix + "l:r", field, value)
    assert numbers((await snapshot_of(here, "r")).latest) == [1]
