from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from integration.limits.limiting import Transitions, allowed, limiter
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.config.settings import load_settings
from tradecast.limits.limiter import RateLimiter
from tradecast.limits.quota import Lease
from tradecast.limits.redis_store import RedisQuotaStore
from tradecast.redis_client.client import RedisClient, create_redis

pytestmark = pytest.mark.redis


@pytest.fixture
def told() -> Transitions:
    return Transitions()


@pytest.mark.usefixtures("patient_limits")
async def test_limits_hold_over_servers(redis_server: RedisServer) -> None:
    async with limiter(redis_server) as one, limiter(redis_server) as two:
        passed = await asyncio.gather(*(allowed(server, "subscribe:trades", 80) for server in (one, two)))
        assert sum(passed) == 100
        assert (await one.check_limit("u", "subscribe:trades")).exceeded == "subscribe:trades"
        assert await two.check_limit("u", "subscribe:portfolio")


@pytest.mark.usefixtures("patient_limits")
async def test_quotas_hold_over_servers(redis_server: RedisServer) -> None:
    limits = {"MAX_SUBSCRIPTIONS_PER_USER": "5", "MAX_CONNECTIONS_PER_USER": "2"}
    async with limiter(redis_server, environ=limits) as one, limiter(redis_server, environ=limits) as two:
        # the same name on two servers is one subscription: that of a client which has moved
        assert await one.increment_subscription("u", "c1|trades:u")
        assert await two.increment_subscription("u", "c1|trades:u")
        one.hand_over("u", "c1", ["c1|trades:u"])
        assert await one.get_subscription_count("u") == 1
        assert await two.increment_subscription("u", "c2|trades:u")
        assert await one.get_subscription_count("u") == 2
        assert [await one.increment_subscription("u", f"c{n}") for n in range(5)] == [True] * 3 + [False] * 2
        assert not await two.increment_subscription("u", "x")
        await one.decrement_subscription("u", "c1")
        assert await two.increment_subscription("u", "x")
        assert await one.acquire_connection("u", "a")
        assert await two.acquire_connection("u", "b")
        assert not await two.acquire_connection("u", "c")
        assert await one.get_connection_count("u") == 2
        await two.release_connection("u", "b")
        assert await one.acquire_connection("u", "c")
    async with limiter(redis_server) as three:
        # those that were closed gave back what they held
        assert await three.get_subscription_count("u") == 0
        assert await three.get_connection_count("u") == 0


@pytest.mark.usefixtures("patient_limits")
async def test_a_dead_servers_counts_heal_and_a_living_ones_stay(redis_server: RedisServer) -> None:
    settings = load_settings({"REDIS_URL": redis_server.url})
    redis = create_redis(settings)
    dead = RateLimiter(settings, redis, lease=1.0, renew_every=0.2)  # never started: it does not renew
    async with limiter(redis_server, lease=1.0, renew_every=0.2) as living:
        assert await dead.increment_subscription("u", "dead")
        assert await living.increment_subscription("u", "living")

        async def healed() -> bool:
            return await living.get_subscription_count("u") == 1

        await eventually(healed, 60, what="the dead server's lease ends")
        await asyncio.sleep(2)  # that nothing happens can only be waited for
        assert await living.get_subscription_count("u") == 1
    await dead.close()
    await redis.aclose()


async def test_renewal_brings_back_what_redis_lost(redis_server: RedisServer) -> None:
    async with limiter(redis_server, renew_every=0.1) as made:
        assert await made.acquire_connection("u", "a")
        async with _client(redis_server) as redis:
            await redis.flushall()

        async def counted() -> bool:
            return await made.get_connection_count("u") == 1

        await eventually(counted, 60, what="the connection counts again")


@pytest.mark.usefixtures("calm_limits")
async def test_what_was_released_while_redis_was_away_is_released_there(
    own_redis: RedisServer, told: Transitions
) -> None:
    async with limiter(own_redis, told) as made, limiter(own_redis) as other:
        for member in ("a", "b", "c"):
            assert await made.acquire_connection("u", member)
        await own_redis.pause(60)
        await made.release_connection("u", "a")
        assert told.told == [True]
        await made.release_connection("u", "b")
        assert await made.get_connection_count("u") == 1
        own_redis.resume()
        await told.reach([True, False])
        assert await other.get_connection_count("u") == 1


@pytest.mark.usefixtures("patient_limits")
async def test_a_flood_of_a_user_over_a_limit_is_none_of_requests(own_redis: RedisServer) -> None:
    async with limiter(own_redis) as made, limiter(own_redis) as other:
        assert await allowed(made, "subscribe:trades", 101) == 100
        before = calls(own_redis)
        begun = time.monotonic()
        while time.monotonic() - begun < 3:
            assert (await made.check_limit("u", "subscribe:trades")).exceeded == "subscribe:trades"
        seconds = time.monotonic() - begun
        # Time for one more script in ten seconds, and for what INFO itself and a renewal of leases are.
        assert calls(own_redis) - before < 5 * seconds
        # Nobody else is concerned, and what is not used up of the user's is asked for as ever.
        assert await made.check_limit("v", "subscribe:trades")
        assert await made.check_limit("u", "subscribe:portfolio")
        assert (await other.check_limit("u", "subscribe:trades")).exceeded == "subscribe:trades"


@pytest.mark.usefixtures("patient_limits")
async def test_who_was_over_a_limit_passes_as_soon_as_the_window_has_moved(redis_server: RedisServer) -> None:
    """As without what is known: never more than the limit in a window, and the flow goes on."""
    limits = {"RATE_LIMIT_WINDOW_MS": "1000", "RATE_LIMIT_REFRESH": "10"}
    async with limiter(redis_server, environ=limits) as made:
        passed: list[tuple[float, float]] = []
        while len(passed) < 50:
            before = time.monotonic()
            if await made.check_limit("u", "session:refresh"):
                passed.append((before, time.monotonic()))
            await asyncio.sleep(0.001)
    assert all(last[1] - first[0] >= 0.998 for first, last in zip(passed, passed[10:], strict=False))
    # How long each window's first one is behind that of the window before; a busy machine may spoil some.
    windows = [later[0] - first[1] for first, later in zip(passed[::10], passed[10::10], strict=False)]
    assert min(windows) < 1.2


@pytest.mark.usefixtures("patient_limits")
async def test_what_is_known_is_forgotten_when_redis_goes_and_when_it_comes(
    own_redis: RedisServer, told: Transitions
) -> None:
    async with limiter(own_redis, told) as made:
        assert await allowed(made, "session:refresh", 20) == 10
        await own_redis.kill()
        assert await made.check_limit("v", "x")
        assert told.told == [True]
        # Memory has counts of its own, as always.
        assert await allowed(made, "session:refresh", 20) == 10
        await own_redis.start()
        await told.reach([True, False])
        # So has a Redis that has lost its memory.
        assert await allowed(made, "session:refresh", 20) == 10
        assert (await made.check_limit("u", "session:refresh")).exceeded == "session:refresh"


def calls(server: RedisServer) -> int:
    """Commands that it has carried out since its start, those of scripts included."""
    stats: dict[str, dict[str, Any]] = server.ask_now("INFO", "commandstats")
    return sum(int(one["calls"]) for one in stats.values())


@asynccontextmanager
async def _client(server: RedisServer) -> AsyncIterator[RedisClient]:
    redis = create_redis(load_settings({"REDIS_URL": server.url}))
    try:
        yield redis
    finally:
        await redis.aclose()


@pytest.mark.usefixtures("patient_limits")
@pytest.mark.parametrize("meanwhile", ["acquired", "released"])
async def test_what_comes_and_goes_while_redis_is_notified_counts_at_once(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch, told: Transitions, meanwhile: str
) -> None:
    """Not only from the next renewal on, half a minute later: a user could have more than is allowed until then."""
    async with limiter(own_redis, told, {"MAX_CONNECTIONS_PER_USER": "2"}) as made:
        assert await made.acquire_connection("u", "a")
        if meanwhile == "released":
            assert await made.acquire_connection("u", "b")
        renew = RedisQuotaStore.renew
        once = [True]

        async def renewing(store: RedisQuotaStore, leases: Sequence[Lease]) -> None:
            await renew(store, leases)
            if leases and once:
                once.clear()
                assert made.fallen_back
                if meanwhile == "acquired":
                    assert await made.acquire_connection("u", "b")
                else:
                    await made.release_connection("u", "b")

        monkeypatch.setattr(RedisQuotaStore, "renew", renewing)
        await own_redis.stop()
        await made.check_limit("u", "x")
        assert made.fallen_back
        await own_redis.start()
        await told.reach([True, False])
        assert await made.get_connection_count("u") == (2 if meanwhile == "acquired" else 1)
        assert await made.acquire_connection("u", "c") is (meanwhile == "released")
