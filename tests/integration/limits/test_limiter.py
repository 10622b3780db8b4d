from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog

from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.config.settings import load_settings
from tradecast.limits.limiter import RateLimiter
from tradecast.limits.quota import Lease
from tradecast.limits.redis_store import RedisQuotaStore
from tradecast.redis_client.client import RedisClient, create_redis

pytestmark = pytest.mark.redis


class Transitions:
    """What `on_fallback` was told."""

    def __init__(self) -> None:
        self.told: list[bool] = []

    def limiter_fallback(self, fallen_back: bool) -> None:
        self.told.append(fallen_back)

    def foreign_key(self, of: str) -> None:
        raise AssertionError(of)

    async def reach(self, expected: Sequence[bool]) -> None:
        async def reached() -> bool:
            return self.told == list(expected)

        await eventually(reached, 60, what=f"transitions {expected}")


@asynccontextmanager
async def limiter(
    server: RedisServer, told: Transitions | None = None, environ: dict[str, str] | None = None, **options: Any
) -> AsyncIterator[RateLimiter]:
    settings = load_settings({"REDIS_URL": server.url, **(environ or {})})
    redis = create_redis(settings)
    made = RateLimiter(settings, redis, observer=told, **options)
    await made.start()
    try:
        yield made
    finally:
        await made.close()
        await redis.aclose()


@pytest.fixture
def told() -> Transitions:
    return Transitions()


async def allowed(limiter: RateLimiter, event: str, tries: int, user_id: str = "u") -> int:
    return sum([bool(await limiter.check_limit(user_id, event)) for _ in range(tries)])


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


async def test_redis_killed_under_load_and_back(own_redis: RedisServer, told: Transitions) -> None:
    with structlog.testing.capture_logs() as lines:
        async with limiter(own_redis, told) as made:
            assert await made.increment_subscription("u", "before")
            slowest = 0.0
            passed = {"load": 0}
            stop = asyncio.Event()

            async def load(worker: int) -> None:
                nonlocal slowest
                while not stop.is_set():
                    begun = time.monotonic()
                    for n in range(20):
                        assert await made.check_limit(f"load{worker}-{n}-{passed['load']}", "anything")
                        passed["load"] += 1
                    slowest = max(slowest, time.monotonic() - begun)
                    await asyncio.sleep(0.001)  # as memory answers without a pause

            workers = [asyncio.create_task(load(n)) for n in range(4)]
            await asyncio.sleep(0.3)
            await own_redis.kill()
            await told.reach([True])
            fallen_back = made.fallen_back
            assert fallen_back
            # limits hold, from memory
            assert await allowed(made, "session:refresh", 30) == 10
            assert (await made.check_limit("u", "session:refresh")).exceeded == "session:refresh"
            # and so do quotas, with what was held before
            assert await made.get_subscription_count("u") == 1
            assert await made.increment_subscription("u", "while away")
            await own_redis.start()
            await told.reach([True, False])
            assert made.fallen_back is False
            # what is held was registered with the empty Redis before it was asked again
            assert await made.get_subscription_count("u") == 2
            async with limiter(own_redis) as other:
                assert await other.get_subscription_count("u") == 2
            stop.set()
            await asyncio.gather(*workers)
            assert passed["load"] > 100
            assert slowest < 15
    sentences = [line["event"] for line in lines]
    assert sentences.count("limits are kept in memory: Redis does not answer") == 1
    assert sentences.count("limits are kept in Redis again") == 1
    assert not [line for line in lines if line["log_level"] == "error"]


async def test_a_dead_redis_costs_one_time_out_not_one_per_event(own_redis: RedisServer, told: Transitions) -> None:
    async with limiter(own_redis, told, {"REDIS_TIMEOUT": "30"}) as made:
        assert await made.check_limit("u", "x")
        await own_redis.pause(60)
        begun = time.monotonic()
        assert await made.check_limit("u", "x")
        first = time.monotonic() - begun
        assert 0.2 < first < 15, "it does not wait for as long as a request may take"
        assert told.told == [True]
        begun = time.monotonic()
        assert await allowed(made, "x", 500) == 500
        assert time.monotonic() - begun < 15, "a quarter of a second for each would be two minutes"
        # the event of the time-out itself was counted in memory: 501 of 1000
        assert await allowed(made, "x", 600) == 499
        own_redis.resume()
        await told.reach([True, False])


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


async def test_a_redis_that_refuses_to_write_is_away(own_redis: RedisServer, told: Transitions) -> None:
    async with limiter(own_redis, told) as made, _client(own_redis) as redis:
        assert await made.check_limit("u", "x")
        await redis.replicaof("127.0.0.1", "1")
        assert await made.check_limit("u", "x")
        assert told.told == [True]
        await asyncio.sleep(0.5)  # it answers PING all the time: the probe must not take that for enough
        assert told.told == [True]
        await redis.replicaof("no", "one")
        await told.reach([True, False])


async def test_redis_away_from_the_start(own_redis: RedisServer, told: Transitions) -> None:
    await own_redis.kill()
    async with limiter(own_redis, told) as made:
        assert await allowed(made, "session:refresh", 12) == 10
        assert await made.acquire_connection("u", "a")
        await own_redis.start()
        await told.reach([True, False])
        assert await made.get_connection_count("u") == 1


async def test_closing_while_redis_is_away(own_redis: RedisServer, told: Transitions) -> None:
    async with limiter(own_redis, told) as made:
        assert await made.acquire_connection("u", "a")
        await own_redis.kill()
        assert await made.check_limit("u", "x")
    assert told.told == [True]
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("limits-")]


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
        end = time.monotonic() + 5
        while time.monotonic() < end:
            before = time.monotonic()
            if await made.check_limit("u", "session:refresh"):
                passed.append((before, time.monotonic()))
            await asyncio.sleep(0.001)
    assert all(last[1] - first[0] >= 0.998 for first, last in zip(passed, passed[10:], strict=False))
    assert 40 <= len(passed) <= 60


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
async def test_what_comes_and_goes_while_redis_is_told_counts_at_once(
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
