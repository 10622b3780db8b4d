"""Sessions over the store that the settings name."""

from __future__ import annotations

import time
from collections.abc import Callable

from tradecast.config.settings import Settings, SettingsError
from tradecast.observability.throttled_log import ThrottledLog
from tradecast.redis_client.client import RedisClient
from tradecast.sessions.cache import SessionCache, UserCache
from tradecast.sessions.loss.marks import StoreMarks
from tradecast.sessions.service import SessionObserver, Sessions, Unobserved
from tradecast.sessions.stores.base import SessionStore
from tradecast.sessions.stores.memory import MemoryStore
from tradecast.sessions.stores.mongo import MongoStore
from tradecast.sessions.stores.mongo_database import MongoDatabase
from tradecast.sessions.stores.mongo_users import MongoUsers
from tradecast.sessions.stores.redis import RedisStore


def create_sessions(
    settings: Settings,
    redis: RedisClient | None = None,
    *,
    observer: SessionObserver | None = None,
    lines: ThrottledLog | None = None,
    session_collection: str | None = None,
    clock: Callable[[], float] = time.time,
) -> Sessions:
    """Sessions in the store that the settings name. No request is sent to it yet.

    What is read from MongoDB is cached in memory and, where there is one, in Redis. Redis and memory are as near as
    their caches would be, so sessions there are not cached.

    Args:
        settings: All of them.
        redis: The client for REDIS_URL; stays the caller's.
        observer: Counts look-ups and requests to the store.
        lines: Writes the log lines that clients can cause.
        session_collection: MongoDB collection in place of SESSION_COLLECTION.
        clock: Unix time in seconds.

    Raises:
        SettingsError: MONGODB_URI or a collection's name cannot be used, or Redis is missing.
    """
    observer = observer or Unobserved()
    database = _create_database(settings)
    store = _create_store(settings, redis, database, session_collection, clock)
    cached = settings.store_name == "mongodb"
    ttl = settings.session_cache_ttl if cached else 0.0
    users = None
    if database is not None and settings.users_collection:
        users = MongoUsers(database, settings.users_collection, settings.users_id_field)
    can_lose = redis is not None and settings.store_name == "redis"
    return Sessions(
        store,
        SessionCache(ttl=ttl, redis=redis if cached else None, observer=observer, clock=clock),
        settings=settings,
        users=users,
        user_cache=UserCache(ttl=settings.session_cache_ttl, redis=redis, clock=clock),
        database=database,
        observer=observer,
        lines=lines,
        marks=StoreMarks(redis, settings.redis_timeout, clock) if can_lose and redis is not None else None,
        clock=clock,
    )


def _create_database(settings: Settings) -> MongoDatabase | None:
    if settings.mongodb_uri is None or not (settings.store_name == "mongodb" or settings.users_collection):
        return None
    return MongoDatabase(
        settings.mongodb_uri.get_secret_value(),
        settings.mongodb_database,
        settings.mongodb_timeout,
        settings.mongodb_ca_file,
    )


def _create_store(
    settings: Settings,
    redis: RedisClient | None,
    database: MongoDatabase | None,
    session_collection: str | None,
    clock: Callable[[], float],
) -> SessionStore:
    if settings.store_name == "mongodb":
        if database is None:
            raise SettingsError("SESSION_STORE: mongodb needs MONGODB_URI")
        return MongoStore(database, session_collection or settings.session_collection)
    if settings.store_name == "redis":
        if redis is None:
            raise SettingsError("SESSION_STORE: redis needs REDIS_URL")
        return RedisStore(redis, settings.session_key_prefix, timeout=settings.redis_timeout, clock=clock)
    return MemoryStore(clock)
