"""The cache of sessions, in memory and in a real SingleClient, which may be gone or slow."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kit.servers.redis_server import RedisServer, open_client
from tradecast.redis_client.single import SingleClient
from tradecast.sessions.cache import SessionCache, UserCache
from tradecast.sessions.models import Session, User

END = time.time() + 86_400
ANN = User("u1", "Ann Secretname", "ann@example.org", True, "premium")


def session(session_id: str = "sid", user: User = ANN) -> Session:
    return Session(session_id, user, END)


class Clock:
    """A clock that is set by hand, as wall and as monotonic clock."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(redis_server: RedisServer, patient_cache: None) -> AsyncIterator[SingleClient]:
    async with open_client(redis_server.url) as client:
        yield client


class Lookups:
    """Notes where look-ups end."""

    def __init__(self, sources: list[str]) -> None:
        self.sources = sources

    def session_lookup(self, source: str) -> None:
        self.sources.append(source)


def cache(clock: Clock, redis: SingleClient | None = None, ttl: float = 30, **more: Any) -> SessionCache:
    return SessionCache(ttl=ttl, redis=redis, clock=clock, monotonic=clock, **more)


# -- memory


async def test_remembered_for_its_time(clock: Clock) -> None:
    own = cache(clock)
    await own.put("sid", session())
    await own.put("short", session("short"), ttl=5)
    clock.now += 4.9
    assert await own.get("sid") == session()
    assert await own.get("short") == session("short")
    clock.now += 0.1
    assert await own.get("short") is None
    clock.now += 24.9
    assert await own.get("sid") == session()
    clock.now += 0.1
    assert await own.get("sid") is None


async def test_least_recently_used_goes_first(clock: Clock) -> None:
    own = cache(clock, max_entries=2)
    for name in "ab":
        await own.put(name, session(name))
    await own.get("a")
    await own.put("c", session("c"))
    assert [name for name in "abc" if await own.get(name)] == ["a", "c"]


async def test_tombstone_outlives_what_was_read_before(clock: Clock) -> None:
    own = cache(clock)
    await own.put("sid", session())
    await own.forget(["sid"])
    assert await own.get("sid") is None
    clock.now += 59
    await own.put("sid", session())  # read before it was deleted, and late
    assert await own.get("sid") is None
    clock.now += 2
    await own.put("sid", session())
    assert await own.get("sid") == session()


async def test_ttl_0_remembers_nothing_but_marks(clock: Clock) -> None:
    own = cache(clock, ttl=0)
    await own.put("sid", session())
    assert await own.get("sid") is None
    assert own.tombstone_ttl >= 30


async def test_cleared_keeps_what_is_marked(clock: Clock) -> None:
    own = cache(clock)
    await own.put("a", session("a"))
    await own.forget(["b"])
    own.clear()
    assert await own.get("a") is None
    await own.put("b", session("b"))
    assert await own.get("b") is None


# -- SingleClient


@pytest.mark.redis
async def test_other_servers_find_it_in_redis(clock: Clock, client: SingleClient) -> None:
    sources: list[str] = []
    one, other = cache(clock, client), cache(clock, client, observer=Lookups(sources))
    await one.put("sid", session())
    assert await other.get("sid") == session()
    assert await other.get("sid") == session()
    assert await other.get("nobody") is None
    assert sources == ["redis", "memory", "miss"]


@pytest.mark.redis
async def test_time_in_redis_counts(clock: Clock, client: SingleClient) -> None:
    one, other = cache(clock, client), cache(clock, client)
    await one.put("sid", session())
    clock.now += 20
    assert await other.get("sid") == session()
    clock.now += 10
    assert await other.get("sid") is None  # 30 s from when it was read from the store, not 30 s more


@pytest.mark.redis
async def test_no_secret_in_keys_and_no_id_in_values(clock: Clock, client: SingleClient) -> None:
    await cache(clock, client).put("secret-session-id", session("secret-session-id"))
    (key,) = await client.keys("*")
    assert key == b"tradecast:session:1:" + hashlib.sha256(b"secret-session-id").hexdigest().encode()
    assert b"secret-session-id" not in (await client.get(key) or b"")
    assert 0 < await client.pttl(key) <= 30_000


@pytest.mark.redis
async def test_tombstone_stops_a_late_value_on_another_server(clock: Clock, client: SingleClient) -> None:
    one, other, third = (cache(clock, client) for _ in range(3))
    await one.put("sid", session())
    await one.forget(["sid"])
    await other.put("sid", session())  # read before the deletion, which this server has not heard of
    assert await third.get("sid") is None
    assert 55_000 < await client.pttl((await client.keys("*"))[0]) <= 60_000


@pytest.mark.redis
async def test_tombstone_wins_over_a_value_that_is_being_read(clock: Clock, client: SingleClient) -> None:
    one, other = cache(clock, client), cache(clock, client)
    await other.put("sid", session())
    reading = asyncio.create_task(one.get("sid"))
    await asyncio.sleep(0)
    one.mark(["sid"])
    assert await reading is None
    assert await one.get("sid") is None


@pytest.mark.redis
@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "9999999999 ", "9999999999 5", "9999999999 {}", "nan []", "\xff"),
        '9999999999 ["u",1,"e",true,"free",1]',
        '9999999999 ["u","n","e",1,"free",1]',
        '9999999999 ["u","n","e",true,"gold",1]',
    ],
)
async def test_what_is_not_understood_is_a_miss(clock: Clock, client: SingleClient, text: str) -> None:
    own = cache(clock, client)
    await own.put("sid", session())
    (key,) = await client.keys("*")
    await client.set(key, text.encode("latin-1"))
    own.clear()
    assert await own.get("sid") is None


@pytest.mark.redis
async def test_many_at_once_are_few_commands(clock: Clock, client: SingleClient) -> None:
    one, other = cache(clock, client), cache(clock, client)
    names = [f"s{n}" for n in range(400)]
    await asyncio.gather(*(one.put(name, session(name)) for name in names))
    before = (await client.info("commandstats")).get("cmdstat_mget", {"calls": 0})["calls"]
    found = await asyncio.gather(*(other.get(name) for name in names))
    assert found == [session(name) for name in names]
    after = (await client.info("commandstats"))["cmdstat_mget"]["calls"]
    assert after - before == 1


@pytest.mark.redis
@pytest.mark.usefixtures("patient_cache")
async def test_redis_that_is_gone_never_fails_a_look_up(own_redis: RedisServer) -> None:
    async with open_client(own_redis.url) as client:
        monotonic = Clock()
        own = SessionCache(ttl=30, redis=client, monotonic=monotonic)
        await own.put("a", session("a"))
        await own_redis.kill()
        assert await own.get("nobody") is None
        assert await own.get("a") == session("a")
        await own.put("b", session("b"))
        assert await own.get("b") == session("b")
        await own.forget(["a"])
        assert await own.get("a") is None
        await own_redis.start()
        monotonic.now += 2
        await own.put("c", session("c"))
        own.clear()
        assert await own.get("c") == session("c")
        await own.close()


@pytest.mark.redis
async def test_redis_that_does_not_answer_delays_once(
    own_redis: RedisServer, patient_cache: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_client(own_redis.url) as client:
        own = SessionCache(ttl=30, redis=client)
        await own.get("warm")
        await own_redis.pause(60)
        monkeypatch.setattr("tradecast.sessions.cache.REDIS_TIMEOUT", 0.25)
        started = time.monotonic()
        assert await own.get("a") is None
        first = time.monotonic() - started
        assert 0.2 < first < 20  # a client of its own would wait for ever
        started = time.monotonic()
        for _ in range(100):
            assert await own.get("a") is None
        assert time.monotonic() - started < 15, "a quarter of a second for each would be 25"
        own_redis.resume()
        await own.close()


@pytest.mark.redis
async def test_users_are_cached_alike(clock: Clock, client: SingleClient) -> None:
    one, other = (UserCache(ttl=30, redis=client, clock=clock, monotonic=clock) for _ in range(2))
    await one.put("u1", {"isAdmin": True})
    assert await other.get("u1") == {"isAdmin": True}
    (key,) = await client.keys("*")
    assert key == b"tradecast:user:1:" + hashlib.sha256(b"u1").hexdigest().encode()
