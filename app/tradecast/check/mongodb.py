"""Looks at a MongoDB: whether it answers, what it is, and whether sessions and users can be read."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any, Final

from bson.errors import BSONError
from pymongo.errors import PyMongoError

from tradecast.causes import Cause, Code
from tradecast.check.looks import Look
from tradecast.config.settings import Settings
from tradecast.redis_client.peer import Explainer
from tradecast.sessions.errors import StoreUnavailable
from tradecast.sessions.stores.mongo import MongoStore
from tradecast.sessions.stores.mongo_database import MongoDatabase

PATIENCE: Final = 5.0
SKEW: Final = 2.0
NAME: Final = "MONGODB_URI"


async def look_at_mongodb(settings: Settings) -> list[Look]:
    """Look at the MongoDB that MONGODB_URI names. Whatever is wrong is a look.

    Raises:
        SettingsError: The URI or a collection's name makes no sense.
    """
    if settings.mongodb_uri is None:
        return []
    uri, patience = settings.mongodb_uri.get_secret_value(), min(settings.mongodb_timeout, PATIENCE)
    database = MongoDatabase(uri, settings.mongodb_database, patience, settings.mongodb_ca_file)
    collections = []
    if settings.store_name == "mongodb":
        collections.append(("SESSION_COLLECTION", settings.session_collection))
    if settings.users_collection:
        collections.append(("USERS_COLLECTION", settings.users_collection))
    try:
        explainer = Explainer(database.place)
        try:
            hello = await database.ask_server("hello")
        except StoreUnavailable as error:
            return [Look.of(NAME, await explainer.explain(error))]
        looks = [Look(NAME, "ok", f"MongoDB at {database.place.at} answers")]
        _look_at_hello(looks, hello, database)
        for setting, name in collections:
            looks.append(await _look_at_collection(database, explainer, setting, name))
        if settings.store_name == "mongodb" and all(look.state != "error" for look in looks):
            looks.append(await _look_at_changes(database, explainer, settings.session_collection))
        return looks
    finally:
        database.close()


def _look_at_hello(looks: list[Look], hello: dict[str, Any], database: MongoDatabase) -> None:
    primary = hello.get("isWritablePrimary", hello.get("ismaster"))
    if primary is False and hello.get("setName"):
        looks.append(Look.of(f"{NAME} primary", Cause(Code.NO_PRIMARY, database.place)))
    clock = hello.get("localTime")
    if isinstance(clock, datetime) and abs(skew := clock.timestamp() - time.time()) > SKEW:
        where = "ahead of" if skew > 0 else "behind"
        says = f"The clock of MongoDB at {database.place.at} is {abs(skew):.0f} s {where} this one's"
        looks.append(Look(f"{NAME} clock", "warning", says, "Set both clocks by NTP"))


async def _look_at_collection(database: MongoDatabase, explainer: Explainer, setting: str, name: str) -> Look:
    collection = database.collection(name)
    where = f"`{name}` in the database `{database.name}`"
    try:
        found = await database.answer(collection.find_one({}, {"_id": 1}))
        if found is None:
            says = f"There is nothing in {where}: either nobody has logged in yet, or it is another one"
            return Look(setting, "warning", says, f"See whether {setting} and MONGODB_DATABASE name the application's")
        if setting == "USERS_COLLECTION":
            return Look(setting, "ok", f"{where} can be read")
        indexes = await database.answer(collection.index_information())
    except StoreUnavailable as error:
        return Look.of(setting, await explainer.explain(error))
    if any("expireAfterSeconds" in about for about in indexes.values()):
        return Look(setting, "ok", f"{where} can be read, and has the index that removes expired sessions")
    says = f"{where} can be read, and has no index yet that removes expired sessions: a server creates it"
    return Look(setting, "ok", says)


async def _look_at_changes(database: MongoDatabase, explainer: Explainer, name: str) -> Look:
    store = MongoStore(database, name)
    try:
        if await store.supports_changes():
            return Look(f"{NAME} changes", "ok", "a change stream reports ended sessions")
    except StoreUnavailable as error:
        return Look.of(f"{NAME} changes", await explainer.explain(error), "warning")
    except (PyMongoError, BSONError) as error:
        return Look.of(f"{NAME} changes", await explainer.explain(error), "warning")
    says = "no change stream (it takes a replica set, and the right to watch): sessions that end are looked for"
    return Look(f"{NAME} changes", "ok", f"{says} every REVOCATION_POLL_INTERVAL")
