"""Sessions of clients: looked up, checked, created and revoked, in whatever store there is."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

import structlog

from tradecast.config.settings import Settings
from tradecast.observability.throttled_log import ThrottledLog
from tradecast.sessions.batch_loader import BatchLoader
from tradecast.sessions.cache import LookupObserver, SessionCache, Source, UserCache
from tradecast.sessions.documents.document import SessionFields, keep_used_fields, write_session
from tradecast.sessions.errors import AuthRefused, RefusalCode, StoreUnavailable
from tradecast.sessions.loss.marks import StoreMarks
from tradecast.sessions.loss.tracker import LossTracker
from tradecast.sessions.models import Session, User
from tradecast.sessions.reader import SessionReader
from tradecast.sessions.signing import explain_refusal, is_signed, sign_session_id, unsign_session_id
from tradecast.sessions.stores.base import SessionRecord, SessionStore
from tradecast.sessions.stores.mongo_database import MongoDatabase
from tradecast.user_id import read_user_id

CHUNK = 500
ID_BYTES = 24
KEPT_REVOCATIONS = 100_000
READ_AGAIN = 3
# What servers have logged from their composition, before sessions logged it themselves.
_server_log = structlog.stdlib.get_logger("tradecast.server")


class SessionObserver(LookupObserver, Protocol):
    """Receives what is asked of sessions and of their store."""

    def session_batch(self, size: int) -> None:
        """The store is asked for so many sessions in one query."""
        ...

    def session_store_error(self) -> None:
        """The store did not answer such a query."""
        ...

    def unsigned_session_id(self) -> None:
        """An id without a signature was accepted, where there are secrets to sign with."""
        ...


class Unobserved(SessionObserver):
    """Ignores everything: for programs without metrics."""

    def session_lookup(self, source: Source) -> None:
        """Nothing."""

    def session_batch(self, size: int) -> None:
        """Nothing."""

    def session_store_error(self) -> None:
        """Nothing."""

    def unsigned_session_id(self) -> None:
        """Nothing."""


class Users(Protocol):
    """A store of what sessions do not have about their users."""

    async def load(self, ids: Collection[str]) -> Mapping[str, Mapping[str, Any]]: ...
    async def close(self) -> None: ...


class Sessions:
    """Looks sessions up, through caches and in batches; creates and revokes them.

    Every method that uses the store raises `StoreUnavailable` when it does not answer.

    Args:
        store: Where sessions are; closed with this.
        cache: For sessions; closed with this.
        settings: The SESSION_ settings.
        users: Where tier and admin flag come from, if not from the session; closed with this.
        user_cache: For users; closed with this.
        database: The MongoDB that sessions or users are in, if they are; `/health/database` reports it.
        observer: Counts queries of the store and unsigned ids.
        lines: Writes the log lines that clients can cause.
        marks: What servers write for each other about a store that can lose all its sessions; None for another one.
        clock: Unix time in seconds.

    Attributes:
        loss: Whether the store has lost its sessions, as far as is known here.
        is_local: Whether all there is to know of a session is in this process's memory: no look-up waits for anything.
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
        observer: SessionObserver | None = None,
        lines: ThrottledLog | None = None,
        marks: StoreMarks | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.loss = LossTracker(store, marks, clock)
        self.store = store
        self.database = database
        self.is_local = store.is_local and users is None
        self._cache = cache
        self._users = users
        self._user_cache = user_cache or UserCache(ttl=0)
        self._clock = clock
        self._fields = SessionFields.from_settings(settings)
        self._reader = SessionReader(self._fields, has_users=users is not None, clock=clock)
        self._secrets = [secret.get_secret_value() for secret in settings.session_secrets]
        self._require_signed = bool(settings.session_require_signed)
        # The next version requires signatures where there are secrets, unless the setting says that it must not.
        self._warns_of_unsigned = bool(self._secrets) and settings.session_require_signed is None
        self._observer = observer or Unobserved()
        self._lines = lines or ThrottledLog()
        self._observed = _ObservedStore(store, self._observer)
        self._records: BatchLoader[str, SessionRecord] = BatchLoader(self._observed)
        self._documents: BatchLoader[str, Mapping[str, Any]] | None = BatchLoader(users) if users else None
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
        session_id = unsign_session_id(
            raw_id, self._secrets, self._require_signed or (by_cookie and bool(self._secrets))
        )
        if session_id is None:
            raise AuthRefused("SESSION_NOT_FOUND", explain_refusal(raw_id, self._secrets))
        if self._warns_of_unsigned and not is_signed(raw_id):
            self._observer.unsigned_session_id()
            sentence = "a session id without a signature was accepted: the next version refuses it"
            self._lines.write(_server_log.warning, sentence)
        session = await self._find(session_id)
        if not unclaimed and session.user.id != user_id:
            raise AuthRefused("USER_MISMATCH", "other_user")
        return session

    def sign(self, session_id: str) -> str:
        """A bare id as `authenticate` takes it: signed, where there are secrets."""
        return sign_session_id(session_id, self._secrets[0]) if self._secrets else session_id

    def is_revoked_since(self, session_id: str, since: float) -> bool:
        """Whether a session was seen to be deleted at or after `since` (Unix seconds): it may have been read before."""
        return self._revoked.get(session_id, float("-inf")) >= since

    # -- for live connections

    async def check(self, ids: Collection[str]) -> dict[str, Session | RefusalCode]:
        """What the store has now for each of `ids`, past all caches: the session, or why it cannot be used."""
        outcomes: dict[str, Session | RefusalCode] = {}
        for chunk in _split_chunks(dict.fromkeys(ids)):
            records = await self.store.load(chunk)
            found: list[Session] = []
            for session_id in chunk:
                try:
                    found.append(self._reader.read(records.get(session_id)))
                except AuthRefused as refused:
                    outcomes[session_id] = refused.code
            documents = await self._users.load({session.user.id for session in found}) if self._users else None
            for session in found:
                try:
                    outcomes[session.id] = self._reader.merge(session, documents)
                except AuthRefused as refused:
                    outcomes[session.id] = refused.code
        return outcomes

    @property
    def has_users(self) -> bool:
        """Whether a users collection adds to the session; its changes come through no stream."""
        return self._users is not None

    async def forget_users(self, user_ids: Collection[str]) -> None:
        """Users have changed: the next look-up reads the users collection."""
        await self._user_cache.forget(user_ids)

    def mark_revoked(self, ids: Collection[str]) -> None:
        """Remember that sessions are gone, in this process and at once; `forget` informs the other servers too."""
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
        """Sessions have changed: the next look-up reads the store, on this and on the other servers."""
        await self._cache.forget(ids)

    def is_cached(self, session_id: str) -> bool:
        """Whether this process would answer for a session from memory."""
        return self._cache.has_in_memory(session_id)

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
            raise ValueError("max_age must be above 0")
        now = self._clock()
        expires_at = now + min(max_age, self._fields.max_age)
        session_id = secrets.token_urlsafe(ID_BYTES)
        await self.store.save(session_id, write_session(user, self._fields, now, expires_at), expires_at)
        return self.sign(session_id) if self._require_signed else session_id, expires_at

    async def revoke(self, ids: Collection[str]) -> int:
        """End sessions by their ids, bare or signed; how many there were."""
        bare = [unsign_session_id(raw_id, self._secrets, require_signed=False) for raw_id in ids]
        known = list(dict.fromkeys(session_id for session_id in bare if session_id is not None))
        count = 0
        for chunk in _split_chunks(known):
            count += await self.store.delete(chunk)
            await self.forget(chunk)
            await self.loss.mark_revoked(chunk)
        return count

    async def note_revoked(self, *, user_id: str | None = None, handle: str | None = None) -> None:
        """All sessions of a user, or the one of a handle, are revoked, those included that the store has lost."""
        await self.loss.mark_revoked(user_id=user_id, handle=handle)

    async def revoke_all(self) -> int:
        """End all sessions, those included that the store has lost or that cannot be read; how many it had."""
        await self.loss.mark_all_revoked()
        count = 0
        chunk: list[str] = []
        async for record in self.store.list():
            chunk.append(record.id)
            if len(chunk) == CHUNK:
                count += await self.store.delete(chunk)
                await self.forget(chunk)
                chunk.clear()
        count += await self.store.delete(chunk)
        await self.forget(chunk)
        return count

    async def sessions(self) -> AsyncIterator[Session]:
        """All sessions that can be used, in no order."""
        chunk: list[Session] = []
        async for session in self._all():
            chunk.append(session)
            if len(chunk) == CHUNK:
                for merged in await self._merge(chunk):
                    yield merged
                chunk.clear()
        for merged in await self._merge(chunk):
            yield merged

    async def ping(self) -> None:
        """Return if the store answers."""
        await self.store.ping()

    async def close(self) -> None:
        """Drop what is under way, and close the store."""
        await self._records.close()
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
        # A session that has expired by the cache may have been extended meanwhile.
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
        return self._reader.merge(session, {} if document is None else {user_id: document})

    async def _load(self, session_id: str) -> Session:
        for _ in range(READ_AGAIN):
            started = self._clock()
            record = await self._load_record(session_id)
            if record is None:
                await self.loss.check_missing(session_id)
            else:
                self.loss.note_read(session_id)
            session = self._reader.read(record)
            await self._cache.put(session_id, session, session.expires_at - self._clock())
            if not self.is_revoked_since(session_id, started):
                return session
        raise AuthRefused("SESSION_NOT_FOUND", "revoked")  # deleted again and again while it was read

    async def _load_record(self, session_id: str) -> SessionRecord | None:
        if not self.is_local:
            return await self._records.load(session_id)
        return (await self._observed.load((session_id,))).get(session_id)

    async def _merge(self, sessions: Sequence[Session]) -> list[Session]:
        documents = await self._users.load({session.user.id for session in sessions}) if self._users else None
        return self._reader.merge_all(sessions, documents)

    async def _all(self) -> AsyncIterator[Session]:
        async for record in self.store.list():
            try:
                session = self._reader.read(record)
            except AuthRefused:
                continue
            yield session


class _ObservedStore:
    """Loads from a store and counts that."""

    def __init__(self, store: SessionStore, observer: SessionObserver) -> None:
        self._store = store
        self._observer = observer

    async def load(self, ids: Collection[str]) -> Mapping[str, SessionRecord]:
        self._observer.session_batch(len(ids))
        try:
            return await self._store.load(ids)
        except StoreUnavailable:
            self._observer.session_store_error()
            raise


def _split_chunks(ids: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(ids)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk
