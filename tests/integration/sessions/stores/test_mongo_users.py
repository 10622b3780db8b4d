"""The users collection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from bson import Int64, ObjectId
from pymongo import MongoClient
from pymongo.collection import Collection

from kit.servers.mongo_server import MongoDatabase as Database
from tradecast.sessions.stores.mongo_database import MongoDatabase
from tradecast.sessions.stores.mongo_users import MongoUsers

pytestmark = pytest.mark.mongodb


@pytest.fixture
def written(mongo_server: Database) -> Iterator[Collection[dict[str, Any]]]:
    """The collection of sessions, as another application writes it."""
    client: MongoClient[dict[str, Any]] = MongoClient(mongo_server.uri, socketTimeoutMS=20_000)
    with client:
        yield client[mongo_server.database]["sessions"]


async def test_users(mongo_server: Database, written: Collection[dict[str, Any]]) -> None:
    object_id = ObjectId()
    users = written.database["users"]
    users.insert_many(
        [
            {"_id": object_id, "isAdmin": True, "org": ObjectId("b" * 24)},
            {"_id": 17, "n": "number"},
            {"_id": Int64(-(2**62)), "n": "long"},
            {"_id": "u1", "n": "text"},
            {"_id": "42", "n": "text"},
            {"_id": 42, "n": "number"},
        ]
    )
    store = MongoUsers(MongoDatabase(mongo_server.uri, mongo_server.database, 30), "users")
    ids = [str(object_id), "17", str(-(2**62)), "u1", "42", "nobody", "9" * 30, "-"]
    found = await store.load(ids)
    assert set(found) == {str(object_id), "17", str(-(2**62)), "u1", "42"}
    assert found[str(object_id)] == {"_id": str(object_id), "isAdmin": True, "org": "b" * 24}
    assert found["42"]["n"] == "text"
    assert await store.load([]) == {}
    await store.close()


async def test_users_by_another_field(mongo_server: Database, written: Collection[dict[str, Any]]) -> None:
    written.database["people"].insert_one({"_id": 1, "login": "ann", "subscriptionTier": "premium"})
    store = MongoUsers(MongoDatabase(mongo_server.uri, mongo_server.database, 30), "people", "login")
    assert (await store.load(["ann", "1"]))["ann"]["subscriptionTier"] == "premium"
    assert await store.load(["1"]) == {}
    await store.close()
