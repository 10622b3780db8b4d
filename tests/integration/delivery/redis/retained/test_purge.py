"""Removing what Redis has of some rooms."""

from __future__ import annotations

import pytest

from integration.delivery.redis.trouble import PREFIX
from kit.contracts.broker import event
from kit.contracts.snapshots import RETAINING, latest_of, quote, recent_of, until_history_is_gone
from kit.delivery.redis_brokers import Brokers
from kit.servers.redis_server import RedisServer
from tradecast.delivery.redis.retained.purge import Purged, purge_rooms

pytestmark = pytest.mark.redis


async def test_what_is_retained_and_the_history_are_removed(brokers: Brokers, own_redis: RedisServer) -> None:
    here, _ = await brokers.add(retention=RETAINING)
    for room in ("a", "b"):
        await here.publish(event(1, room, name="trade"))
        await quote(here, 2, room)
    await until_history_is_gone(here, "a", "b")
    start = dict(await here.read_positions(["a"]))
    await here.publish(event(3, "a", name="trade"))
    await quote(here, 4, "a")
    assert await purge_rooms(here.redis, ["a", "none"], dry_run=True) == {"a": Purged(1, 1, 2), "none": Purged(0, 0, 0)}
    assert (await purge_rooms(here.redis, ["a"]))["a"].total == 4
    assert await latest_of(here, "a") == await recent_of(here, "a") == []
    assert (await latest_of(here, "b"), await recent_of(here, "b")) == ([2], [1])
    assert await own_redis.ask("ZRANGE", PREFIX + "kt", 0, -1) == ["b"]
    sizes = await own_redis.ask("HMGET", PREFIX + "ks", "rb", "t", "ra")
    assert sizes[0] == sizes[1]
    assert sizes[2] is None
    # Nobody who comes back for it takes the rest for all there is.
    assert (await here.read(start)).broken == {"a"}
