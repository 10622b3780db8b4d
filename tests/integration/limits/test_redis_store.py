from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from kit.contracts.limits import MINUTE, QuotaContract, RateContract
from kit.servers.redis_server import RedisServer
from tradecast.config.settings import load_settings
from tradecast.limits.quota import LEASE, Lease, QuotaStore
from tradecast.limits.redis_store import RedisQuotaStore, RedisRateStore
from tradecast.redis_client.client import RedisClient, create_redis

pytestmark = pytest.mark.redis


@pytest.fixture
async def redis(redis_server: RedisServer) -> AsyncIterator[RedisClient]:
    redis = create_redis(load_settings({"REDIS_URL": redis_server.url, "REDIS_TIMEOUT": "20"}))
    yield redis
    await redis.aclose()


class TestRedisRates(RateContract):
    @pytest.fixture
    def store(self, redis: RedisClient) -> RedisRateStore:
        return RedisRateStore(redis)


class TestRedisQuotas(QuotaContract):
    @pytest.fixture
    def store(self, redis: RedisClient) -> RedisQuotaStore:
        return RedisQuotaStore(redis)

    @pytest.fixture
    def short(self, redis: RedisClient) -> Callable[[float], QuotaStore]:
        return lambda lease: RedisQuotaStore(redis, lease)


async def test_four_servers_share_one_limit(redis_server: RedisServer) -> None:
    settings = load_settings({"REDIS_URL": redis_server.url, "REDIS_TIMEOUT": "20"})
    clients = [create_redis(settings) for _ in range(4)]

    async def hammer(store: RedisRateStore) -> int:
        async def one() -> bool:
            return await store.hit("u", [("global", 10_000), ("own", 250)], MINUTE) is None

        return sum(await asyncio.gather(*(one() for _ in range(200))))

    try:
        assert sum(await asyncio.gather(*(hammer(RedisRateStore(client)) for client in clients))) == 250
    finally:
        for client in clients:
            await client.aclose()


async def test_keys_are_of_one_slot_name_nobody_and_end(redis: RedisClient) -> None:
    await RedisRateStore(redis).hit("ann@example.org", [("global", 10), ("own", 10)], MINUTE)
    await RedisQuotaStore(redis).acquire("connections", "ann@example.org", "m", 1)
    keys = [key.decode() if isinstance(key, bytes) else key for key in await redis.keys()]
    assert len(keys) == 3
    assert len({key[key.index("{") : key.index("}") + 1] for key in keys}) == 1
    assert not [key for key in keys if "ann" in key]
    for key in keys:
        ttl = await redis.pttl(key)
        assert 0 < ttl <= (LEASE * 1000 if "quota" in key else 62_000)


async def test_the_number_of_fields_is_bounded(redis: RedisClient) -> None:
    store = RedisRateStore(redis)
    end = asyncio.get_running_loop().time() + 3
    while asyncio.get_running_loop().time() < end:
        await store.hit("u", [("a", 10**6)], 1_000)
    (key,) = await redis.keys()
    fields = await redis.hgetall(key)
    assert len(fields) <= 61 + 2
    assert int(fields[b"n"]) == sum(int(count) for name, count in fields.items() if name not in (b"n", b"b"))


async def test_after_a_long_pause_the_window_is_empty(redis: RedisClient) -> None:
    """The same second as the last bucket's, an hour later: nothing but the key's own end tells."""
    store = RedisRateStore(redis)
    await store.hit("u", [("a", 1)], MINUTE)
    (key,) = await redis.keys()
    newest = int(await redis.hget(key, "b") or 0)
    for back, answer in ((60, "a"), (61, None), (3_600, None), (10**6, None)):
        await redis.delete(key)
        await redis.hset(key, mapping={str(newest - back): 1, "n": 1, "b": newest - back})
        # if the second changes under way, 60 back may be 61 back: then it must have been let through
        first = await store.hit("u", [("a", 1)], MINUTE)
        now = int((await redis.time())[0])
        assert first == answer or now != newest


@pytest.mark.parametrize("back", [0, 1, 30, 58])
async def test_it_reports_how_long_a_limit_is_used_up(redis: RedisClient, back: int) -> None:
    """Until the oldest second with something in it is out of the window, 61 s after its beginning."""
    store = RedisRateStore(redis)
    await store.hit("u", [("a", 2)], MINUTE)
    (key,) = await redis.keys()
    newest = int(await redis.hget(key, "b") or 0)
    await redis.hset(key, mapping={str(newest - back): 1, str(newest): 1, "n": 2, "b": newest})
    before = await seconds_of(redis)
    refusal = await store.try_hit("u", [("b", 5), ("a", 1)], MINUTE)
    after = await seconds_of(redis)
    end = newest - back + 61
    if refusal is None:
        assert after >= end  # a busy machine has taken so long that nothing is in the window any more
        return
    assert refusal.limit == "a"
    # The script ran between the two.
    assert before + refusal.seconds - 0.01 <= end <= after + refusal.seconds + 0.01


async def seconds_of(redis: RedisClient) -> float:
    """The time of Redis."""
    seconds, micros = await redis.time()
    return int(seconds) + int(micros) / 1e6


async def test_scripts_are_sent_again_after_a_flush(redis: RedisClient) -> None:
    rates, quotas = RedisRateStore(redis), RedisQuotaStore(redis)
    for n in range(3):
        await redis.script_flush()
        assert await rates.hit("u", [("a", 3)], MINUTE) is None
        await redis.script_flush()
        assert await quotas.acquire("connections", "u", f"m{n}", 3)
        await redis.script_flush()
        await quotas.renew([Lease("connections", "u", f"m{n}")])
        await redis.script_flush()
        assert await quotas.count("connections", "u") == n + 1
    await redis.script_flush()
    assert await rates.hit("u", [("a", 3)], MINUTE) == "a"
    await quotas.release([Lease("connections", "u", f"m{n}") for n in range(3)])
    assert await quotas.count("connections", "u") == 0


async def test_known_scripts_are_called_by_digest(redis: RedisClient) -> None:
    store = RedisRateStore(redis)
    for _ in range(5):
        await store.hit("u", [("a", 100)], MINUTE)
    stats = await redis.info("commandstats")
    assert stats["cmdstat_eval"]["calls"] == 1
    assert stats["cmdstat_evalsha"]["calls"] == 5
