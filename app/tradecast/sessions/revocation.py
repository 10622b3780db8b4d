"""Notices deletions and changes of live connections' sessions in the store, whoever made them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Mapping
from itertools import islice
from typing import Literal, Protocol

import structlog

from tradecast.background.tasks import cancel_and_wait
from tradecast.sessions.errors import RefusalCode, StoreUnavailable
from tradecast.sessions.loss.detector import LiveCopies, LossDetector, LossObserver
from tradecast.sessions.models import Session
from tradecast.sessions.service import Sessions

Mode = Literal["starting", "stream", "polling", "down"]

CHUNK = 500
RELOADS_PER_POLL = 200
TRY_STREAM_EVERY = 60.0
FIRST_BACKOFF = 0.1
MAX_BACKOFF = 1.0
SAME_END = 1.0
log = structlog.stdlib.get_logger("tradecast.auth.revocation")


class LiveSessions(LiveCopies, Protocol):
    """The sessions that have connections to this server."""

    def session_ids(self) -> Collection[str]:
        """Their ids."""
        ...

    async def end_connections(self, session_ids: Collection[str], code: RefusalCode) -> None:
        """These have ended: end their connections."""
        ...

    async def apply_change(self, session: Session) -> None:
        """A session's user or end may have changed. It may also be the same, or belong to another user now."""
        ...

    def is_applied(self, session: Session) -> bool:
        """Whether all connections of the session have its user as it is now: not if accepted with an older copy."""
        ...


class StoreObserver(LossObserver, Protocol):
    """Receives the state of the session store."""

    def store_available(self, available: bool) -> None:
        """The store stopped or started answering."""
        ...


class RevocationWatcher:
    """Ends deleted sessions and applies changed ones, within a second.

    - **Stream**: where the store reports its changes. A deletion is acted upon at once; an update of an active session
      makes it be read again. Where users are in a collection of their own, which has no stream, 200 active sessions
      are read again at each `poll_interval` in turn, as below.
    - **Polling**: elsewhere. Every `poll_interval` it asks which active sessions still exist, and reads 200 of them
      again in turn, so that with up to 200 active sessions an update (such as a log-out that keeps the session) is
      noticed as fast as a deletion.

    In both, a session that has become active is read once more from the store: it may have come from a cache.
    When the store does not answer, nothing is known and no session is ended; when it answers again, all are checked.

    A store that answers as another instance, and has lost nearly all sessions, counts as one that does not answer, for
    15 minutes at most (`loss/`): the connections of those sessions continue until their known end, or until they are
    revoked by the admin API, the command line or another server. Sessions that are there are watched as before.

    Args:
        sessions: Where they are looked up.
        live: The sessions that have a connection here; receives their ends and changes.
        observer: Receives whether the store answers and has lost sessions.
        poll_interval: Seconds.
        clock: Unix time in seconds.

    Attributes:
        mode: How changes are noticed now.
        noticing: Set while changes are noticed.
        changes: How many have been noticed so far.
    """

    def __init__(
        self,
        sessions: Sessions,
        live: LiveSessions,
        observer: StoreObserver,
        poll_interval: float = 0.5,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sessions = sessions
        self._live = live
        self._observer = observer
        self._interval = poll_interval
        self._queue: list[str] = []
        self._next_turn = 0.0
        self._losses = LossDetector(sessions.store, live, sessions.loss, observer, clock)
        self._clock = clock
        self._known: dict[str, Session] = {}
        self._deleted: set[str] = set()
        self._updated: set[str] = set()
        self._check_all = False
        self._happened = asyncio.Event()
        self._backoff = FIRST_BACKOFF
        self._is_down = False
        self.mode: Mode = "starting"
        self.noticing = asyncio.Event()
        self.changes = 0

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            try:
                if await self._sessions.store.supports_changes():
                    await self._follow()
                    await asyncio.sleep(FIRST_BACKOFF)  # the stream ended without an error: the collection was dropped
                else:
                    await self._poll(TRY_STREAM_EVERY)
            except StoreUnavailable as unavailable:
                self._mark_down(unavailable.fields())
            except Exception as error:  # sessions must stay watched in any case
                log.exception("watching sessions failed")
                self._mark_down({"error": type(error).__name__})
            else:
                continue
            await asyncio.sleep(self._backoff)
            self._backoff = min(self._backoff * 2, MAX_BACKOFF)

    def recheck(self, session: Session, changes: int) -> None:
        """A connection was accepted on this copy of a session: read it again, unless it is certainly the newest.

        Args:
            session: The copy.
            changes: The count of `changes` before the copy was read.
        """
        known = self._known.get(session.id)
        if known is None:
            # Straight from this process's memory, and no change has been noticed since: one that is still on its way
            # here finds the session active, and is read then.
            if self._sessions.is_local and changes == self.changes and self.noticing.is_set():
                self._known[session.id] = session
        elif not _is_same(known, session):
            del self._known[session.id]
            self._happened.set()

    # -- with a stream of changes

    async def _follow(self) -> None:
        reader = asyncio.create_task(self._read_changes())
        reader.add_done_callback(lambda task: self._happened.set())
        try:
            while not reader.done():
                # Woken by a change, or to read sessions that have become active.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._interval):
                        await self._happened.wait()
                self._happened.clear()
                await self._settle()
            await reader
        finally:
            await cancel_and_wait(reader)

    async def _read_changes(self) -> None:
        async with contextlib.aclosing(self._sessions.store.changes()) as changes:
            async for change in changes:
                self.changes += 1
                if change.id is None:
                    self._sessions.distrust_cache()
                    self._check_all = True
                elif change.kind == "deleted":
                    # Before anything is awaited: from now on no cache here answers for it.
                    self._sessions.mark_revoked([change.id])
                    self._deleted.add(change.id)
                else:
                    self._updated.add(change.id)
                self._happened.set()

    async def _settle(self) -> None:
        """Act upon what has happened."""
        active = set(self._live.session_ids())
        self._prune(active)
        deleted, self._deleted = self._deleted, set()
        updated, self._updated = self._updated - deleted, set()
        if deleted:
            await self._end(deleted & active, "SESSION_NOT_FOUND")
            await self._sessions.forget(deleted)
        # A session that is known here is compared when it is read again, so that the many touches of a rolling session
        # do not empty the caches. What no server has in memory is in no cache worth clearing.
        stale = {one for one in updated - self._known.keys() if one in active or self._sessions.is_cached(one)}
        if stale:
            await self._sessions.refresh(stale)
        everything, self._check_all = self._check_all, False
        due = active - deleted if everything else (active & updated) | (active - self._known.keys() - deleted)
        if self._sessions.has_users and time.monotonic() >= self._next_turn:
            self._next_turn = time.monotonic() + self._interval
            due |= self._in_turn(active) - deleted
        over = await self._reload(due)
        if over:
            await self._forget_and_end(over, "SESSION_NOT_FOUND")
        if everything:
            self._mark_up("stream")

    # -- without

    async def _poll(self, duration: float) -> None:
        ends = time.monotonic() + duration
        while time.monotonic() < ends:
            started = time.monotonic()
            active = set(self._live.session_ids())
            self._prune(active)
            await self._losses.read_instances(force=self.mode != "polling")
            fresh = active - self._known.keys()
            reloaded = fresh | self._in_turn(active)
            gone = await self._reload(reloaded) | await self._find_missing(active - reloaded)
            over = await self._losses.find_ended(gone, active, self._known)
            if over:
                await self._forget_and_end(over, "SESSION_NOT_FOUND")
            self._mark_up("polling")
            await asyncio.sleep(max(0.0, started + self._interval - time.monotonic()))

    async def _find_missing(self, ids: Collection[str]) -> set[str]:
        rest = iter(ids)
        missing: set[str] = set()
        while chunk := set(islice(rest, CHUNK)):
            missing |= chunk - await self._sessions.store.existing(chunk)
        return missing

    # -- both

    def _in_turn(self, active: Collection[str]) -> set[str]:
        self._queue = [session_id for session_id in self._queue if session_id in active] or list(active)
        turn, self._queue = self._queue[:RELOADS_PER_POLL], self._queue[RELOADS_PER_POLL:]
        return set(turn)

    async def _reload(self, ids: Collection[str]) -> set[str]:
        """Read sessions again; those that are not there."""
        rest = iter(ids)
        missing: set[str] = set()
        while chunk := list(islice(rest, CHUNK)):
            outcomes = await self._sessions.check(chunk)
            missing |= {session_id for session_id, outcome in outcomes.items() if outcome == "SESSION_NOT_FOUND"}
            over = {session_id for session_id, outcome in outcomes.items() if outcome == "SESSION_EXPIRED"}
            if over:
                await self._forget_and_end(over, "SESSION_EXPIRED")
            found = [outcome for outcome in outcomes.values() if isinstance(outcome, Session)]
            outdated = [session.id for session in found if self._is_reduced(session)]
            if outdated:
                await self._sessions.refresh(outdated)
            for session in found:
                await self._note(session)
        return missing

    def _is_reduced(self, session: Session) -> bool:
        """Whether a cache must not answer with what was known of a session."""
        known = self._known.get(session.id)
        return known is not None and (known.user != session.user or session.expires_at < known.expires_at - SAME_END)

    async def _note(self, session: Session) -> None:
        known = self._known.get(session.id)
        applied = self._live.is_applied(session)
        if known is not None and _is_same(known, session) and applied:
            return
        self._known[session.id] = session
        if not applied and self._sessions.has_users:  # the cache that let them in would let the next in too
            await self._sessions.forget_users([session.user.id])
        try:
            await self._live.apply_change(session)
        except Exception:
            log.exception("applying a changed session failed")

    async def _forget_and_end(self, ids: set[str], code: RefusalCode) -> None:
        users = {self._known[session_id].user.id for session_id in ids if session_id in self._known}
        self._sessions.mark_revoked(ids)
        await self._end(ids, code)
        await self._sessions.forget(ids)
        if users and self._sessions.has_users:
            await self._sessions.forget_users(users)

    async def _end(self, ids: set[str], code: RefusalCode) -> None:
        if not ids:
            return
        expired = set()
        if code == "SESSION_NOT_FOUND":  # a store deletes expired sessions automatically
            soon = self._clock() + SAME_END
            expired = {session_id for session_id in ids if session_id in self._known and self._ends(session_id) <= soon}
        for session_id in ids:
            self._known.pop(session_id, None)
        for some, why in ((ids - expired, code), (expired, "SESSION_EXPIRED")):
            if some:
                try:
                    await self._live.end_connections(some, why)
                except Exception:
                    log.exception("ending sessions failed")

    def _ends(self, session_id: str) -> float:
        return self._known[session_id].expires_at

    def _prune(self, active: Collection[str]) -> None:
        for session_id in self._known.keys() - active:
            del self._known[session_id]

    def _mark_up(self, mode: Mode) -> None:
        self._backoff = FIRST_BACKOFF
        if self.mode != mode:
            log.info("session changes are watched", store=self._sessions.store.name, by=mode)
        if self._is_down or self.mode == "starting":
            self._observer.store_available(True)
        self._is_down = False
        self.mode = mode
        self.noticing.set()

    def _mark_down(self, fields: Mapping[str, str]) -> None:
        self.noticing.clear()
        self._losses.remember(self._known)
        self._known.clear()  # when it is back, everything is checked
        if not self._is_down:
            self._is_down = True
            log.warning("session store unavailable", store=self._sessions.store.name, **fields)
            self._observer.store_available(False)
        self.mode = "down"


def _is_same(one: Session, other: Session) -> bool:
    # Redis has the time left, not the end.
    return one.user == other.user and abs(one.expires_at - other.expires_at) < SAME_END
