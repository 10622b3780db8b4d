"""Sessions of clients: looked up, checked, made and ended, in whatever store there is."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Protocol

import structlog

from tradecast.config.settings import Settings, SettingsError
from tradecast.redis_client.client import RedisClient
from tradecast.sessions.admin import handle_of
from tradecast.sessions.batch_loader import BatchLoader
from tradecast.sessions.cache import SessionCache, Source, UserCache
from tradecast.sessions.documents.document import (
    SessionFields,
    find_unknown_tier,
    find_user,
    keep_used_fields,
    merge_user,
    read_session,
    write_session,
)
from tradecast.sessions.errors import AuthRefused, RefusalCode, StoreUnavailable
from tradecast.sessions.mass_loss import LONGEST, MassLoss
from tradecast.sessions.models import Session, User
from tradecast.sessions.signing import explain_refusal, is_signed, sign, unsign
from tradecast.sessions.stores.base import Homes, SessionRecord, SessionStore
from tradecast.sessions.stores.memory import MemoryStore
from tradecast.sessions.stores.mongo import MongoDatabase, MongoStore, MongoUsers
from tradecast.sessions.stores.redis import RedisStore
from tradecast.sessions.stores.watch import EVERYTHING, StoreWatch, name_handle, name_session, name_user
from tradecast.user_id import read_user_id

CHUNK = 500
ID_BYTES = 24
KEPT_REVOCATIONS = 100_000
READ_AGAIN = 3
# Values of tiers that were told to be unknown: each is told once, and so many at most.
MOST_UNKNOWN_TIERS = 100
log = structlog.stdlib.get_logger("tradecast.auth")
# Seconds that clocks may be apart: a revocation that was told so long before a loss counts.
SKEW = 60.0


class Users(Protocol):
    """A place that tells about users what the session does not."""

    async def load(self, ids: Collection[str]) -> Mapping[str, Mapping[str, Any]]: ...
    async def close(self) -> None: ...


class Sessions:
    """Looks sessions up, through caches and in batches, and makes and ends them.

    Every method that asks the store raises `StoreUnavailable` when it does not answer.

    Args:
        store: Where sessions live; closed with this.
        cache: For sessions; closed with this.
        settings: The SESSION_ settings.
        users: Where tier and admin flag come from, if not from the session; closed with this.
        user_cache: For users; closed with this.
        database: The MongoDB that sessions or users are in, if they are; told of by `/health/database`.
        on_batch: Told how many sessions each query of the store asked for.
        on_store_error: Told of each such query that was not answered.
        on_unsigned: Told of each id that was accepted without a signature, where there are secrets to sign with.
        marks: What servers tell each other of a store that can lose all its sessions; None for one that cannot.
        clock: Unix time in seconds.

    Attributes:
        loss: Whether the store has lost its sessions, as far as is known here.
        homes: Which instances of the store kept what when it was last looked at; None: not known.
        at_hand: Whether all there is to know of a session is in this process's memory: nothing to wait for, no cache.
    """

    def __init__(
        self,
        store: SessionStore,
        cache: SessionCache,
        *,
        settings: Settings,
        users: Users | None = None,
        user_cache: UserCache | None = None,
        database: MongoDatabase | None = None,
        on_batch: Callable[[int], None] = lambda size: None,
        on_store_error: Callable[[], None] = lambda: None,
        on_unsigned: Callable[[], None] = lambda: None,
        marks: StoreWatch | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.loss = MassLoss(clock=clock)
        self.homes: Homes | None = None
        self._marks = marks
        self.store = store
        self.database = database
        self._cache = cache
        self._users = users
        self._user_cache = user_cache or UserCache(ttl=0)
        self._clock = clock
        self._fields = SessionFields.from_settings(settings)
        self._secrets = [secret.get_secret_value() for secret in settings.session_secrets]
        self._require_signed = bool(settings.session_require_signed)
        # The next version requires signatures where there are secrets, unless the setting says that it must not.
        self._tells_unsigned = bool(self._secrets) and settings.session_require_signed is None
        self._on_unsigned = on_unsigned
        self._unknown_tiers: set[str] = set()
        self._load_batch = _watched(store, on_batch, on_store_error)
        self._stored: BatchLoader[str, SessionRecord] = BatchLoader(self._load_batch)
        self.at_hand = type(store) is MemoryStore and users is None
        self._documents: BatchLoader[str, Mapping[str, Any]] | None = BatchLoader(users.load) if users else None
        self._revoked: OrderedDict[str, float] = OrderedDict()

    # -- for connecting clients

    async def authenticate(self, raw_id: object, claimed_user_id: object, *, by_cookie: bool = False) -> Session:
        """The session that a client says it has.

        Args:
            raw_id: The session id, bare or signed, as the client sent it.
            claimed_user_id: The user's id, as the client sent it: a text or a number.
            by_cookie: The id came with the browser's cookie. It has to be signed where there are secrets, and the
                client need not know whose it is.

        Raises:
            AuthRefused: AUTH_REQUIRED if one of both is missing or cannot be one, SESSION_NOT_FOUND, SESSION_EXPIRED,
                or USER_MISMATCH.
            StoreUnavailable: The store does not answer, and no cache knows the session.
        """
        unclaimed = by_cookie and claimed_user_id is None
        # A text that no id can be is somebody else's.
        user_id = claimed_user_id if isinstance(claimed_user_id, str) else read_user_id(claimed_user_id)
        if not isinstance(raw_id, str) or not raw_id or not (user_id or unclaimed):
            raise AuthRefused("AUTH_REQUIRED", "bad_claim")
        session_id = unsign(raw_id, self._secrets, self._require_signed or (by_cookie and bool(self._secrets)))
        if session_id is None:
            raise AuthRefused("SESSION_NOT_FOUND", explain_refusal(raw_id, self._secrets))
        if self._tells_unsigned and not is_signed(raw_id):
            self._on_unsigned()
        session = await self._find(session_id)
        if not unclaimed and session.user.id != user_id:
            raise AuthRefused("USER_MISMATCH", "other_user")
        return session

    def sign(self, session_id: str) -> str:
        """A bare id as `authenticate` takes it: signed, where there are secrets."""
        return sign(session_id, self._secrets[0]) if self._secrets else session_id

    def is_revoked_since(self, session_id: str, since: float) -> bool:
        """Whether a session was seen to be deleted at or after `since` (Unix seconds): it may have been read before."""
        return self._revoked.get(session_id, float("-inf")) >= since

    # -- for live connections

    async def check(self, ids: Collection[str]) -> dict[str, Session | RefusalCode]:
        """What the store has now for each of `ids`, past all caches: the session, or why it cannot be used."""
        outcomes: dict[str, Session | RefusalCode] = {}
        for chunk in _chunks(dict.fromkeys(ids)):
            stored = await self.store.load(chunk)
            found: list[Session] = []
            for session_id in chunk:
                try:
                    found.append(self._read(stored.get(session_id)))
                except AuthRefused as refused:
                    outcomes[session_id] = refused.code
            documents = await self._users.load({session.user.id for session in found}) if self._users else None
            for session in found:
                try:
                    outcomes[session.id] = self._merge(session, documents)
                except AuthRefused as refused:
                    outcomes[session.id] = refused.code
        return outcomes

    @property
    def has_users(self) -> bool:
        """Whether a users collection tells more than the session does; its changes come through no stream."""
        return self._users is not None

    async def forget_users(self, user_ids: Collection[str]) -> None:
        """Users have changed: the next look-up asks the users collection."""
        await self._user_cache.forget(user_ids)

    def mark_revoked(self, ids: Collection[str]) -> None:
        """Remember that sessions are gone, in this process and at once; `forget` tells the other servers too."""
        now = self._clock()
        for session_id in ids:
            self._revoked[session_id] = now
            self._revoked.move_to_end(session_id)
        while len(self._revoked) > KEPT_REVOCATIONS:
            self._revoked.popitem(last=False)
        self._cache.mark(ids)

    async def forget(self, ids: Collection[str]) -> None:
        """Sessions are gone: no cache of this or another server may answer for them from now on."""
        self.mark_revoked(ids)
        await self._cache.publish_marks(ids)

    async def refresh(self, ids: Collection[str]) -> None:
        """Sessions have changed: the next look-up asks the store, on this and on the other servers."""
        await self._cache.forget(ids)

    def is_cached(self, session_id: str) -> bool:
        """Whether this process would answer for a session from memory."""
        return self._cache.holds(session_id)

    def distrust_cache(self) -> None:
        """Changes may have been missed: ask the store again, where this process would have answered from memory."""
        self._cache.clear()

    # -- for administrators

    async def create(self, user: User, max_age: float) -> tuple[str, float]:
        """Make a session.

        Args:
            user: Whose it is.
            max_age: Seconds it lasts; SESSION_MAX_AGE at most.

        Returns:
            Its id, signed where ids must be signed, and the Unix time in seconds at which it ends.
        """
        if not max_age > 0:
            raise ValueError("max_age is above 0")
        now = self._clock()
        expires_at = now + min(max_age, self._fields.max_age)
        session_id = secrets.token_urlsafe(ID_BYTES)
        await self.store.save(session_id, write_session(user, self._fields, now, expires_at), expires_at)
        return self.sign(session_id) if self._require_signed else session_id, expires_at

    async def revoke(self, ids: Collection[str]) -> int:
        """End sessions by their ids, bare or signed; how many there were."""
        bare = [unsign(raw_id, self._secrets, require_signed=False) for raw_id in ids]
        known = list(dict.fromkeys(session_id for session_id in bare if session_id is not None))
        count = 0
        for chunk in _chunks(known):
            count += await self.store.delete(chunk)
            await self.forget(chunk)
            if self._marks is not None:
                await self._marks.revoke(map(name_session, chunk))
        return count

    async def note_revoked(self, *, user_id: str | None = None, handle: str | None = None) -> None:
        """All sessions of a user, or the one of a handle, are revoked, those included that the store has lost."""
        if self._marks is not None:
            names = [] if user_id is None else [name_user(user_id)]
            await self._marks.revoke(names if handle is None else [*names, name_handle(handle)])

    async def revoke_all(self) -> int:
        """End all sessions, those included that the store has lost or that cannot be read; how many it had."""
        if self._marks is not None:
            await self._marks.revoke_all()
        self.loss.end()
        count = 0
        chunk: list[str] = []
        async for stored in self.store.list():
            chunk.append(stored.id)
            if len(chunk) == CHUNK:
                count += await self.store.delete(chunk)
                await self.forget(chunk)
                chunk.clear()
        count += await self.store.delete(chunk)
        await self.forget(chunk)
        return count

    # -- a store that has lost its sessions

    async def begin_loss(self, lost: Collection[str]) -> None:
        """The store has lost these. All servers are told."""
        until = self.loss.until if self.loss.active else self._clock() + LONGEST
        if self._marks is not None:
            until = await self._marks.tell_lost(until)
        self.loss.begin(lost, until)

    async def look_for_loss(self) -> bool:
        """Whether the store has lost its sessions, as this or another server has found out."""
        if not self.loss.active and self._marks is not None and (until := await self._marks.lost_until()) is not None:
            self.loss.begin((), until)
        return self.loss.active

    async def revoked_in_loss(self, ids: Collection[str], known: Mapping[str, Session]) -> set[str]:
        """Which of these, that the store has lost, were revoked since, by whichever server or program."""
        if self._marks is None or not ids:
            return set()
        names: dict[str, set[str]] = {}
        for session_id in ids:
            its = [name_session(session_id), name_handle(handle_of(session_id))]
            if session_id in known:
                its.append(name_user(known[session_id].user.id))
            for name in its:
                names.setdefault(name, set()).add(session_id)
        found = await self._marks.revoked([EVERYTHING, *names], self.loss.until - LONGEST - SKEW)
        if EVERYTHING in found:
            self.loss.end()
            return set(ids)
        return set().union(*(names[name] for name in found))

    async def _check_missing(self, session_id: str) -> None:
        """A session is not there: raises StoreUnavailable if that says nothing about whether it has ended."""
        if self._marks is None:
            return
        if not await self.look_for_loss():
            homes, before = await self.store.homes(), self.homes
            if homes is None or before is None or homes(session_id) == before(session_id):
                return
            raise StoreUnavailable("another instance of the store has just taken over")
        if not await self.revoked_in_loss([session_id], {}):
            raise StoreUnavailable("the store has lost its sessions")

    async def revoke_user(self, user_id: str) -> int:
        """End all sessions of a user; how many there were. Reads every session."""
        return await self.revoke([session.id async for session in self._all() if session.user.id == user_id])

    async def sessions(self) -> AsyncIterator[Session]:
        """All sessions that can be used, in no order."""
        chunk: list[Session] = []
        async for session in self._all():
            chunk.append(session)
            if len(chunk) == CHUNK:
                for merged in await self._merge_all(chunk):
                    yield merged
                chunk.clear()
        for merged in await self._merge_all(chunk):
            yield merged

    async def ping(self) -> None:
        """Return if the store answers."""
        await self.store.ping()

    async def close(self) -> None:
        """Drop what is under way, and close the store."""
        await self._stored.close()
        if self._documents is not None:
            await self._documents.close()
        await self._cache.close()
        await self._user_cache.close()
        await self.store.close()
        if self._users is not None:
            await self._users.close()

    # -- parts

    async def _find(self, session_id: str) -> Session:
        session = await self._cache.get(session_id)
        # A session that is over by the cache may have been extended meanwhile.
        if session is None or session.expires_at <= self._clock():
            session = await self._load(session_id)
        if self._documents is None:
            return session
        user_id = session.user.id
        document = await self._user_cache.get(user_id)
        if document is None:
            found = await self._documents.load(user_id)
            if found is not None:
                document = keep_used_fields(found, self._fields)
                await self._user_cache.put(user_id, document)
        return self._merge(session, {} if document is None else {user_id: document})

    async def _load(self, session_id: str) -> Session:
        for _ in range(READ_AGAIN):
            started = self._clock()
            stored = await self._load_stored(session_id)
            if stored is None:
                await self._check_missing(session_id)
            session = self._read(stored)
            await self._cache.put(session_id, session, session.expires_at - self._clock())
            if not self.is_revoked_since(session_id, started):
                return session
        raise AuthRefused("SESSION_NOT_FOUND", "revoked")  # deleted again and again while it was read

    async def _load_stored(self, session_id: str) -> SessionRecord | None:
        if not self.at_hand:
            return await self._stored.load(session_id)
        return (await self._load_batch((session_id,))).get(session_id)

    def _read(self, stored: SessionRecord | None) -> Session:
        if stored is None:
            raise AuthRefused("SESSION_NOT_FOUND", "not_in_store")
        session = read_session(stored, self._fields, self._clock())
        if self._users is None and session.user.tier == "free":
            self._look_at_tier(find_user(stored, self._fields))
        return session

    def _look_at_tier(self, source: Mapping[str, Any]) -> None:
        """Tell once of each value of a tier that means nothing here: its users may have paid for more than free."""
        value = find_unknown_tier(source, self._fields)
        if value is not None and value not in self._unknown_tiers and len(self._unknown_tiers) < MOST_UNKNOWN_TIERS:
            self._unknown_tiers.add(value)
            log.warning("a user's tier is unknown and counts as free: SESSION_TIERS can say what it means", tier=value)

    def _merge(self, session: Session, documents: Mapping[str, Mapping[str, Any]] | None) -> Session:
        if documents is None:
            return session
        document = documents.get(session.user.id)
        if document is None:
            raise AuthRefused("SESSION_NOT_FOUND", "not_in_users")
        user = merge_user(session.user, document, self._fields)
        if user.tier == "free":
            self._look_at_tier(document)
        return replace(session, user=user)

    async def _merge_all(self, found: Sequence[Session]) -> list[Session]:
        documents = await self._users.load({session.user.id for session in found}) if self._users else None
        merged = []
        for session in found:
            try:
                merged.append(self._merge(session, documents))
            except AuthRefused:
                continue
        return merged

    async def _all(self) -> AsyncIterator[Session]:
        async for stored in self.store.list():
            try:
                session = self._read(stored)
            except AuthRefused:
                continue
            yield session


def create_sessions(
    settings: Settings,
    redis: RedisClient | None = None,
    *,
    on_lookup: Callable[[Source], None] = lambda source: None,
    on_batch: Callable[[int], None] = lambda size: None,
    on_store_error: Callable[[], None] = lambda: None,
    on_unsigned: Callable[[], None] = lambda: None,
    session_collection: str | None = None,
    clock: Callable[[], float] = time.time,
) -> Sessions:
    """Sessions in the store that the settings name. Nothing is asked of it yet.

    What is read from MongoDB is cached in memory and, where there is one, in Redis. Redis and memory are as near as
    their caches would be, so sessions there are not cached.

    Args:
        settings: All of them.
        redis: The client for REDIS_URL; stays the caller's.
        on_lookup: Told for each session looked up whether memory, Redis or neither had it.
        on_batch: As of `Sessions`.
        on_store_error: As of `Sessions`.
        on_unsigned: As of `Sessions`.
        session_collection: MongoDB collection in place of SESSION_COLLECTION.
        clock: Unix time in seconds.

    Raises:
        SettingsError: MONGODB_URI or a collection's name cannot be used, or Redis is missing.
    """
    database = None
    if settings.mongodb_uri is not None and (settings.store_name == "mongodb" or settings.users_collection):
        database = MongoDatabase(
            settings.mongodb_uri.get_secret_value(),
            settings.mongodb_database,
            settings.mongodb_timeout,
            settings.mongodb_ca_file,
        )
    store: SessionStore
    cached = settings.store_name == "mongodb"
    ttl = settings.session_cache_ttl if cached else 0.0
    if settings.store_name == "mongodb":
        if database is None:
            raise SettingsError("SESSION_STORE: mongodb needs MONGODB_URI")
        store = MongoStore(database, session_collection or settings.session_collection)
    elif settings.store_name == "redis":
        if redis is None:
            raise SettingsError("SESSION_STORE: redis needs REDIS_URL")
        store = RedisStore(redis, settings.session_key_prefix, timeout=settings.redis_timeout, clock=clock)
    else:
        store = MemoryStore(clock)
    users = None
    if database is not None and settings.users_collection:
        users = MongoUsers(database, settings.users_collection, settings.users_id_field)
    return Sessions(
        store,
        SessionCache(ttl=ttl, redis=redis if cached else None, on_lookup=on_lookup, clock=clock),
        settings=settings,
        users=users,
        user_cache=UserCache(ttl=settings.session_cache_ttl, redis=redis, clock=clock),
        database=database,
        on_batch=on_batch,
        on_store_error=on_store_error,
        on_unsigned=on_unsigned,
        marks=None
        if redis is None or settings.store_name != "redis"
        else StoreWatch(redis, settings.redis_timeout, clock),
        clock=clock,
    )


def _watched(
    store: SessionStore, on_batch: Callable[[int], None], on_error: Callable[[], None]
) -> Callable[[Collection[str]], Awaitable[Mapping[str, SessionRecord]]]:
    async def load(ids: Collection[str]) -> Mapping[str, SessionRecord]:
        on_batch(len(ids))
        try:
            return await store.load(ids)
        except StoreUnavailable:
            on_error()
            raise

    return load


def _chunks(ids: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(ids)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk
