"""Who is where, through a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from kit.servers.fleet import redis_client
from kit.servers.redis_cluster import RedisCluster
from kit.servers.redis_server import RedisServer
from tradecast.config.settings import load_settings
from tradecast.polling_relay.addresses import KEY, LEASE, OWNERS, AddressUnavailable, ServerAddresses, find_own_address
from tradecast.redis_client.client import RedisClient, create_redis

pytestmark = pytest.mark.redis
HERE, THERE = ("127.0.0.1", 1001), ("127.0.0.1", 1002)


@pytest.fixture
async def redis(redis_server: RedisServer) -> AsyncIterator[RedisClient]:
    client = redis_client(redis_server)
    yield client
    await client.aclose()


@pytest.fixture
async def clustered(redis_cluster: RedisCluster) -> AsyncIterator[RedisClient]:
    client = create_redis(load_settings({}, redis_url=redis_cluster.url))
    yield client
    await client.aclose()


def directory(redis: RedisClient, boot: str, **options: Any) -> ServerAddresses:
    """One that is patient: a Redis that is held up by a busy machine is no Redis that is away."""
    return ServerAddresses(redis, boot, **{"patience": 20, **options})


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


async def test_servers_find_each_other_and_share_a_key(redis: RedisClient) -> None:
    a, b = directory(redis, "aaaaaaaaaaaa"), directory(redis, "bbbbbbbbbbbb")
    assert not a.keys
    await a.announce(HERE)
    await b.announce(THERE)
    assert await a.find("bbbbbbbbbbbb") == THERE, "looked up, since it came later"
    assert await b.find("aaaaaaaaaaaa") == HERE
    assert await a.find("cccccccccccc") is None
    assert a.keys == b.keys
    assert len(a.keys[0]) == 32
    assert (len(a.other_boots), len(b.other_boots)) == (1, 1), "itself is none of the others"


async def test_in_a_cluster_too(clustered: RedisClient, redis_cluster: RedisCluster) -> None:
    a, b = directory(clustered, "aaaaaaaaaaaa"), directory(clustered, "bbbbbbbbbbbb")
    await a.announce(HERE)
    await b.announce(THERE)
    assert await a.find("bbbbbbbbbbbb") == THERE
    assert await b.find("aaaaaaaaaaaa") == HERE
    assert a.keys == b.keys
    for node in redis_cluster.nodes:
        node.ask_now("SCRIPT", "FLUSH")
    await redis_cluster.move_slots(4)
    assert await a.refresh()
    await b.withdraw()
    assert set(await clustered.hkeys(OWNERS)) == {b"aaaaaaaaaaaa"}
    assert await find_own_address(clustered) == "127.0.0.1"


async def test_one_who_leaves_is_gone_and_one_who_is_silent_soon(redis: RedisClient) -> None:
    clock = Clock()
    a, b, c = (directory(redis, name * 12, clock=clock) for name in "abc")
    for one in (a, b, c):
        await one.announce(HERE)
    await a.refresh()
    assert len(a.other_boots) == 2
    await b.withdraw()
    impatient = directory(redis, "a" * 12, lease=0.2)
    await impatient.announce(HERE)
    await asyncio.sleep(0.3)  # a lease is a time
    await impatient.refresh()
    assert len(impatient.other_boots) == 0
    clock.now += LEASE + 1
    await a.refresh()
    assert len(a.other_boots) == 0
    assert set(await redis.hkeys(OWNERS)) == {b"aaaaaaaaaaaa"}


async def test_one_who_has_no_address_yet_only_reads(redis: RedisClient) -> None:
    a, b = directory(redis, "aaaaaaaaaaaa"), directory(redis, "bbbbbbbbbbbb")
    await a.announce(HERE)
    await b.refresh()
    assert len(b.other_boots) == 1
    assert await redis.hlen(OWNERS) == 1


async def test_all_have_the_time_from_redis(redis: RedisClient) -> None:
    clock = Clock()
    a, b = directory(redis, "aaaaaaaaaaaa", clock=clock), directory(redis, "bbbbbbbbbbbb")
    for one in (a, b):
        await one.announce(HERE)
    seconds, microseconds = await redis.time()
    for one in (a, b):
        assert one.now() == pytest.approx(seconds + microseconds / 1_000_000, abs=10)
    before = a.now()
    clock.now += 3_600
    assert a.now() == before + 3_600, "it goes on between two looks"
    await a.refresh()
    assert a.now() == pytest.approx(before, abs=10), "but Redis' is the one that counts"


async def test_many_who_ask_at_once_share_a_look(redis: RedisClient, monkeypatch: pytest.MonkeyPatch) -> None:
    a = directory(redis, "aaaaaaaaaaaa")
    looks = 0
    look = a.refresh

    async def counted() -> bool:
        nonlocal looks
        looks += 1
        return await look()

    monkeypatch.setattr(a, "refresh", counted)
    assert await asyncio.gather(*(a.find("cccccccccccc") for _ in range(100))) == [None] * 100
    assert looks == 1


async def test_redis_that_lost_everything_gets_the_key_back_and_nobody_is_forgotten(redis: RedisClient) -> None:
    clock = Clock()
    a, b = directory(redis, "aaaaaaaaaaaa", clock=clock), directory(redis, "bbbbbbbbbbbb")
    await b.announce(THERE)
    await a.announce(HERE)
    key = a.keys[0]
    await redis.flushdb()
    assert await a.refresh()
    assert await redis.get(KEY) == key.hex().encode()
    assert a.keys == (key,)
    assert await a.find("bbbbbbbbbbbb") == THERE, "it has not heard yet that it has to tell it again"
    clock.now += 60
    await a.refresh()
    assert await a.find("bbbbbbbbbbbb") is None, "but it has had its time"


async def test_two_keys_after_a_loss_are_both_good_for_a_while(redis: RedisClient) -> None:
    a = directory(redis, "aaaaaaaaaaaa")
    await a.announce(HERE)
    old = a.keys[0]
    await redis.flushdb()
    new = directory(redis, "bbbbbbbbbbbb")
    await new.announce(THERE)
    await a.refresh()
    assert a.keys == (new.keys[0], old)


async def test_known_ones_stay_known_while_redis_is_away(redis: RedisClient, redis_server: RedisServer) -> None:
    clock = Clock()
    a, b = directory(redis, "aaaaaaaaaaaa", clock=clock, patience=1), directory(redis, "bbbbbbbbbbbb")
    await b.announce(THERE)
    await a.announce(HERE)
    await redis_server.pause(60)
    try:
        with capture_logs() as logs:
            clock.now += 3_600
            for _ in range(2):
                assert not await a.refresh()
            assert await a.find("bbbbbbbbbbbb") == THERE
            with pytest.raises(AddressUnavailable):
                await a.find("cccccccccccc")
            await a.withdraw()
        assert [entry["log_level"] for entry in logs if entry["log_level"] == "warning"] == ["warning"], "told once"
    finally:
        redis_server.resume()
    await redis.flushdb()
    assert await a.refresh()
    assert await a.find("bbbbbbbbbbbb") == THERE, "it has its lease to tell it again"


@pytest.mark.parametrize(
    "junk",
    [b"", b"x", b"127.0.0.1 1", b"{now} 127.0.0.1", b"{now} a b 1", b"{now} a/b 80", b"{now} 127.0.0.1 65536"],
)
async def test_what_is_no_address_is_passed_over(redis: RedisClient, junk: bytes) -> None:
    seconds, _ = await redis.time()
    await redis.hset(OWNERS, "cccccccccccc", junk.replace(b"{now}", b"%d000000" % seconds))
    a = directory(redis, "aaaaaaaaaaaa")
    await a.announce(HERE)
    assert len(a.other_boots) == 0


@pytest.mark.parametrize("found", ["hunter2", "", "a" * 63, "A" * 64, "0" * 65])
async def test_what_is_no_key_is_replaced(redis: RedisClient, found: str) -> None:
    await redis.set(KEY, found)
    a, b = (directory(redis, name * 12) for name in "ab")
    with capture_logs() as logs:
        await a.announce(HERE)
        await b.announce(HERE)
    assert a.keys == b.keys
    assert [len(key) for key in a.keys] == [32]
    assert "hunter2" not in str(logs)


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:{port}/0", "redis://localhost:{port}", "{unix}", "redis://x.invalid"]
)
async def test_own_address_is_the_one_towards_redis(redis_server: RedisServer, url: str) -> None:
    text = url.format(port=redis_server.port, unix=redis_server.unix_url)
    client = create_redis(load_settings({}, redis_url=text))
    assert await find_own_address(client) in ("127.0.0.1", "::1")
    await client.aclose()


async def test_own_address_with_sentinels_is_the_one_towards_them(redis_server: RedisServer) -> None:
    client: Any = create_redis(load_settings({}, redis_url="redis+sentinel://127.0.0.1:26379/0/main"))
    assert await find_own_address(client) == "127.0.0.1"
    await client.aclose()
