"""Sessions and their cache in a Redis Cluster, where each session's key is in a slot of its own."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

import pytest

from integration.sessions.stores.store_contract import DATA, DAY, StoreContract
from kit.servers.redis_cluster import RedisCluster
from kit.waiting import eventually
from tradecast.config.settings import load_settings
from tradecast.redis_client.client import RedisClient, create_redis
from tradecast.sessions.cache import SessionCache
from tradecast.sessions.errors import StoreUnavailable
from tradecast.sessions.models import Session, User
from tradecast.sessions.stores.redis import RedisStore

pytestmark = pytest.mark.redis
IDS = [f"session{number}" for number in range(60)]
ANN = User("u1", "Ann", "ann@example.org", True, "premium")


@pytest.fixture
async def client(empty_cluster: RedisCluster) -> AsyncIterator[RedisClient]:
    client = create_redis(load_settings({"REDIS_URL": empty_cluster.url}))
    yield client
    await client.aclose()


@pytest.fixture
def store(client: RedisClient) -> RedisStore:
    return RedisStore(client, "sess:", timeout=30)


class TestStoreInCluster(StoreContract):
    name = "redis"
    has_changes = False


async def test_sessions_of_all_nodes(store: RedisStore, empty_cluster: RedisCluster) -> None:
    for one in IDS:
        await store.save(one, DATA, time.time() + DAY)
    assert all(node.used_slots() for node in empty_cluster.nodes)
    found = await store.load([*IDS, "none"])
    assert {one: stored.data for one, stored in found.items()} == dict.fromkeys(IDS, DATA)
    assert {stored.id async for stored in store.list()} == set(IDS)
    assert await store.existing([*IDS, "none"]) == set(IDS)
    assert await store.delete([*IDS[:50], "none"]) == 50
    assert await store.existing(IDS) == set(IDS[50:])


async def test_reads_what_connect_redis_writes(store: RedisStore, client: RedisClient) -> None:
    await client.set("sess:a", json.dumps(DATA), ex=86_400)
    await client.rpush("sess:list", "x")
    found = await store.load(["a", "list"])
    assert found["a"].data == DATA
    assert found["a"].expires_at == pytest.approx(time.time() + 86_400, abs=2)
    assert "list" not in found


async def test_a_node_that_is_killed_and_comes_back(redis_cluster: RedisCluster) -> None:
    client = create_redis(load_settings({"REDIS_URL": redis_cluster.url}))
    store = RedisStore(client, "sess:", timeout=2)
    for one in IDS:
        await store.save(one, DATA, time.time() + DAY)
    await redis_cluster.kill(redis_cluster.nodes[0])
    for request in (store.load(IDS), store.existing(IDS), store.delete(IDS[:1] + IDS[30:]), store.ping()):
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await request
        assert time.monotonic() - started < 15
    with pytest.raises(StoreUnavailable):
        [stored async for stored in store.list()]
    await redis_cluster.start(redis_cluster.nodes[0])

    async def saved() -> bool:
        try:
            for one in IDS:
                await store.save(one, DATA, time.time() + DAY)
            return await store.existing(IDS) == set(IDS)
        except StoreUnavailable:
            return False

    await eventually(saved)
    await store.ping()
    assert {stored.id async for stored in store.list()} == set(IDS)
    await client.aclose()


async def test_moved_slots_lose_nothing(redis_cluster: RedisCluster) -> None:
    client = create_redis(load_settings({"REDIS_URL": redis_cluster.url}))
    store = RedisStore(client, "sess:", timeout=10)
    for one in IDS:
        await store.save(one, DATA, time.time() + DAY)
    moving = asyncio.create_task(redis_cluster.move_slots(30))
    rounds = 0
    while not moving.done() or rounds < 2:
        assert await store.existing(IDS) == set(IDS)
        assert set(await store.load(IDS)) == set(IDS)
        rounds += 1
    assert await moving
    assert {stored.id async for stored in store.list()} == set(IDS)
    await client.aclose()


# -- the cache


class Lookups:
    """Notes where look-ups end."""

    def __init__(self, sources: list[str]) -> None:
        self.sources = sources

    def session_lookup(self, source: str) -> None:
        self.sources.append(source)


def cache(client: RedisClient) -> SessionCache:
    return SessionCache(ttl=30, redis=client)


@pytest.mark.usefixtures("patient_cache")
async def test_other_servers_find_it_in_the_cluster(client: RedisClient) -> None:
    one, other = cache(client), cache(client)
    end = time.time() + 600
    await asyncio.gather(*(one.put(each, Session(each, ANN, end)) for each in IDS))
    assert await asyncio.gather(*(other.get(each) for each in IDS)) == [Session(each, ANN, end) for each in IDS]
    await one.forget(IDS[:30])
    third = cache(client)
    assert [await third.get(each) is None for each in IDS] == [True] * 30 + [False] * 30
    await third.put(IDS[0], Session(IDS[0], ANN, end))
    assert await cache(client).get(IDS[0]) is None, "a value takes no place of a tombstone"


async def test_a_part_that_is_away_never_fails_a_look_up(
    redis_cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = create_redis(load_settings({"REDIS_URL": redis_cluster.url}))
    one = cache(client)
    await one.put("warm", Session("warm", ANN, time.time() + 600))
    await redis_cluster.kill(redis_cluster.nodes[0])
    started = time.monotonic()
    assert [await cache(client).get(each) for each in IDS[:5]] == [None] * 5
    await one.put("cold", Session("cold", ANN, time.time() + 600))
    assert time.monotonic() - started < 20
    await redis_cluster.start(redis_cluster.nodes[0])
    monkeypatch.setattr("tradecast.sessions.cache.REDIS_TIMEOUT", 10.0)  # `patient_cache`, from now on
    heard: list[str] = []
    other = SessionCache(ttl=30, redis=client, observer=Lookups(heard))

    async def found() -> bool:
        await one.put("new", Session("new", ANN, time.time() + 600))
        return await cache(client).get("new") is not None

    await eventually(found)
    assert await other.get("new") is not None
    assert heard == ["redis"]
    await client.aclose()
