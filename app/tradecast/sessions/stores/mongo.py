"""Sessions in MongoDB, as connect-mongo keeps them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import structlog
from bson.errors import BSONError
from pymongo.errors import OperationFailure, PyMongoError

from tradecast.background.tasks import TaskSet
from tradecast.sessions.documents.document import decode_data
from tradecast.sessions.documents.instants import read_instant
from tradecast.sessions.errors import StoreUnavailable
from tradecast.sessions.stores.base import Instances, SessionChange, SessionRecord
from tradecast.sessions.stores.bson_values import MAX_DEPTH, to_plain
from tradecast.sessions.stores.mongo_database import TEMPORARY, Document, MongoDatabase

CHUNK: Final = 500
INDEX_RETRY_AFTER: Final = 60.0
MAX_STREAM_WAIT: Final = 0.5
CHANGE_STREAM_NEEDS_REPLICA_SET: Final = 40573
LOST_TRACK: Final = ("drop", "rename", "dropDatabase", "invalidate")
log = structlog.stdlib.get_logger("tradecast.auth.mongo")


class MongoStore:
    """The session store of a server with MongoDB.

    Deletions and updates come from a change stream, whoever makes them; that takes a replica set.

    Args:
        database: Closed with the store.
        collection: Its name.
    """

    name = "mongodb"
    is_local = False

    def __init__(self, database: MongoDatabase, collection: str = "sessions") -> None:
        self._database = database
        self._collection = database.collection(collection)
        self._index_from = 0.0
        self._index_task: asyncio.Task[None] | None = None
        self._logged_refusal = False
        self._closing = TaskSet()
        # The server must answer a wait for changes before the driver takes it for dead.
        self._stream_wait = min(MAX_STREAM_WAIT, database.timeout / 4)

    async def load(self, ids: Collection[str]) -> dict[str, SessionRecord]:
        if not ids:
            return {}
        self._ensure_index()
        wanted = list(dict.fromkeys(ids))
        cursor = self._collection.find({"_id": {"$in": wanted}}, batch_size=len(wanted) + 1)
        documents = await self._database.answer(cursor.to_list(None))
        return {document["_id"]: read_document(document) for document in documents}

    async def existing(self, ids: Collection[str]) -> set[str]:
        if not ids:
            return set()
        wanted = list(dict.fromkeys(ids))
        cursor = self._collection.find({"_id": {"$in": wanted}}, {"_id": 1}, batch_size=len(wanted) + 1)
        return {document["_id"] for document in await self._database.answer(cursor.to_list(None))}

    async def save(self, session_id: str, data: Mapping[str, Any], expires_at: float) -> None:
        self._ensure_index()
        if self._index_task is not None:  # SecantusDB 0.7 deadlocks on a write beside the making of an index
            await asyncio.wait([self._index_task], timeout=self._database.timeout)
        document = {
            "_id": session_id,
            "expires": datetime.fromtimestamp(expires_at, UTC),
            "session": orjson.dumps(data).decode(),
        }
        await self._database.answer(self._collection.replace_one({"_id": session_id}, document, upsert=True))

    async def delete(self, ids: Sequence[str]) -> int:
        if not ids:
            return 0
        result = await self._database.answer(self._collection.delete_many({"_id": {"$in": list(ids)}}))
        return int(result.deleted_count)

    async def list(self) -> AsyncIterator[SessionRecord]:
        cursor = self._collection.find({"_id": {"$type": "string"}}, batch_size=CHUNK)
        try:
            while documents := await self._database.answer(cursor.to_list(CHUNK)):
                for document in documents:
                    yield read_document(document)
        finally:
            with contextlib.suppress(StoreUnavailable):
                await self._database.answer(cursor.close())

    async def supports_changes(self) -> bool:
        """Whether a change stream can be opened: not on a standalone server, nor without the right to."""
        try:
            async with asyncio.timeout(self._database.timeout):
                await self._open_and_close()
        except OperationFailure as error:
            if error.code in TEMPORARY:
                raise self._database.unavailable(error) from None
            if error.code != CHANGE_STREAM_NEEDS_REPLICA_SET and not self._logged_refusal:
                self._logged_refusal = True
                log.warning("change stream refused", code=error.code)
            return False
        except (PyMongoError, BSONError, OSError, TimeoutError) as error:
            raise self._database.unavailable(error) from None
        return True

    async def changes(self) -> AsyncGenerator[SessionChange, None]:
        stream = self._watch()
        try:
            await self._database.answer(stream.__aenter__())
            yield SessionChange(None, "updated")
            while stream.alive:
                event = await self._database.answer(stream.try_next())
                if event is None:
                    continue
                kind = event["operationType"]
                if kind in LOST_TRACK:
                    yield SessionChange(None, "updated")
                else:
                    session_id = event["documentKey"]["_id"]
                    if isinstance(session_id, str):
                        yield SessionChange(session_id, "deleted" if kind == "delete" else "updated")
        finally:
            # Not waited for: after an error it may take as long as the error did.
            self._closing.spawn(self._close_stream(stream))

    async def instances(self) -> Instances | None:
        return None

    async def ping(self) -> None:
        await self._database.check()

    async def close(self) -> None:
        if self._index_task is not None:
            await asyncio.wait([self._index_task], timeout=self._database.timeout)
            self._index_task.cancel()
            await asyncio.gather(self._index_task, return_exceptions=True)
        await self._closing.wait()
        self._database.close()

    def _watch(self) -> Any:  # motor's change stream is generic in its stub only
        kinds = ["delete", "replace", "update", *LOST_TRACK]
        pipeline: list[Document] = [
            {"$match": {"operationType": {"$in": kinds}}},
            {"$project": {"operationType": 1, "documentKey": 1}},
        ]
        return self._collection.watch(pipeline, max_await_time_ms=max(1, round(self._stream_wait * 1000)))

    async def _close_stream(self, stream: Any) -> None:
        with contextlib.suppress(StoreUnavailable):
            await self._database.answer(stream.close())

    async def _open_and_close(self) -> None:
        async with self._watch():
            pass

    def _ensure_index(self) -> None:
        """Have MongoDB delete expired sessions by an index, created beside the first request; no read waits for it."""
        now = time.monotonic()
        if now >= self._index_from:
            self._index_from = now + INDEX_RETRY_AFTER
            self._index_task = asyncio.create_task(self._create_index())

    async def _create_index(self) -> None:
        try:
            async with asyncio.timeout(max(self._database.timeout, 30.0)):
                # To the letter what connect-mongo asks for: two that differ would be a conflict.
                await self._collection.create_index("expires", background=True, expireAfterSeconds=0)
        except (PyMongoError, BSONError, OSError, TimeoutError) as error:
            fields = self._database.unavailable(error).fields()
            log.warning(
                "TTL index not created", error=type(error).__name__, code=getattr(error, "code", None), **fields
            )
            if not isinstance(error, OperationFailure):
                return  # the server did not answer: again at a later request
        self._index_from = float("inf")


def read_document(document: Document) -> SessionRecord:
    """A session's document as the record that it is."""
    expires = to_plain(document.get("expires"), 2)
    data = document.get("session")
    if isinstance(data, str):
        data = decode_data(data)
    elif isinstance(data, dict):  # connect-mongo with `stringify: false`
        data = to_plain(data, MAX_DEPTH)
    return SessionRecord(document["_id"], data if isinstance(data, dict | str) else "", read_instant(expires))
