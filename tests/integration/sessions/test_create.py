"""Sessions over the store that the settings name."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymongo import MongoClient

from integration.sessions.lookups import ANN, in_mongo, refusal
from kit.servers.mongo_server import MongoDatabase
from kit.servers.redis_server import RedisServer, open_client
from tradecast.config.settings import SettingsError, load_settings
from tradecast.redis_client.single import SingleClient
from tradecast.sessions.create import create_sessions
from tradecast.sessions.models import Session, User
from tradecast.sessions.service import Sessions


@pytest.fixture
async def redis(redis_server: RedisServer) -> AsyncIterator[SingleClient]:
    async with open_client(redis_server.url) as client:
        yield client


async def everything(sessions: Sessions) -> None:
    session_id, _ = await sessions.create(ANN, 600)
    assert (await sessions.authenticate(session_id, "u1")).user == ANN
    assert [session.id async for session in sessions.sessions()] == [session_id]
    await sessions.ping()
    assert await sessions.revoke([session_id]) == 1
    assert await refusal(sessions, session_id, "u1") == "SESSION_NOT_FOUND"
    await sessions.close()


async def test_in_memory() -> None:
    await everything(create_sessions(load_settings({})))


@pytest.mark.redis
async def test_in_redis(redis_server: RedisServer, redis: SingleClient) -> None:
    await everything(create_sessions(load_settings({"REDIS_URL": redis_server.url, "REDIS_TIMEOUT": "20"}), redis))


@pytest.mark.mongodb
@pytest.mark.redis
async def test_in_mongodb(mongo_server: MongoDatabase, redis: SingleClient) -> None:
    await everything(in_mongo(mongo_server, redis))


@pytest.mark.mongodb
async def test_users_collection(mongo_server: MongoDatabase) -> None:
    client: MongoClient[dict[str, Any]] = MongoClient(mongo_server.uri, socketTimeoutMS=20_000)
    sessions = in_mongo(mongo_server, USERS_COLLECTION="users", SESSION_CACHE_TTL="0")
    with client:
        users = client[mongo_server.database]["users"]
        users.insert_one({"_id": "u1", "subscriptionTier": "enterprise", "name": 5, "joined": time.time()})
        session_id, _ = await sessions.create(ANN, 600)
        merged = User("u1", "Ann", "ann@example.org", False, "enterprise")
        assert (await sessions.authenticate(session_id, "u1")).user == merged
        assert [session.user async for session in sessions.sessions()] == [merged]
        users.update_one({"_id": "u1"}, {"$set": {"isAdmin": True, "name": "Anna"}})
        assert (await sessions.authenticate(session_id, "u1")).user.is_admin
        session = (await sessions.check([session_id]))[session_id]
        assert isinstance(session, Session)
        assert session.user == User("u1", "Anna", "ann@example.org", True, "enterprise")
        users.delete_one({"_id": "u1"})
        assert await refusal(sessions, session_id, "u1") == "SESSION_NOT_FOUND"
        assert await sessions.check([session_id]) == {session_id: "SESSION_NOT_FOUND"}
        assert [session async for session in sessions.sessions()] == []
    await sessions.close()


@pytest.mark.mongodb
async def test_users_collection_beside_sessions_in_memory(mongo_server: MongoDatabase) -> None:
    sessions = in_mongo(mongo_server, USERS_COLLECTION="users", SESSION_STORE="memory")
    session_id, _ = await sessions.create(ANN, 600)
    assert await refusal(sessions, session_id, "u1") == "SESSION_NOT_FOUND"
    await sessions.close()


def test_redis_store_needs_a_client() -> None:
    with pytest.raises(SettingsError, match="REDIS_URL"):
        create_sessions(load_settings({"REDIS_URL": "redis://127.0.0.1:1/0"}))
