"""Sessions that the real packages write, under Node.js: express-session, passport, connect-redis and connect-mongo.

`tests/integration/sessions/express/app.mjs` is the application. docs/sessions.md has the versions.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import MongoClient
from pymongo.collection import Collection

from kit.clients.interface import Refused
from kit.clients.node import StockClient, StockClients
from kit.servers.express import COOKIE, ExpressProcess, Visitor
from kit.servers.in_process import MakeServer, RunningServer
from kit.servers.mongo_server import MongoDatabase
from kit.servers.redis_server import RedisServer
from protocol.contract import FAST
from tradecast.sessions.errors import AuthRefused
from tradecast.sessions.models import Session

SECRET = "keyboard cat"
ORIGIN = "https://app.example"
MINUTE = 60.0
DAY = 86_400.0
DAYS_30 = 30 * DAY
# Until then what was read of a store and of the clock may differ.
NEAR = 30.0
OBJECT_ID = "65a4f00000000000000000ab"
UUID = "0192f0c1-7a5e-7c3d-9b1f-2f4c5d6e7f80"
REDIS = ("connect-redis-7", "connect-redis-9")
MONGO = ("connect-mongo-5", "connect-mongo-6")
DOCS = Path(__file__).resolve().parents[3] / "docs" / "sessions.md"


@dataclass
class ExpressStore:
    """One package for the store, its database, a server of ours that reads it, and clients.

    Attributes:
        package: The npm package's alias.
        settings: Of the server, that lead it to the database.
        documents: The collection of the sessions in MongoDB, with times in milliseconds.
    """

    package: str
    settings: dict[str, Any]
    express: ExpressProcess
    make: MakeServer
    clients: StockClients
    redis: RedisServer | None = None
    mongo: MongoDatabase | None = None
    documents: Collection[dict[str, Any]] | None = None
    stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def visit(self, options: dict[str, Any] | None = None, **session: Any) -> Visitor:
        """A browser at a new application.

        Args:
            options: The store's.
            session: express-session's.
        """
        url = self.redis.url if self.redis is not None else self.mongo.uri if self.mongo is not None else ""
        store = {"package": self.package, "url": url, "options": options or {}}
        if self.mongo is not None:
            store["database"] = self.mongo.database
        return await self.stack.enter_async_context(Visitor(await self.express.make_app(store, session)))

    async def serve(self, **settings: Any) -> RunningServer:
        return await self.make(**self.settings, **settings)

    async def connect(self, server: RunningServer, auth: dict[str, Any] | None, **options: Any) -> StockClient:
        return await self.clients.connect(server.url, auth, **{**FAST, "transports": ["websocket"], **options})

    async def refused(self, server: RunningServer, auth: dict[str, Any] | None, reason: str, **options: Any) -> str:
        """The code; the reason is what the metric has."""
        before = count_refusals(server, reason)
        with pytest.raises(Refused) as refused:
            await self.connect(server, auth, **options)
        assert count_refusals(server, reason) == before + 1, reason
        return str(refused.value.data["code"])

    def stored_end(self, session_id: str, prefix: str = "sess:") -> float:
        """Unix time at which the store drops a session; infinite if it never does."""
        if self.redis is not None:
            left = int(self.redis.ask_now("PTTL", prefix + session_id))
            assert left != -2, "there is no such key"
            return float("inf") if left == -1 else time.time() + left / 1000
        assert self.documents is not None
        document = self.documents.find_one({"_id": session_id})
        assert document is not None
        return int(document["expires"]) / 1000


def count_refusals(server: RunningServer, reason: str) -> float:
    return server.app.metrics.registry.get_sample_value("tradecast_auth_refusals_total", {"reason": reason}) or 0


def world_of(package: str) -> Any:
    mark = pytest.mark.redis if package in REDIS else pytest.mark.mongodb
    return pytest.param(package, marks=[mark, pytest.mark.node])


@pytest.fixture(params=[world_of(package) for package in (*REDIS, *MONGO)])
async def world(
    request: pytest.FixtureRequest,
    express_process: ExpressProcess,
    make_server: MakeServer,
    stock_clients: StockClients,
) -> AsyncIterator[ExpressStore]:
    if request.param in REDIS:
        redis: RedisServer = request.getfixturevalue("redis_server")
        settings: dict[str, Any] = {"session_store": "redis", "redis_url": redis.url, "redis_timeout": 20}
        world = ExpressStore(request.param, settings, express_process, make_server, stock_clients, redis=redis)
    else:
        mongo: MongoDatabase = request.getfixturevalue("mongo_server")
        settings = {"session_store": "mongodb", "mongodb_uri": mongo.uri, "mongodb_database": mongo.database}
        settings |= {"mongodb_timeout": 20}
        world = ExpressStore(request.param, settings, express_process, make_server, stock_clients, mongo=mongo)
        codec: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
        client: MongoClient[dict[str, Any]] = MongoClient(mongo.uri, socketTimeoutMS=20_000)
        world.stack.enter_context(client)
        world.documents = client.get_database(mongo.database, codec)["sessions"]
    async with world.stack:
        yield world


def only(*packages: str) -> pytest.MarkDecorator:
    """The test is for these packages alone."""
    return pytest.mark.parametrize("world", [world_of(package) for package in packages], indirect=True)


def test_the_docs_name_the_versions(express_process: ExpressProcess) -> None:
    said = dict(re.findall(r"^\| ([a-z-]+) \| ([\d., ]+) \|", DOCS.read_text(), re.MULTILINE))
    run: dict[str, list[str]] = {}
    for alias, version in express_process.versions().items():
        run.setdefault(re.sub(r"-\d+$", "", alias), []).append(version)
    assert {name: versions.split(", ") for name, versions in said.items()} == run


# -- who the user is

# The user of app.mjs, its id, and what else tradecast knows of it.
USERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "number": (5, {}),
    "zero": (0, {}),
    "large": (12345678901, {}),
    "text": ("alice", {}),
    "object": (7, {"name": "Ann", "email": "ann@example.org", "tier": "premium", "is_admin": True}),
    "half": ("half", {"name": "Ann"}),
    "objectId": (OBJECT_ID, {}),
    "uuid": (UUID, {}),
    "document": (OBJECT_ID, {"tier": "enterprise"}),
}


async def check_users(
    world: ExpressStore, options: dict[str, Any], users: dict[str, tuple[Any, dict[str, Any]]]
) -> None:
    server = await world.serve()
    visitor = await world.visit(options)
    for user, (user_id, known) in users.items():
        session_id = await visitor.log_in(user)
        client = await world.connect(server, {"sessionID": session_id, "userId": user_id})
        answer = (await client.call("subscribe:portfolio"))[0]
        assert answer["userId"] == str(user_id), user
        session = await server.app.sessions.authenticate(session_id, user_id)
        for name, value in known.items():
            found = getattr(session.user, name)
            assert found.startswith(value) if user == "half" else found == value, (user, name, found)
        await client.close()


async def test_users_as_passport_writes_them(world: ExpressStore) -> None:
    await check_users(world, {}, USERS)


@only(*MONGO)
async def test_users_in_documents_that_are_no_text(world: ExpressStore) -> None:
    await check_users(world, {"stringify": False}, {**USERS, "long": (str(2**53 + 1), {})})


async def test_what_is_no_user_is_refused(world: ExpressStore) -> None:
    server = await world.serve()
    visitor = await world.visit()
    for user, reason in (("fraction", "bad_user_id"), ("list", "bad_user_id"), ("other", "no_user")):
        session_id = await visitor.log_in(user)
        assert await world.refused(server, {"sessionID": session_id, "userId": 5}, reason) == "SESSION_NOT_FOUND"
    anonymous = await (await world.visit()).post("/anonymous")
    await world.refused(server, {"sessionID": anonymous, "userId": 5}, "no_user")


# -- when it ends

COOKIES: dict[str, dict[str, Any]] = {
    "none": {},
    "hour": {"cookie": {"maxAge": 3_600_000}},
    "month": {"cookie": {"maxAge": 30 * 86_400_000}},
    "far": {"cookie": {"maxAge": 7_900 * 365.25 * DAY * 1000}},
    "beyond the year 9999": {"cookie": {"maxAge": 8_000 * 365.25 * DAY * 1000}},
    "rolling": {"cookie": {"maxAge": 3_600_000}, "rolling": True},
    "resave": {"cookie": {"maxAge": 3_600_000}, "resave": True},
    "rolling and resave": {"rolling": True, "resave": True, "saveUninitialized": True},
}


async def check_end(
    world: ExpressStore, server: RunningServer, session_id: str, label: object, prefix: str = "sess:"
) -> None:
    """The server's end is the store's, or that of SESSION_MAX_AGE where the store's is later."""
    stored = world.stored_end(session_id, prefix)
    session = (await server.app.sessions.check([session_id]))[session_id]
    assert isinstance(session, Session), label
    assert session.expires_at == pytest.approx(min(stored, time.time() + DAYS_30), abs=NEAR), label


async def test_its_end_is_the_stores(world: ExpressStore) -> None:
    await check_ends(world, {})


@only(*MONGO)
async def test_its_end_is_the_stores_in_documents_that_are_no_text(world: ExpressStore) -> None:
    await check_ends(world, {"stringify": False})


async def check_ends(world: ExpressStore, forms: dict[str, Any]) -> None:
    server = await world.serve()
    options: list[dict[str, Any]] = [{}, {"ttl": 1_234}]
    if world.mongo is not None:
        options += [{"touchAfter": 3_600}, {"touchAfter": 3_600, "ttl": 1_234}]
    if world.package == "connect-mongo-6":
        options.append({"timestamps": True})
    for store in options:
        for name, session in COOKIES.items():
            if store and name not in ("none", "hour", "rolling"):
                continue
            if name == "beyond the year 9999" and world.mongo is not None and not os.environ.get("MONGODB_URI"):
                # SecantusDB refuses such dates, which MongoDB takes: tests/integration/sessions/stores/test_mongo.py
                continue
            visitor = await world.visit({**forms, **store}, **session)
            session_id = await visitor.log_in("number")
            await check_end(world, server, session_id, (store, name, "log in"))
            for path in ("/visit", "/touch", "/change"):
                await visitor.post(path, seconds="7200")
                await check_end(world, server, session_id, (store, name, path))
            await server.app.sessions.authenticate(session_id, 5)


@only(*REDIS)
async def test_a_touch_moves_the_end_and_not_the_cookies(world: ExpressStore) -> None:
    server = await world.serve()
    visitor = await world.visit(cookie={"maxAge": 3_600_000})
    session_id = await visitor.log_in("number")
    await visitor.post("/touch", seconds="7200")
    session = (await server.app.sessions.check([session_id]))[session_id]
    assert isinstance(session, Session)
    assert session.expires_at == pytest.approx(time.time() + 7_200, abs=NEAR)


@only(*REDIS)
async def test_a_store_without_ends_leaves_the_cookies(world: ExpressStore) -> None:
    server = await world.serve()
    visitor = await world.visit({"disableTTL": True}, cookie={"maxAge": 3_600_000})
    session_id = await visitor.log_in("number")
    assert world.stored_end(session_id) == float("inf")
    session = await server.app.sessions.authenticate(session_id, 5)
    assert session.expires_at == pytest.approx(time.time() + 3_600, abs=NEAR)
    endless = await (await world.visit({"disableTTL": True})).log_in("number")
    assert await world.refused(server, {"sessionID": endless, "userId": 5}, "no_end") == "SESSION_NOT_FOUND"


async def test_a_client_leaves_at_an_end_that_moved(world: ExpressStore) -> None:
    server = await world.serve()
    visitor = await world.visit(cookie={"maxAge": 3_600_000})
    session_id = await visitor.log_in("number")
    client = await world.connect(server, {"sessionID": session_id, "userId": 5})
    end = time.time() + 2
    await visitor.post("/touch", seconds="2")
    await client.wait_disconnect()
    assert time.time() > end - 0.5


# -- where it is, and whether it can be read


@only(*REDIS)
@pytest.mark.parametrize("prefix", ["myapp:sess:", "", "{a}*[x]?\\é:"])
async def test_prefixes(world: ExpressStore, prefix: str) -> None:
    server = await world.serve(session_key_prefix=prefix)
    session_id = await (await world.visit({"prefix": prefix})).log_in("number")
    await world.connect(server, {"sessionID": session_id, "userId": 5})
    await check_end(world, server, session_id, prefix, prefix)
    assert [session.id async for session in server.app.sessions.sessions()] == [session_id]
    other = await (await world.visit({"prefix": "other:"})).log_in("number")
    reason = "not_in_store"
    assert await world.refused(server, {"sessionID": other, "userId": 5}, reason) == "SESSION_NOT_FOUND"


@only(*MONGO)
async def test_collections(world: ExpressStore) -> None:
    server = await world.serve(session_collection="logins")
    session_id = await (await world.visit({"collectionName": "logins"})).log_in("number")
    await world.connect(server, {"sessionID": session_id, "userId": 5})
    other = await (await world.visit()).log_in("number")
    await world.refused(server, {"sessionID": other, "userId": 5}, "not_in_store")


ENCRYPTED: list[dict[str, Any]] = [
    {"crypto": {"secret": "Keyboard-CAT-42"}},
    {"crypto": {"secret": "Keyboard-CAT-42"}, "stringify": False},
    {"crypto": {"secret": "Keyboard-CAT-42", "encodeas": "hex", "algorithm": "aes-256-cbc"}},
    # What kruptein wrote before ASN.1, which connect-mongo 3 has.
    {"crypto": {"secret": "Keyboard-CAT-42", "use_asn1": False}},
    {"webCrypto": {"secret": "Keyboard-CAT-42"}},
    {"webCrypto": {"secret": "Keyboard-CAT-42", "encoding": "hex"}},
    {"webCrypto": {"secret": "Keyboard-CAT-42", "encoding": "base64url", "algorithm": "AES-CBC"}},
]


@only(*MONGO)
async def test_encrypted_sessions_are_refused_as_such(world: ExpressStore) -> None:
    server = await world.serve()
    for options in ENCRYPTED:
        if "webCrypto" in options and world.package == "connect-mongo-5":
            continue
        visitor = await world.visit(options)
        session_id = await visitor.log_in("number")
        auth = {"sessionID": session_id, "userId": 5}
        assert await world.refused(server, auth, "encrypted") == "SESSION_NOT_FOUND", options


# -- its id

SECRETS: list[tuple[list[str], str]] = [
    ([SECRET], SECRET),
    (["new", "old"], '["new", "old"]'),
    (["a,b"], '["a,b"]'),
    ([" spaces, and ünïcode 🔑 "], '[" spaces, and ünïcode 🔑 "]'),
]


@pytest.mark.parametrize(("secrets", "setting"), SECRETS, ids=["one", "two", "comma", "spaces"])
@only(REDIS[-1], MONGO[-1])
async def test_the_signed_id_of_the_cookie(world: ExpressStore, secrets: list[str], setting: str) -> None:
    server = await world.serve(
        session_secrets=setting, session_require_signed=True, session_cookie_name=COOKIE, cors_origin=ORIGIN
    )
    # Secrets are rotated: what the last one signed is still out there.
    for secret in (secrets, secrets[-1]):
        visitor = await world.visit(secret=secret)
        session_id = await visitor.log_in("number")
        assert visitor.cookie is not None
        for raw in (visitor.cookie, unquote(visitor.cookie)):
            client = await world.connect(server, {"sessionID": raw, "userId": 5})
            assert (await client.call("subscribe:portfolio"))[0]["userId"] == "5"
        headers = {"Cookie": f"theme=dark; {COOKIE}={visitor.cookie}; last=1", "Origin": ORIGIN}
        for auth in (None, {"userId": 5}):
            client = await world.connect(server, auth, extraHeaders=headers)
            assert (await client.call("subscribe:portfolio"))[0]["userId"] == "5"
        await world.refused(server, {"sessionID": session_id, "userId": 5}, "not_signed")
    stranger = await world.visit(secret="another")
    await stranger.log_in("number")
    await world.refused(server, {"sessionID": stranger.cookie, "userId": 5}, "wrong_signature")
    headers = {"Cookie": f"{COOKIE}={stranger.cookie}", "Origin": ORIGIN}
    await world.refused(server, None, "wrong_signature", extraHeaders=headers)


# -- when it is over

LEAVE: dict[str, str] = {"logout": "/logout", "destroy": "/destroy", "regenerate": "/regenerate", "login": "/login"}


@pytest.mark.parametrize("path", LEAVE.values(), ids=LEAVE)
async def test_logging_out_ends_the_connection(world: ExpressStore, path: str) -> None:
    server = await world.serve()
    visitor, other = await world.visit(), await world.visit()
    session_id, other_id = await visitor.log_in("number"), await other.log_in("text")
    client = await world.connect(server, {"sessionID": session_id, "userId": 5})
    stays = await world.connect(server, {"sessionID": other_id, "userId": "alice"})
    form = {"username": "number", "password": "secret"} if path == "/login" else {}
    new_id = await visitor.post(path, **form)
    await client.wait_disconnect()
    await world.refused(server, {"sessionID": session_id, "userId": 5}, "not_in_store")
    assert stays.connected
    assert new_id != session_id
    if path in ("/regenerate", "/login"):
        await world.connect(server, {"sessionID": new_id, "userId": 5})
    elif path == "/logout":
        with pytest.raises(AuthRefused):
            await server.app.sessions.authenticate(new_id, 5)


async def test_logging_out_without_a_new_session(world: ExpressStore) -> None:
    """Some applications only take the user out: the session stays in the store, with nobody in it."""
    server = await world.serve()
    visitor = await world.visit()
    session_id = await visitor.log_in("number")
    client = await world.connect(server, {"sessionID": session_id, "userId": 5})
    assert await visitor.post("/forget") == session_id
    await client.wait_disconnect()
    await world.refused(server, {"sessionID": session_id, "userId": 5}, "no_user")
