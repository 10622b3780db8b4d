"""A MongoDB database: its driver's options, time limits and errors.

motor is in maintenance; when pymongo's own async client takes its place, this module and the two stores over it
(`mongo.py`, `mongo_users.py`) are what changes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable
from typing import Any, Final, TypeVar, cast
from urllib.parse import unquote

from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection
from pymongo import ReadPreference
from pymongo.errors import OperationFailure, PyMongoError, ServerSelectionTimeoutError
from pymongo.uri_parser import split_options

from tradecast.causes import MONGODB, Code, Failed, Place, explain_error
from tradecast.config.settings import SettingsError
from tradecast.sessions.errors import StoreUnavailable

T = TypeVar("T")
Document = dict[str, Any]
# Options in URIs for older drivers of Node, which mean nothing any more.
OF_OTHER_DRIVERS: Final = frozenset({"usenewurlparser", "useunifiedtopology"})
# Errors that pass without help: a time limit, or a server that shuts down, starts or elects.
TEMPORARY: Final = frozenset({50, 89, 91, 189, 262, 11600, 11602, 13435, 13436})
_PORT: Final = re.compile(r":\d+$|\.sock$")


def check_options(uri: str) -> str:
    """Check the options of a MongoDB URI: the driver ignores those that it does not know.

    Returns:
        The URI without options that older drivers of Node needed.

    Raises:
        SettingsError: One is unknown or has an invalid value; the text names it.
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
        # What is no plain word may be a part of a password.
        which = f"option `{name}`" if re.fullmatch(r"[A-Za-z]{1,60}", name) else "an option"
        try:
            split_options(option, validate=True, warn=False, normalize=True)
        except OSError:
            raise SettingsError(f"MONGODB_URI: {which}: the file is not there, or cannot be read") from None
        except (PyMongoError, ValueError, TypeError) as error:  # its text may quote the value
            unknown = "Unknown option" in str(error)
            why = "is unknown" if unknown else "has an invalid value"
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
        self.place = find_address(uri, tls=ca_file is not None)

    def unavailable(self, error: BaseException) -> StoreUnavailable:
        """The error to raise in place of the driver's, with its cause."""
        found = self._find_cause() if isinstance(error, TimeoutError | ServerSelectionTimeoutError) else None
        refused = isinstance(error, OperationFailure) and error.code not in TEMPORARY
        cause = explain_error(found or error, self.place)
        return StoreUnavailable(f"MongoDB: {type(error).__name__}", refused=refused, cause=cause)

    def _find_cause(self) -> BaseException | None:
        """What the driver found wrong when it last looked for a server: the error of a waiting request does not say."""
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

    async def check(self) -> None:
        """Return if the server answers."""
        await self.answer(self._client.admin.command("ping"))

    def close(self) -> None:
        """Close all connections."""
        self._client.close()


def find_address(uri: str, *, tls: bool) -> Place:
    """The address that a URI names, without credentials: what is behind the last @ of its hosts."""
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
