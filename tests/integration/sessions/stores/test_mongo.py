"""The store in MongoDB, as connect-mongo keeps sessions."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import structlog
from bson import BSON, Int64, ObjectId
from bson.binary import Binary
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.errors import OperationFailure

from integration.sessions.stores.store_contract import DATA, DAY, StoreContract
from kit.servers.mongo_server import MongoDatabase as Database
from kit.servers.mongo_server import MongoServer
from kit.waiting import eventually
from tradecast.sessions.errors import StoreUnavailable
from tradecast.sessions.stores.base import SessionChange
from tradecast.sessions.stores.mongo import MongoStore
from tradecast.sessions.stores.mongo_database import MongoDatabase
from tradecast.sessions.stores.mongo_users import MongoUsers
from tradecast.user_id import read_user_id

pytestmark = pytest.mark.mongodb


@pytest.fixture
def written(mongo_server: Database) -> Iterator[Collection[dict[str, Any]]]:
    """The collection of sessions, as another application writes it."""
    client: MongoClient[dict[str, Any]] = MongoClient(mongo_server.uri, socketTimeoutMS=20_000)
    with client:
        yield client[mongo_server.database]["sessions"]


@pytest.fixture
async def store(mongo_server: Database) -> AsyncIterator[MongoStore]:
    store = MongoStore(MongoDatabase(mongo_server.uri, mongo_server.database, 30))
    yield store
    await store.close()


class TestMongoStore(StoreContract):
    name = "mongodb"
    has_changes = True


async def test_reads_what_connect_mongo_writes(store: MongoStore, written: Collection[dict[str, Any]]) -> None:
    end = datetime.now(UTC) + timedelta(days=1)
    written.insert_one({"_id": "text", "expires": end, "session": json.dumps(DATA), "lastModified": end})
    as_object = {
        "cookie": {"expires": end, "originalMaxAge": Int64(5)},
        "passport": {"user": {"id": ObjectId("a" * 24)}},
    }
    written.insert_one({"_id": "object", "expires": end, "session": as_object})
    found = await store.load(["text", "object"])
    assert found["text"].data == DATA
    assert found["text"].expires_at == pytest.approx(end.timestamp(), abs=0.002)
    data = found["object"].data
    assert isinstance(data, dict)
    assert data["passport"] == {"user": {"id": "a" * 24}}
    assert type(data["cookie"]["originalMaxAge"]) is int
    assert data["cookie"]["expires"].tzinfo is not None


async def test_writes_what_connect_mongo_reads(store: MongoStore, written: Collection[dict[str, Any]]) -> None:
    end = time.time() + DAY
    await store.save("a", DATA, end)
    document = written.find_one({"_id": "a"})
    assert document is not None
    assert set(document) == {"_id", "expires", "session"}
    assert json.loads(document["session"]) == DATA
    assert document["expires"].replace(tzinfo=UTC).timestamp() == pytest.approx(end, abs=0.002)


def _nested(depth: int) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for _ in range(depth):
        document = {"a": document}
    return document


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"session": None},
        {"session": 5},
        {"session": []},
        {"session": "not json"},
        {"session": "[" * 50_000},
    ],
)
async def test_documents_that_are_no_sessions(
    store: MongoStore, written: Collection[dict[str, Any]], document: dict[str, Any]
) -> None:
    written.insert_one({"_id": "bad", **document})
    await store.save("good", DATA, time.time() + DAY)
    found = await store.load(["bad", "good"])
    assert isinstance(found["bad"].data, str)
    assert found["good"].data == DATA


@pytest.mark.parametrize(
    ("expires", "end"),
    [("tomorrow", None), ({}, None), (True, None), ("2027-01-15T08:00:00Z", 1_800_000_000.0), (Int64(5), 5.0)],
)
async def test_an_end_of_another_type(
    store: MongoStore, written: Collection[dict[str, Any]], expires: object, end: float | None
) -> None:
    for session_id, data in (("text", json.dumps(DATA)), ("document", DATA)):
        written.insert_one({"_id": session_id, "session": data, "expires": expires})
    found = await store.load(["text", "document"])
    assert [(one.data, one.expires_at) for one in found.values()] == [(DATA, end)] * 2


async def test_ids_of_types_that_only_bson_has(store: MongoStore, written: Collection[dict[str, Any]]) -> None:
    ids = {
        "objectid": (ObjectId("507f1f77bcf86cd799439011"), "507f1f77bcf86cd799439011"),
        "long": (Int64(2**60), str(2**60)),
        "double": (5.0, "5"),
        "decimal": (Decimal128("5"), "5"),
        "uuid": (Binary.from_uuid(UUID(int=5)), str(UUID(int=5))),
        "half": (Decimal128("5.5"), None),
        "nan": (Decimal128("NaN"), None),
        "bytes": (Binary(b"5"), None),
    }
    for name, (value, _) in ids.items():
        written.insert_one({"_id": name, "session": {"passport": {"user": {"id": value}}}})
    found = await store.load(list(ids))
    for name, (_, user_id) in ids.items():
        data = found[name].data
        assert isinstance(data, dict)
        assert read_user_id(data["passport"]["user"]["id"]) == user_id, name


async def test_one_document_does_not_spoil_its_batch(store: MongoStore, written: Collection[dict[str, Any]]) -> None:
    written.insert_one({"_id": "deep", "session": _nested(80)})
    broken = BSON.encode({"_id": "bytes", "session": "XXXX"}).replace(b"XXXX", b"\xff\xfe\xff\xfe")
    for strange in ({"_id": "far", "session": "{}", "expires": DatetimeMS(2**62)}, RawBSONDocument(broken)):
        with contextlib.suppress(OperationFailure):  # SecantusDB refuses them, MongoDB does not
            written.insert_one(strange)
    await store.save("good", DATA, time.time() + DAY)
    found = await store.load(["deep", "far", "bytes", "good"])
    assert {"deep", "good"} <= set(found)
    assert found["good"].data == DATA


async def test_ids_that_are_no_text_are_not_listed(store: MongoStore, written: Collection[dict[str, Any]]) -> None:
    written.insert_many([{"_id": ObjectId(), "session": "{}"}, {"_id": 5, "session": "{}"}])
    await store.save("a", DATA, time.time() + DAY)
    assert [stored.id async for stored in store.list()] == ["a"]


async def test_ttl_index(store: MongoStore, written: Collection[dict[str, Any]]) -> None:
    await store.load(["a"])
    await eventually(lambda: "expires_1" in written.index_information())
    assert written.index_information()["expires_1"]["expireAfterSeconds"] == 0


async def test_another_index_in_its_place_is_not_fatal(store: MongoStore, written: Collection[dict[str, Any]]) -> None:
    written.create_index("expires", expireAfterSeconds=3_600)
    with structlog.testing.capture_logs() as lines:
        await store.save("a", DATA, time.time() + DAY)
        await eventually(lambda: any("TTL index not created" in line["event"] for line in lines))
    assert set(await store.load(["a"])) == {"a"}


async def test_dropped_collection_means_look_again(store: MongoStore, written: Collection[dict[str, Any]]) -> None:
    await store.save("a", DATA, time.time() + DAY)
    async with asyncio.timeout(60), contextlib.aclosing(store.changes()) as changes:
        assert await anext(changes) == SessionChange(None, "updated")
        await asyncio.to_thread(written.drop)
        assert await anext(changes) == SessionChange(None, "updated")


async def test_standalone_server_has_no_changes(standalone_mongo: Database) -> None:
    store = MongoStore(MongoDatabase(standalone_mongo.uri, standalone_mongo.database, 10))
    assert await store.supports_changes() is False
    await store.save("a", DATA, time.time() + DAY)
    assert await store.existing(["a"]) == {"a"}
    await store.close()


async def test_server_that_is_gone_and_comes_back(own_mongo: MongoServer) -> None:
    store = MongoStore(MongoDatabase(own_mongo.uri, "test", 1))
    users = MongoUsers(MongoDatabase(own_mongo.uri, "test", 1), "users")

    async def saved() -> bool:
        with contextlib.suppress(StoreUnavailable):  # a busy machine may need longer than the second it is given
            await store.save("a", DATA, time.time() + DAY)
            return True
        return False

    await eventually(saved)
    await own_mongo.kill()
    requests = (
        store.load(["a"]),
        store.existing(["a"]),
        store.delete(["a"]),
        store.save("a", DATA, 5),
        store.supports_changes(),
        store.ping(),
        users.load(["u1"]),
        anext(store.list()),
        anext(store.changes()),
    )
    for request in requests:
        with pytest.raises(StoreUnavailable) as unavailable:
            await request
        assert str(own_mongo.port) not in str(unavailable.value)
    await own_mongo.start()
    deadline = time.monotonic() + 30
    while True:
        try:
            await store.existing(["a"])
            break
        except StoreUnavailable:
            assert time.monotonic() < deadline
    await store.close()
    await users.close()


async def test_server_that_does_not_answer(own_mongo: MongoServer) -> None:
    store = MongoStore(MongoDatabase(own_mongo.uri, "test", 5))
    await eventually_answers(store)
    async with asyncio.timeout(60), contextlib.aclosing(store.changes()) as changes:
        await anext(changes)
        own_mongo.freeze()
        for request in (store.load(["a"]), store.supports_changes(), anext(changes)):
            started = time.monotonic()
            with pytest.raises(StoreUnavailable):
                await request
            assert time.monotonic() - started < 25
        own_mongo.resume()
    await eventually_answers(store)
    await store.close()


async def eventually_answers(store: MongoStore) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            return await store.ping()
        except StoreUnavailable:
            assert time.monotonic() < deadline
