"""Keys of limits that hold what is none of ours, in a real SingleClient: that is their user's alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

import pytest
import structlog

from kit.servers.redis_server import RedisServer
from tradecast.config.settings import load_settings
from tradecast.limits.limiter import RateLimiter
from tradecast.limits.quota import Lease
from tradecast.limits.redis_store import RedisQuotaStore
from tradecast.redis_client.client import create_redis
from tradecast.redis_client.script import user_tag
from tradecast.redis_client.single import SingleClient

pytestmark = [pytest.mark.redis, pytest.mark.usefixtures("patient_limits")]
ENVIRON = {
    **{f"RATE_LIMIT_{name}": "5" for name in ("GLOBAL", "SUBSCRIBE", "UNSUBSCRIBE", "BROADCAST", "REFRESH")},
    "MAX_SUBSCRIPTIONS_PER_USER": "3",
    "MAX_CONNECTIONS_PER_USER": "2",
}
RATE = f"tradecast:rate:{user_tag('broken')}:global:1000"
QUOTA = f"tradecast:quota:{user_tag('broken')}:subscriptions"
CONNECTIONS = f"tradecast:quota:{user_tag('broken')}:connections"


class RecordingObserver:
    def __init__(self) -> None:
        self.away: list[bool] = []
        self.foreign: list[str] = []

    def limiter_fallback(self, fallen_back: bool) -> None:
        self.away.append(fallen_back)

    def foreign_key(self, of: str) -> None:
        self.foreign.append(of)


@pytest.fixture
def told() -> RecordingObserver:
    return RecordingObserver()


@pytest.fixture
async def redis(redis_server: RedisServer) -> AsyncIterator[SingleClient]:
    client = create_redis(load_settings({"REDIS_URL": redis_server.url}))
    assert isinstance(client, SingleClient)
    yield client
    await client.aclose()


@pytest.fixture
async def limiters(
    redis_server: RedisServer, told: RecordingObserver
) -> AsyncIterator[tuple[RateLimiter, RateLimiter]]:
    settings = load_settings({"REDIS_URL": redis_server.url, **ENVIRON})
    clients = [create_redis(settings) for _ in range(2)]
    one, two = (RateLimiter(settings, client, observer=told) for client in clients)
    yield one, two
    for limiter, client in zip((one, two), clients, strict=True):
        await limiter.close()
        await client.aclose()


async def passed(limiters: Sequence[RateLimiter], user_id: str, tries: int = 12) -> int:
    return sum([bool(await limiters[n % 2].check_limit(user_id, "x")) for n in range(tries)])


WRONG: list[Callable[[SingleClient, str], object]] = [
    lambda redis, key: redis.set(key, "text"),
    lambda redis, key: redis.lpush(key, "one"),
    lambda redis, key: redis.sadd(key, "one"),
    lambda redis, key: redis.xadd(key, {"a": "b"}),
    lambda redis, key: redis.zadd(key, {"a": 1}),
    lambda redis, key: redis.hset(key, mapping={"n": "many", "b": "now"}),
    lambda redis, key: redis.hset(key, mapping={"n": "7"}),
    lambda redis, key: redis.hset(key, mapping={"n": "1000000", "b": "1"}),
    lambda redis, key: redis.hset(key, mapping={"n": "1000000", "b": "99999999999999"}),
    lambda redis, key: redis.hset(key, mapping={"n": "nan", "b": "inf"}),
]


@pytest.mark.parametrize("wrong", WRONG)
async def test_wrong_rate_key_is_that_users_alone(
    redis: SingleClient,
    limiters: tuple[RateLimiter, RateLimiter],
    told: RecordingObserver,
    wrong: Callable[[SingleClient, str], object],
) -> None:
    await wrong(redis, RATE)  # type: ignore[misc]  # an awaitable
    assert await passed(limiters, "broken") == 5, "over both servers, and neither more nor fewer"
    assert await passed(limiters, "other") == 5
    assert told.away == []


@pytest.mark.parametrize("wrong", [WRONG[n] for n in (0, 1, 2, 3, 5)])
async def test_wrong_quota_key_is_that_users_alone(
    redis: SingleClient,
    limiters: tuple[RateLimiter, RateLimiter],
    told: RecordingObserver,
    wrong: Callable[[SingleClient, str], object],
) -> None:
    one, two = limiters
    await wrong(redis, QUOTA)  # type: ignore[misc]  # an awaitable
    assert await one.get_subscription_count("broken") == 0
    await wrong(redis, QUOTA)  # type: ignore[misc]  # an awaitable
    granted = [await limiters[n % 2].increment_subscription("broken", str(n)) for n in range(5)]
    assert granted == [True] * 3 + [False] * 2
    await redis.delete(QUOTA)
    await wrong(redis, QUOTA)  # type: ignore[misc]  # an awaitable
    await one.decrement_subscription("broken", "0")
    assert await two.increment_subscription("other", "0")
    assert told.away == []
    assert told.foreign == ["quotas"] * len(told.foreign)
    assert len(told.foreign) == 3


async def test_one_wrong_key_lets_no_other_lease_lapse(
    redis: SingleClient, limiters: tuple[RateLimiter, RateLimiter], told: RecordingObserver
) -> None:
    one, _ = limiters
    users = ["a", "broken", *(f"user {n}" for n in range(500))]
    for user_id in users:
        assert await one.acquire_connection(user_id, "c")
    await redis.flushall()
    await redis.set(CONNECTIONS, "text")
    await one.renew_all()
    counts = {user_id: await one.get_connection_count(user_id) for user_id in users}
    assert counts == dict.fromkeys(users, 1), "the broken one among them: what is held is registered anew"
    assert told.away == []


async def test_what_cannot_be_removed_leaves_the_others_in_redis(
    redis_server: RedisServer, redis: SingleClient, told: RecordingObserver
) -> None:
    """An ACL that lets scripts write and nothing be removed: then that user is limited from memory."""
    await redis_server.ask("ACL", "SETUSER", "limited", "on", ">pw", "~*", "&*", "+@all", "-del")
    settings = load_settings(
        {"REDIS_URL": redis_server.url, "REDIS_USERNAME": "limited", "REDIS_PASSWORD": "pw", **ENVIRON}
    )
    client = create_redis(settings)
    limiter = RateLimiter(settings, client, observer=told)
    try:
        await redis.set(RATE, "text")
        assert await passed([limiter, limiter], "broken") == 5
        assert told.away == []
        assert await passed([limiter, limiter], "other") == 5
        assert await redis.exists(f"tradecast:rate:{user_tag('other')}:global:1000")
    finally:
        await limiter.close()
        await client.aclose()
        await redis_server.ask("ACL", "DELUSER", "limited")


@pytest.mark.parametrize(
    ("trouble", "mended"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
        (("ACL", "SETUSER", "default", "-evalsha", "-eval"), ("ACL", "SETUSER", "default", "+@all")),
        (("CONFIG", "SET", "min-replicas-to-write", "3"), ("CONFIG", "SET", "min-replicas-to-write", "0")),
    ],
)
async def test_what_is_wrong_with_redis_is_wrong_for_all(
    redis_server: RedisServer,
    limiters: tuple[RateLimiter, RateLimiter],
    told: RecordingObserver,
    trouble: tuple[str, ...],
    mended: tuple[str, ...],
) -> None:
    one, _ = limiters
    assert await one.check_limit("u", "x")
    await redis_server.ask(*trouble)
    try:
        assert await one.check_limit("u", "x")
        assert one.fallen_back
        assert told.away == [True]
        assert told.foreign == []
    finally:
        await redis_server.ask(*mended)


async def test_it_is_logged_seldom(
    redis: SingleClient, limiters: tuple[RateLimiter, RateLimiter], told: RecordingObserver
) -> None:
    with structlog.testing.capture_logs() as logs:
        for _ in range(100):
            await redis.set(RATE, "text")
            await limiters[0].check_limit("broken", "x")
    assert told.foreign == ["rates"] * 100
    assert 0 < len(logs) <= 20
    assert "broken" not in str(logs)


async def test_store_alone_renews_the_others(redis: SingleClient) -> None:
    store = RedisQuotaStore(redis)
    await redis.set(QUOTA, "text")
    await store.renew([Lease("subscriptions", user_id, "m") for user_id in ("a", "broken", "z")])
    assert [await store.count("subscriptions", user_id) for user_id in ("a", "broken", "z")] == [1, 1, 1]
