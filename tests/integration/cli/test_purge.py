"""`tradecast purge`: what Redis has of a user's events."""

from __future__ import annotations

import pytest

from kit.network.ports import free_port
from kit.servers.process import tradecast
from kit.servers.redis_server import RedisServer
from tradecast.config.settings import load_settings
from tradecast.publishing.publisher import Publisher

pytestmark = pytest.mark.redis


async def publish(url: str, *users: str) -> None:
    async with Publisher(load_settings({"REDIS_URL": url})) as publisher:
        for user in users:
            await publisher.emit_trade_executed(user, {"id": "t1"})
            await publisher.emit_portfolio_update(user, {"total": 1})
            await publisher.emit_notification(user, {"title": "hello"})


async def keys_of(redis: RedisServer, user: str) -> list[bytes]:
    found: list[bytes] = await redis.ask("KEYS", f"tradecast:events:*:{user}")
    return sorted(found)


async def test_one_users_events_are_removed_and_nobody_elses(own_redis: RedisServer) -> None:
    await publish(own_redis.url, "u1", "u2")
    others = await keys_of(own_redis, "u2")
    assert len(await keys_of(own_redis, "u1")) == len(others) == 3
    looked = await tradecast("purge", "--user", "u1", "--dry-run", REDIS_URL=own_redis.url)
    assert (looked.code, looked.out.splitlines()[-1]) == (0, "found: 3"), looked.err
    assert len(await keys_of(own_redis, "u1")) == 3
    done = await tradecast("purge", "--user", "u1", REDIS_URL=own_redis.url)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "pubsub: portfolio: 1 durable and 0 latest-wins events in the history, 0 retained values",
        "pubsub: trades: 1 durable and 0 latest-wins events in the history, 0 retained values",
        "pubsub: user: 1 durable and 0 latest-wins events in the history, 0 retained values",
        "removed: 3",
    ]
    assert await keys_of(own_redis, "u1") == []
    assert await keys_of(own_redis, "u2") == others
    again = await tradecast("purge", "--user", "u1", REDIS_URL=own_redis.url)
    assert (again.code, again.out.splitlines()[-1]) == (0, "removed: 0")


async def test_what_cannot_be_purged_is_said() -> None:
    away = await tradecast("purge", "--user", "u1", REDIS_URL=f"redis://127.0.0.1:{free_port()}/0", REDIS_TIMEOUT="0.5")
    assert away.code == 1
    assert "not all is removed" in away.err
    assert "Traceback" not in away.err
    single = await tradecast("purge", "--user", "u1")
    assert (single.code, "memory of the server" in single.err) == (1, True)
    nobody = await tradecast("purge", "--user", "", REDIS_URL="redis://127.0.0.1:1/0")
    assert (nobody.code, "--user" in nobody.err) == (2, True)
