"""The store in SingleClient, as connect-redis keeps sessions."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator

import pytest

from integration.sessions.stores.store_contract import DATA, DAY, StoreContract
from kit.servers.redis_server import RedisServer, open_client
from tradecast.redis_client.single import SingleClient
from tradecast.sessions.errors import StoreUnavailable
from tradecast.sessions.stores.redis import RedisStore

pytestmark = pytest.mark.redis


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[SingleClient]:
    async with open_client(redis_server.url) as client:
        yield client


@pytest.fixture
def store(client: SingleClient) -> RedisStore:
    return RedisStore(client, "sess:", timeout=30)


class TestRedisStore(StoreContract):
    name = "redis"
    has_changes = False


async def test_reads_what_connect_redis_writes(store: RedisStore, client: SingleClient) -> None:
    await client.set("sess:a", json.dumps(DATA), ex=86_400)
    stored = (await store.load(["a"]))["a"]
    assert stored.data == DATA
    assert stored.expires_at == pytest.approx(time.time() + 86_400, abs=2)


async def test_writes_what_connect_redis_reads(store: RedisStore, client: SingleClient) -> None:
    await store.save("a", DATA, time.time() + 60)
    assert json.loads(await client.get("sess:a") or "") == DATA
    assert 58_000 < await client.pttl("sess:a") <= 60_000


async def test_without_ttl_the_end_is_unknown(store: RedisStore, client: SingleClient) -> None:
    await client.set("sess:a", "{}")
    assert (await store.load(["a"]))["a"].expires_at is None


async def test_values_that_are_no_sessions(store: RedisStore, client: SingleClient) -> None:
    await client.set("sess:text", b"\xff not json")
    await client.rpush("sess:list", "x")
    await store.save("a", DATA, time.time() + DAY)
    found = await store.load(["text", "list", "a"])
    assert found["text"].data == "\ufffd not json"
    assert "list" not in found
    assert found["a"].data == DATA


async def test_prefix_is_taken_literally(client: SingleClient) -> None:
    await client.mset({"s?*[x]:a": "{}", "sab[x]:b": "{}", "other": "{}"})
    assert [stored.id async for stored in RedisStore(client, "s?*[x]:").list()] == ["a"]


async def test_client_that_decodes(redis_server: RedisServer) -> None:
    async with open_client(redis_server.url, decode_responses=True) as client:
        store = RedisStore(client, "sess:")
        await store.save("a", DATA, time.time() + DAY)
        assert (await store.load(["a"]))["a"].data == DATA
        assert [stored.id async for stored in store.list()] == ["a"]


async def test_redis_that_is_gone_and_comes_back(own_redis: RedisServer) -> None:
    async with open_client(own_redis.url) as client:
        store = RedisStore(client, "sess:", timeout=20)
        await store.save("a", DATA, time.time() + DAY)
        await own_redis.kill()
        for request in (store.load(["a"]), store.existing(["a"]), store.delete(["a"]), store.ping()):
            with pytest.raises(StoreUnavailable) as unavailable:
                await request
            assert str(own_redis.port) not in str(unavailable.value)
        with pytest.raises(StoreUnavailable):
            await store.save("a", DATA, time.time() + DAY)
        with pytest.raises(StoreUnavailable):
            [stored async for stored in store.list()]
        await own_redis.start()
        assert await store.load(["a"]) == {}


async def test_redis_that_does_not_answer(own_redis: RedisServer) -> None:
    async with open_client(own_redis.url) as client:
        store, patient = RedisStore(client, "sess:", timeout=0.3), RedisStore(client, "sess:", timeout=30)
        await patient.ping()
        await own_redis.pause(60)
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await store.load(["a"])
        assert 0.2 < time.monotonic() - started < 20
        own_redis.resume()
        assert await patient.load(["a"]) == {}
