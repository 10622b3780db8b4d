"""Checks a MongoDB: whether it answers, what it is, and whether sessions and users can be read."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any, Final

from bson.errors import BSONError
from pymongo.errors import PyMongoError

from tradecast.causes import Cause, Code
from tradecast.check.report import Finding
from tradecast.config.settings import Settings
from tradecast.redis_client.peer import Explainer
from tradecast.sessions.errors import StoreUnavailable
from tradecast.sessions.stores.mongo import MongoStore
from tradecast.sessions.stores.mongo_database import MongoDatabase

PATIENCE: Final = 5.0
SKEW: Final = 2.0
NAME: Final = "MONGODB_URI"


async def check_mongodb(settings: Settings) -> list[Finding]:
    """Check the MongoDB that MONGODB_URI names. Whatever is wrong is a finding.

    Raises:
        SettingsError: The URI or a collection's name is invalid.
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
            return [Finding.of(NAME, await explainer.explain(error))]
        findings = [Finding(NAME, "ok", f"MongoDB at {database.place.at} answers")]
        _check_hello(findings, hello, database)
        for setting, name in collections:
            findings.append(await _check_collection(database, explainer, setting, name))
        if settings.store_name == "mongodb" and all(finding.state != "error" for finding in findings):
            findings.append(await _check_changes(database, explainer, settings.session_collection))
        return findings
    finally:
        database.close()


def _check_hello(findings: list[Finding], hello: dict[str, Any], database: MongoDatabase) -> None:
    primary = hello.get("isWritablePrimary", hello.get("ismaster"))
    if primary is False and hello.get("setName"):
        findings.append(Finding.of(f"{NAME} primary", Cause(Code.NO_PRIMARY, database.place)))
    clock = hello.get("localTime")
    if isinstance(clock, datetime) and abs(skew := clock.timestamp() - time.time()) > SKEW:
        where = "ahead of" if skew > 0 else "behind"
        message = f"The clock of MongoDB at {database.place.at} is {abs(skew):.0f} s {where} this machine's"
        findings.append(Finding(f"{NAME} clock", "warning", message, "Set both clocks by NTP"))


async def _check_collection(database: MongoDatabase, explainer: Explainer, setting: str, name: str) -> Finding:
    collection = database.collection(name)
    where = f"`{name}` in the database `{database.name}`"
    try:
        found = await database.answer(collection.find_one({}, {"_id": 1}))
        if found is None:
            message = f"There is nothing in {where}: either nobody has logged in yet, or it is the wrong one"
            return Finding(
                setting, "warning", message, f"Check that {setting} and MONGODB_DATABASE are the application's"
            )
        if setting == "USERS_COLLECTION":
            return Finding(setting, "ok", f"{where} can be read")
        indexes = await database.answer(collection.index_information())
    except StoreUnavailable as error:
        return Finding.of(setting, await explainer.explain(error))
    if any("expireAfterSeconds" in about for about in indexes.values()):
        return Finding(setting, "ok", f"{where} can be read, and has the index that removes expired sessions")
    message = f"{where} can be read, and has no index yet that removes expired sessions: a server creates it"
    return Finding(setting, "ok", message)


async def _check_changes(database: MongoDatabase, explainer: Explainer, name: str) -> Finding:
    store = MongoStore(database, name)
    try:
        if await store.supports_changes():
            return Finding(f"{NAME} changes", "ok", "a change stream reports ended sessions")
    except StoreUnavailable as error:
        return Finding.of(f"{NAME} changes", await explainer.explain(error), "warning")
    except (PyMongoError, BSONError) as error:
        return Finding.of(f"{NAME} changes", await explainer.explain(error), "warning")
    message = "no change stream (it needs a replica set, and the right to watch): ended sessions are polled for"
    return Finding(f"{NAME} changes", "ok", f"{message} every REVOCATION_POLL_INTERVAL")
