"""Sessions and users in MongoDB, as connect-mongo keeps them. The only module that knows the driver.

motor is in maintenance; when pymongo's own async client takes its place, this module is what changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar, cast
from urllib.parse import unquote
from uuid import UUID

import orjson
import structlog
from bson.binary import UUID_SUBTYPE, Binary
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.errors import BSONError
from bson.int64 import Int64
from bson.objectid import ObjectId
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection
from pymongo import ReadPreference
from pymongo.errors import OperationFailure, PyMongoError, ServerSelectionTimeoutError
from pymongo.uri_parser import split_options

from tradecast.background.tasks import TaskSet
from tradecast.causes import MONGODB, Code, Failed, Place, explain
from tradecast.config.settings import SettingsError
from tradecast.sessions.documents.document import decode_data
from tradecast.sessions.documents.instants import read_instant
from tradecast.sessions.errors import StoreUnavailable
from tradecast.sessions.stores.base import Homes, SessionChange, SessionRecord
from tradecast.user_id import read_user_id

T = TypeVar("T")
Document = dict[str, Any]
# What URIs for older drivers of Node hold, and says nothing any more.
OF_OTHER_DRIVERS = frozenset({"usenewurlparser", "useunifiedtopology"})
CHUNK = 500
_PORT = re.compile(r":\d+$|\.sock$")
INDEX_RETRY_AFTER = 60.0
MAX_STREAM_WAIT = 0.5
MAX_DEPTH = 32
# Milliseconds: JavaScript has no time beyond it (ECMA-262 §21.4.1.1).
FARTHEST = 8_640_000_000_000_000
INT64 = range(-(2**63), 2**63)
CHANGE_STREAM_NEEDS_REPLICA_SET = 40573
# What passes by itself: the server is over time, shutting down, starting, or electing.
PASSING = {50, 89, 91, 189, 262, 11600, 11602, 13435, 13436}
LOST_TRACK = ("drop", "rename", "dropDatabase", "invalidate")
OBJECT_ID = re.compile(r"[0-9a-f]{24}")
UUID_TEXT = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
log = structlog.stdlib.get_logger("tradecast.auth.mongo")


def check_options(uri: str) -> str:
    """Look at the options of a MongoDB URI, of which the driver passes over what it does not know.

    Returns:
        The URI without options that older drivers of Node needed.

    Raises:
        SettingsError: One is not known, or its value makes no sense; it is named.
    """
    address, _, query = uri.partition("?")
    kept: list[str] = []
    rest = uri.partition("://")[2]
    if "#" in rest or ("@" in query and "@" not in rest.partition("?")[0]):
        raise SettingsError("MONGODB_URI: `/`, `?`, `#` and `@` in a password are written %2F, %3F, %23 and %40")
    for option in re.split("[&;]", query):
        name = option.partition("=")[0]
        if not option or name.lower() in OF_OTHER_DRIVERS:
            continue
        kept.append(option)
        # What is no plain word is perhaps a piece of a password.
        which = f"option `{name}`" if re.fullmatch(r"[A-Za-z]{1,60}", name) else "an option"
        try:
            split_options(option, validate=True, warn=False, normalize=True)
        except OSError:
            raise SettingsError(f"MONGODB_URI: {which}: the file is not there, or cannot be read") from None
        except (PyMongoError, ValueError, TypeError) as error:  # its text may quote the value
            unknown = "Unknown option" in str(error)
            why = "is not known" if unknown else "has a value that makes no sense"
            raise SettingsError(f"MONGODB_URI: {which} {why}") from None
    return f"{address}?{'&'.join(kept)}" if kept else address


class MongoDatabase:
    """A connection to one database. Nothing is sent before the first request.

    Args:
        uri: mongodb:// or mongodb+srv://.
        database: None for the one in the URI, else `test`.
        timeout: Seconds one request may take, finding a server included.
        ca_file: PEM bundle that signs the server's certificate; turns TLS on.

    Raises:
        SettingsError: The URI cannot be understood.
    """

    def __init__(self, uri: str, database: str | None = None, timeout: float = 2.0, ca_file: str | None = None) -> None:
        uri = check_options(uri)
        milliseconds = max(1, round(timeout * 1000))
        options: dict[str, Any] = {
            "serverSelectionTimeoutMS": milliseconds,
            "connectTimeoutMS": milliseconds,
            "socketTimeoutMS": milliseconds,
            "waitQueueTimeoutMS": milliseconds,
            "appname": "tradecast",
        }
        if ca_file is not None:
            options |= {"tls": True, "tlsCAFile": ca_file}
        # Replies are decoded a batch at a time: one strange value must not spoil the other sessions of its batch.
        codec: CodecOptions[Document] = CodecOptions(
            document_class=dict,
            tz_aware=True,
            unicode_decode_error_handler="replace",
            datetime_conversion=DatetimeConversion.DATETIME_AUTO,
        )
        try:
            self._client: AsyncIOMotorClient[Document] = AsyncIOMotorClient(uri, **options)
            name = database or self._client.get_default_database("test").name
            # A secondary may not have a new session yet, and may still have a deleted one.
            self._database = self._client.get_database(name, codec, ReadPreference.PRIMARY)
        except (PyMongoError, OSError, ValueError) as error:  # its text may quote the password
            raise SettingsError(f"MONGODB_URI: cannot be used ({type(error).__name__})") from None
        self.timeout = timeout
        self.name = name
        self.place = _place_of(uri, tls=ca_file is not None)

    def unavailable(self, error: BaseException) -> StoreUnavailable:
        """What is raised in place of an error of the driver; it says what is wrong."""
        trouble = self._trouble() if isinstance(error, TimeoutError | ServerSelectionTimeoutError) else None
        refused = isinstance(error, OperationFailure) and error.code not in PASSING
        cause = explain(trouble or error, self.place)
        return StoreUnavailable(f"MongoDB: {type(error).__name__}", refused=refused, cause=cause)

    def _trouble(self) -> BaseException | None:
        """What the driver found wrong when it looked for a server last; a request that waits for one does not tell."""
        found = self._client.delegate.topology_description
        servers = found.server_descriptions().values()
        if (error := next((one.error for one in servers if one.error is not None), None)) is not None:
            return cast(BaseException, error)
        if found.topology_type_name != "ReplicaSetNoPrimary":
            return None
        return Failed(Code.NO_PRIMARY if servers else Code.OTHER_REPLICA_SET)

    async def ask(self, command: str, **options: Any) -> Document:
        """The answer to a command about this database.

        Raises:
            StoreUnavailable: As `answer`.
        """
        return await self.answer(self._database.command(command, **options))

    async def ask_server(self, command: str) -> Document:
        """The answer to a command about the server.

        Raises:
            StoreUnavailable: As `answer`.
        """
        return await self.answer(self._client.admin.command(command))

    def collection(self, name: str) -> AsyncIOMotorCollection[Document]:
        """A collection of this database.

        Raises:
            SettingsError: No collection can have that name.
        """
        try:
            return self._database.get_collection(name)
        except PyMongoError:
            raise SettingsError(f"SESSION_COLLECTION, USERS_COLLECTION: no collection is named {name!r}") from None

    async def answer(self, request: Awaitable[T]) -> T:
        """The answer to a request of the driver.

        Raises:
            StoreUnavailable: There was none in time, or an error; with no text of the driver.
        """
        try:
            async with asyncio.timeout(self.timeout):
                return await request
        except (PyMongoError, BSONError, OSError, TimeoutError) as error:
            raise self.unavailable(error) from None

    async def ping(self) -> None:
        """Return if the server answers."""
        await self.answer(self._client.admin.command("ping"))

    def close(self) -> None:
        """Close all connections."""
        self._client.close()


class MongoStore:
    """The session store of a server with MongoDB.

    Deletions and updates come from a change stream, whoever makes them; that takes a replica set.

    Args:
        database: Closed with the store.
        collection: Its name.
    """

    name = "mongodb"

    def __init__(self, database: MongoDatabase, collection: str = "sessions") -> None:
        self._database = database
        self._collection = database.collection(collection)
        self._index_from = 0.0
        self._index_task: asyncio.Task[None] | None = None
        self._told_refused = False
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
        return {document["_id"]: _stored(document) for document in documents}

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
                    yield _stored(document)
        finally:
            with contextlib.suppress(StoreUnavailable):
                await self._database.answer(cursor.close())

    async def supports_changes(self) -> bool:
        """Whether a change stream can be opened: not on a standalone server, nor without the right to."""
        try:
            async with asyncio.timeout(self._database.timeout):
                await self._open_and_close()
        except OperationFailure as error:
            if error.code in PASSING:
                raise self._database.unavailable(error) from None
            if error.code != CHANGE_STREAM_NEEDS_REPLICA_SET and not self._told_refused:
                self._told_refused = True
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

    async def homes(self) -> Homes | None:
        return None

    async def ping(self) -> None:
        await self._database.ping()

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
        """Have MongoDB delete what is over. Made beside the first request; reading does not wait for it."""
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


class MongoUsers:
    """Users by their id: an ObjectId (given by its hex digits), a UUID (by its text), a number or a text.

    Args:
        database: Closed with this.
        collection: Its name.
        id_field: Field of the id.
    """

    def __init__(self, database: MongoDatabase, collection: str, id_field: str = "_id") -> None:
        self._database = database
        self._collection = database.collection(collection)
        self._id_field = id_field

    async def load(self, ids: Collection[str]) -> dict[str, Document]:
        """The documents of the users among `ids` that exist, by id. One round trip.

        Raises:
            StoreUnavailable: MongoDB does not answer.
        """
        if not ids:
            return {}
        forms = [form for user_id in dict.fromkeys(ids) for form in _forms(user_id)]
        cursor = self._collection.find({self._id_field: {"$in": forms}}, batch_size=len(forms) + 1)
        found: dict[str, Document] = {}
        for document in await self._database.answer(cursor.to_list(None)):
            value = _plain(document.get(self._id_field), 1)
            key = read_user_id(value) or str(value)  # Node writes large whole numbers as doubles
            # Text and number may both be there: the text is what the session said.
            if key not in found or isinstance(value, str):
                found[key] = document
        return {user_id: _plain(found[user_id], MAX_DEPTH) for user_id in ids if user_id in found}

    async def close(self) -> None:
        """Close the database, which may be closed already."""
        self._database.close()


def _stored(document: Document) -> SessionRecord:
    expires = _plain(document.get("expires"), 2)
    data = document.get("session")
    if isinstance(data, str):
        data = decode_data(data)
    elif isinstance(data, dict):  # connect-mongo with `stringify: false`
        data = _plain(data, MAX_DEPTH)
    return SessionRecord(document["_id"], data if isinstance(data, dict | str) else "", read_instant(expires))


def _plain(value: Any, depth: int) -> Any:
    """BSON's own types as Python's; what is nested deeper than `depth` is left out."""
    if isinstance(value, dict):
        return {key: _plain(item, depth - 1) for key, item in value.items()} if depth else None
    if isinstance(value, list):
        return [_plain(item, depth - 1) for item in value] if depth else None
    if isinstance(value, ObjectId):
        return str(value)
    if isinstance(value, Decimal128):
        number = value.to_decimal()
        # Not as a double, which could be the whole number next to it: that is another user's id perhaps.
        return int(number) if number.is_finite() and abs(number) < 2**63 and number % 1 == 0 else math.nan
    if isinstance(value, Binary) and value.subtype == UUID_SUBTYPE and len(value) == 16:
        return str(UUID(bytes=bytes(value)))
    if isinstance(value, DatetimeMS):  # a time that Python has no date for
        return {"$date": max(-FARTHEST, min(FARTHEST, int(value)))}
    return int(value) if isinstance(value, Int64) else value


def _forms(user_id: str) -> list[Any]:
    forms: list[Any] = [user_id]
    if OBJECT_ID.fullmatch(user_id):
        forms.append(ObjectId(user_id))
    if user_id.isascii() and user_id.removeprefix("-").isdigit() and len(user_id) <= 20 and int(user_id) in INT64:
        forms.append(int(user_id))
    if UUID_TEXT.fullmatch(user_id):
        forms.append(Binary.from_uuid(UUID(user_id)))
    return forms


def _place_of(uri: str, *, tls: bool) -> Place:
    """Where a URI leads: what is behind the last @ of its hosts, so no credentials."""
    scheme, _, rest = uri.partition("://")
    hosts, _, query = rest.partition("?")
    options = {name.lower(): value.lower() for name, _, value in (one.partition("=") for one in query.split("&"))}
    credentials, _, listed = hosts.partition("/")[0].rpartition("@")
    srv = scheme.lower().endswith("+srv")
    at = listed if srv else ",".join(one if _PORT.search(one) else f"{one}:27017" for one in listed.split(","))
    said = options.get("tls", options.get("ssl", "true" if srv or tls or "tlscafile" in options else "false"))
    return Place(
        MONGODB,
        unquote(at),
        "MONGODB_URI",
        tls=said == "true",
        certified="tlscertificatekeyfile" in options,
        authenticated=bool(credentials),
    )
