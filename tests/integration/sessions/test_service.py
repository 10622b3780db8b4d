"""Sessions looked up, made and ended, in each kind of store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection

import pytest

from integration.sessions.lookups import ANN, in_mongo, refusal
from kit.servers.mongo_server import MongoServer
from kit.servers.redis_server import RedisServer, open_client
from tradecast.config.settings import load_settings
from tradecast.redis_client.single import SingleClient
from tradecast.sessions.admin import SessionAdmin
from tradecast.sessions.cache import SessionCache
from tradecast.sessions.errors import AuthRefused, StoreUnavailable
from tradecast.sessions.models import Session, User
from tradecast.sessions.service import Sessions
from tradecast.sessions.signing import sign_session_id
from tradecast.sessions.stores.base import SessionRecord
from tradecast.sessions.stores.memory import MemoryStore

BO = User("u2", "Bo", "bo@example.org")


class SlowStore(MemoryStore):
    """A store that counts, and can be held between reading and answering."""

    is_local = False  # it has to be waited for

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[list[str]] = []
        self.error: Exception | None = None
        self.read = asyncio.Event()
        self.answer = asyncio.Event()
        self.answer.set()

    async def load(self, ids: Collection[str]) -> dict[str, SessionRecord]:
        if self.error is not None:
            raise self.error
        self.loads.append(list(ids))
        found = await super().load(ids)
        self.read.set()
        await self.answer.wait()
        return found


@pytest.fixture
def store() -> SlowStore:
    return SlowStore()


def over(store: MemoryStore, **environ: str) -> Sessions:
    return Sessions(store, SessionCache(ttl=30), settings=load_settings(environ))


# -- authentication


async def test_authenticated(store: SlowStore) -> None:
    sessions = over(store)
    session_id, expires_at = await sessions.create(ANN, 60)
    assert expires_at == pytest.approx(time.time() + 60, abs=5)
    found = await sessions.authenticate(session_id, "u1")
    assert found == Session(session_id, ANN, found.expires_at)
    assert found.expires_at == pytest.approx(expires_at, abs=0.01)


@pytest.mark.parametrize(
    ("raw_id", "user_id"),
    [(None, None), ("x", None), (None, "u1"), ("", "u1"), ("x", ""), (5, "u1"), ("x", 5.5), (["x"], "u1"), ({}, {})],
)
async def test_missing_or_no_text(store: SlowStore, raw_id: object, user_id: object) -> None:
    assert await refusal(over(store), raw_id, user_id) == "AUTH_REQUIRED"
    assert store.loads == []


@pytest.mark.parametrize("raw_id", ["nobody", "x" * 513, "a\x00b", "s:a.b", "\ud800", "s%3A"])
async def test_not_found(store: SlowStore, raw_id: str) -> None:
    assert await refusal(over(store), raw_id, "u1") == "SESSION_NOT_FOUND"


async def test_another_user(store: SlowStore) -> None:
    sessions = over(store)
    session_id, _ = await sessions.create(ANN, 60)
    assert await refusal(sessions, session_id, "u2") == "USER_MISMATCH"
    assert await refusal(sessions, session_id, "u1 ") == "USER_MISMATCH"


async def test_expired(store: SlowStore) -> None:
    sessions = over(store)
    await store.save("old", {"passport": {"user": {"id": "u1"}}}, time.time() - 1)
    assert await refusal(sessions, "old", "u1") == "SESSION_EXPIRED"


async def test_expires_while_it_is_cached(store: SlowStore) -> None:
    clock = [time.time()]
    sessions = Sessions(store, SessionCache(ttl=30), settings=load_settings({}), clock=lambda: clock[0])
    session_id, expires_at = await sessions.create(ANN, 20)
    await sessions.authenticate(session_id, "u1")
    clock[0] += 21
    assert await refusal(sessions, session_id, "u1") == "SESSION_EXPIRED"
    # extended meanwhile: the cache is not believed
    await store.save(session_id, {"passport": {"user": {"id": "u1"}}}, expires_at + 600)
    assert (await sessions.authenticate(session_id, "u1")).expires_at == expires_at + 600


async def test_signed(store: SlowStore) -> None:
    environ = {"SESSION_SECRETS": "new,old", "SESSION_REQUIRE_SIGNED": "true"}
    sessions = over(store, **environ)
    signed, _ = await sessions.create(ANN, 60)
    found = await sessions.authenticate(signed, "u1")
    assert signed == sign_session_id(found.id, "new")
    assert (await sessions.authenticate(sign_session_id(found.id, "old"), "u1")).id == found.id
    assert await refusal(sessions, found.id, "u1") == "SESSION_NOT_FOUND"
    assert await refusal(sessions, sign_session_id(found.id, "foreign"), "u1") == "SESSION_NOT_FOUND"
    assert await sessions.revoke([signed]) == 1
    assert await refusal(sessions, signed, "u1") == "SESSION_NOT_FOUND"


async def test_store_that_does_not_answer(store: SlowStore) -> None:
    sessions = over(store)
    known, _ = await sessions.create(ANN, 60)
    await sessions.authenticate(known, "u1")
    store.error = StoreUnavailable("gone")
    with pytest.raises(StoreUnavailable):
        await sessions.authenticate("other", "u1")
    assert (await sessions.authenticate(known, "u1")).user == ANN  # the cache has it
    store.error = None
    assert await refusal(sessions, "other", "u1") == "SESSION_NOT_FOUND"


async def test_reconnects_cost_no_query_and_many_cost_few(store: SlowStore) -> None:
    sessions = over(store)
    ids = [(await sessions.create(ANN, 600))[0] for _ in range(800)]
    for _ in range(2):
        await asyncio.gather(*(sessions.authenticate(session_id, "u1") for session_id in ids))
    assert sorted(map(len, store.loads)) == [300, 500]


# -- revocation and reading at the same time


async def test_deleted_while_it_is_read(store: SlowStore) -> None:
    sessions = over(store)
    session_id, _ = await sessions.create(ANN, 60)
    store.answer.clear()
    looking = asyncio.create_task(sessions.authenticate(session_id, "u1"))
    await store.read.wait()
    await store.delete([session_id])
    await sessions.forget([session_id])
    store.answer.set()
    with pytest.raises(AuthRefused):
        await looking
    assert await refusal(sessions, session_id, "u1") == "SESSION_NOT_FOUND"


async def test_is_revoked_since(store: SlowStore) -> None:
    clock = [1_000.0]
    sessions = Sessions(store, SessionCache(ttl=30), settings=load_settings({}), clock=lambda: clock[0])
    await sessions.forget(["a"])
    assert sessions.is_revoked_since("a", 999.0)
    assert sessions.is_revoked_since("a", 1_000.0)
    assert not sessions.is_revoked_since("a", 1_000.1)
    assert not sessions.is_revoked_since("b", 0.0)


async def test_update_is_no_revocation(store: SlowStore) -> None:
    sessions = over(store)
    session_id, _ = await sessions.create(ANN, 60)
    await sessions.authenticate(session_id, "u1")
    await store.save(session_id, {"passport": {"user": {"id": "u1", "subscriptionTier": "free"}}}, time.time() + 60)
    assert (await sessions.authenticate(session_id, "u1")).user.tier == "premium"  # cached
    await sessions.refresh([session_id])
    assert not sessions.is_revoked_since(session_id, 0)
    assert (await sessions.authenticate(session_id, "u1")).user.tier == "free"


async def test_reload_and_check_pass_the_cache(store: SlowStore) -> None:
    sessions = over(store)
    session_id, _ = await sessions.create(ANN, 60)
    await sessions.authenticate(session_id, "u1")
    await store.save(session_id, {"passport": {"user": {"id": "u1"}}}, time.time() + 60)
    await store.save("old", {"passport": {"user": {"id": "u1"}}}, time.time() - 60)
    outcomes = await sessions.check([session_id, "old", "nobody"])
    assert outcomes == {session_id: outcomes[session_id], "old": "SESSION_EXPIRED", "nobody": "SESSION_NOT_FOUND"}
    session = outcomes[session_id]
    assert isinstance(session, Session)
    assert session.user == User("u1")


# -- for administrators


async def test_created_sessions_are_bounded(store: SlowStore) -> None:
    sessions = over(store, SESSION_MAX_AGE="100")
    _, expires_at = await sessions.create(ANN, 1e9)
    assert expires_at <= time.time() + 100
    with pytest.raises(ValueError, match="max_age"):
        await sessions.create(ANN, 0)


async def test_listed_and_revoked(store: SlowStore) -> None:
    sessions = over(store)
    ann = [(await sessions.create(ANN, 60))[0] for _ in range(3)]
    bo, _ = await sessions.create(BO, 60)
    await store.save("old", {"passport": {"user": {"id": "u1"}}}, time.time() - 60)
    await store.save("bad", {}, time.time() + 60)
    assert {session.id for session in [s async for s in sessions.sessions()]} == {*ann, bo}
    assert await sessions.revoke([ann[0], ann[0], "nobody", "\ud800"]) == 1
    assert await SessionAdmin(sessions).revoke(user_id="u1") == 2
    assert [session.user async for session in sessions.sessions()] == [BO]
    for session_id in ann:
        assert await refusal(sessions, session_id, "u1") == "SESSION_NOT_FOUND"


# -- the factory, with real stores


@pytest.fixture
async def redis(redis_server: RedisServer) -> AsyncIterator[SingleClient]:
    async with open_client(redis_server.url) as client:
        yield client


@pytest.mark.mongodb
@pytest.mark.redis
@pytest.mark.usefixtures("patient_cache")
async def test_reconnect_to_another_server_while_mongodb_is_gone(own_mongo: MongoServer, redis: SingleClient) -> None:
    one, other = (in_mongo(own_mongo.database(), redis, MONGODB_TIMEOUT="3") for _ in range(2))
    session_id, _ = await one.create(ANN, 600)
    await one.authenticate(session_id, "u1")
    await own_mongo.kill()
    assert (await other.authenticate(session_id, "u1")).user == ANN
    with pytest.raises(StoreUnavailable):
        await other.authenticate("unknown", "u1")
    await one.close()
    await other.close()
