"""Notices that sessions of live connections were deleted or changed in the store, whoever did it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from itertools import islice
from typing import Literal

import structlog

from tradecast.background.tasks import cancel_and_wait
from tradecast.sessions.errors import RefusalCode, StoreUnavailable
from tradecast.sessions.mass_loss import find_lost
from tradecast.sessions.models import Session
from tradecast.sessions.service import Sessions
from tradecast.sessions.stores.base import Homes

Mode = Literal["starting", "stream", "polling", "down"]

CHUNK = 500
RELOADS_PER_POLL = 200
TRY_STREAM_EVERY = 60.0
FIRST_BACKOFF = 0.1
MAX_BACKOFF = 1.0
SAME_END = 1.0
# Seconds between looks at which instance of the store answers, and for which a server with few sessions waits for
# another one to tell whether they are lost.
LOOK_AT_HOMES = 5.0
WAIT_FOR_OTHERS = 2.0
log = structlog.stdlib.get_logger("tradecast.auth.revocation")


class RevocationWatcher:
    """Ends what is deleted, and tells what has changed, within a second.

    - **Stream**: where the store tells its changes. A deletion is acted upon at once; an update of an active session
      makes it be read again. Where users are in a collection of their own, which has no stream, 200 active sessions
      are read again at each `poll_interval` in turn, as below.
    - **Polling**: elsewhere. Every `poll_interval` it asks which active sessions still exist, and reads 200 of them
      again in turn, so that with up to 200 active sessions an update (such as a log-out that keeps the session) is
      noticed as fast as a deletion.

    In both, a session that has become active is read once more from the store: it may have come from a cache.
    When the store does not answer, nothing is known and nobody is ended; when it answers again, all are checked.

    A store that answers as another instance, and has lost nearly all sessions, counts as one that does not answer, for
    15 minutes at most (`mass_loss.py`): the connections of those sessions go on until their known end, or until they
    are revoked by the admin API, the command line or another server. What is there is watched as before.

    Args:
        sessions: Where they are looked up.
        active: The ids of the sessions that have a connection here.
        on_ended: Awaited with ids of active sessions that are over, and why.
        on_changed: Awaited with an active session whose user or end may have changed. The caller compares: it may be
            the same, or belong to another user now.
        holds: Whether every connection of a session has this user and end. One that was let in on an older copy has
            not, and is told of by `on_changed`.
        poll_interval: Seconds.
        on_store: Told when the store stops and starts answering.
        on_loss: Told how many connected sessions of this server the store has lost, and 0 when that is over.
        clock: Unix time in seconds.

    Attributes:
        mode: How changes are noticed now.
        noticing: Set while they are: from the moment on when whatever happens will be noticed.
        changes: How many have been noticed so far.
    """

    def __init__(
        self,
        sessions: Sessions,
        *,
        active: Callable[[], Collection[str]],
        on_ended: Callable[[Collection[str], RefusalCode], Awaitable[None]],
        on_changed: Callable[[Session], Awaitable[None]],
        holds: Callable[[Session], bool] = lambda session: True,
        poll_interval: float = 0.5,
        on_store: Callable[[bool], None] = lambda answers: None,
        on_loss: Callable[[int], None] = lambda sessions: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._sessions = sessions
        self._active = active
        self._on_ended = on_ended
        self._on_changed = on_changed
        self._holds = holds
        self._interval = poll_interval
        self._queue: list[str] = []
        self._next_turn = 0.0
        self._on_store = on_store
        self._on_loss = on_loss
        self._told_lost = 0
        self._homes: Homes | None = None  # as they were before the look that is under way
        self._homes_due = 0.0
        self._undecided_since: float | None = None
        self._remembered: dict[str, Session] = {}  # of lost sessions, what was known of them
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
                self._note_down(unavailable.fields())
            except Exception as error:  # whatever it is, sessions must go on being watched
                log.exception("watching sessions failed")
                self._note_down({"error": type(error).__name__})
            else:
                continue
            await asyncio.sleep(self._backoff)
            self._backoff = min(self._backoff * 2, MAX_BACKOFF)

    def look_again(self, session: Session, changes: int) -> None:
        """A connection was let in on this copy of a session: read it again, unless it is surely the newest.

        Args:
            session: The copy.
            changes: The count of `changes` before the copy was read.
        """
        known = self._known.get(session.id)
        if known is None:
            # Straight from this process's memory, and no change has been noticed since: one that is still on its way
            # here finds the session active, and is looked at then.
            if self._sessions.at_hand and changes == self.changes and self.noticing.is_set():
                self._known[session.id] = session
        elif not _same(known, session):
            del self._known[session.id]
            self._happened.set()

    # -- with a stream of changes

    async def _follow(self) -> None:
        reader = asyncio.create_task(self._read_changes())
        reader.add_done_callback(lambda task: self._happened.set())
        try:
            while not reader.done():
                # Woken by a change, or to look at sessions that have become active.
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
        active = set(self._active())
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
            self._note_up("stream")

    # -- without

    async def _poll(self, duration: float) -> None:
        ends = time.monotonic() + duration
        while time.monotonic() < ends:
            started = time.monotonic()
            active = set(self._active())
            self._prune(active)
            await self._look_at_homes()
            fresh = active - self._known.keys()
            reloaded = fresh | self._in_turn(active)
            gone = await self._reload(reloaded) | await self._find_missing(active - reloaded)
            over = await self._judge(gone, active)
            if over:
                await self._forget_and_end(over, "SESSION_NOT_FOUND")
            self._note_up("polling")
            await asyncio.sleep(max(0.0, started + self._interval - time.monotonic()))

    async def _find_missing(self, ids: Collection[str]) -> set[str]:
        rest = iter(ids)
        missing: set[str] = set()
        while chunk := set(islice(rest, CHUNK)):
            missing |= chunk - await self._sessions.store.existing(chunk)
        return missing

    # -- a store that has lost its sessions

    async def _look_at_homes(self) -> None:
        """Which instances answer, before a look at what they have: one that comes in between is another one then."""
        if time.monotonic() < self._homes_due and self.mode == "polling":
            return
        self._homes = None
        with contextlib.suppress(StoreUnavailable):  # whether the store answers is found out by what follows
            self._homes = await self._sessions.store.homes()
            self._homes_due = time.monotonic() + LOOK_AT_HOMES

    async def _judge(self, gone: set[str], active: Collection[str]) -> set[str]:
        """Which of the sessions that are gone are over."""
        sessions = self._sessions
        before = sessions.homes
        fresh = gone - sessions.loss.lost
        now: Homes | None = None
        if fresh and before is not None:
            try:
                now = await sessions.store.homes()
            except StoreUnavailable:
                return gone - fresh - await self._keep_lost(gone)  # not known now, so nobody is ended
        if now is not None and before is not None:
            homes = {session_id: before(session_id) for session_id in active}
            lost = find_lost(homes, now, fresh, active)
            moved = {one for one in fresh if homes[one] and now(one) and homes[one] != now(one)}
            if not lost and moved and await sessions.look_for_loss():
                lost = moved  # too few here to tell, and another server has
            if lost:
                self._remembered.update((one, self._known[one]) for one in lost if one in self._known)
                await sessions.begin_loss(lost)
                self._homes = now
            elif moved and self._waits_for_others():
                return gone - moved - await self._keep_lost(gone)
        self._undecided_since = None
        if self._homes is not None:
            sessions.homes = self._homes
        return gone - await self._keep_lost(gone)

    def _waits_for_others(self) -> bool:
        now = time.monotonic()
        if self._undecided_since is None:
            self._undecided_since = now
        return now - self._undecided_since < WAIT_FOR_OTHERS

    async def _keep_lost(self, gone: set[str]) -> set[str]:
        """Those of the lost sessions whose connections go on."""
        sessions = self._sessions
        kept = sessions.loss.keep(gone)
        kept -= await sessions.revoked_in_loss(kept, self._remembered)
        if len(kept) != self._told_lost:
            self._tell_lost(len(kept))
        self._remembered = {one: self._remembered[one] for one in kept if one in self._remembered}
        return kept

    def _tell_lost(self, count: int) -> None:
        if not self._told_lost:
            log.warning(
                "the session store has lost its sessions: connections go on, new ones are put off",
                store=self._sessions.store.name,
                sessions=count,
                seconds=round(max(0.0, self._sessions.loss.until - self._clock())),
            )
        elif not count:
            log.warning("sessions that the store has lost are over, or there again", store=self._sessions.store.name)
        self._told_lost = count
        self._on_loss(count)

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
            outdated = [session.id for session in found if self._is_less(session)]
            if outdated:
                await self._sessions.refresh(outdated)
            for session in found:
                await self._note(session)
        return missing

    def _is_less(self, session: Session) -> bool:
        """Whether a cache must not answer with what was known of a session."""
        known = self._known.get(session.id)
        return known is not None and (known.user != session.user or session.expires_at < known.expires_at - SAME_END)

    async def _note(self, session: Session) -> None:
        known = self._known.get(session.id)
        held = self._holds(session)
        if known is not None and _same(known, session) and held:
            return
        self._known[session.id] = session
        if not held and self._sessions.has_users:  # the cache that let them in would let the next in too
            await self._sessions.forget_users([session.user.id])
        try:
            await self._on_changed(session)
        except Exception:
            log.exception("taking over a changed session failed")

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
        if code == "SESSION_NOT_FOUND":  # a store deletes what is over by itself
            soon = self._clock() + SAME_END
            expired = {session_id for session_id in ids if session_id in self._known and self._ends(session_id) <= soon}
        for session_id in ids:
            self._known.pop(session_id, None)
        for some, why in ((ids - expired, code), (expired, "SESSION_EXPIRED")):
            if some:
                try:
                    await self._on_ended(some, why)
                except Exception:
                    log.exception("ending sessions failed")

    def _ends(self, session_id: str) -> float:
        return self._known[session_id].expires_at

    def _prune(self, active: Collection[str]) -> None:
        for session_id in self._known.keys() - active:
            del self._known[session_id]

    def _note_up(self, mode: Mode) -> None:
        self._backoff = FIRST_BACKOFF
        if self.mode != mode:
            log.info("session changes are noticed", store=self._sessions.store.name, by=mode)
        if self._is_down or self.mode == "starting":
            self._on_store(True)
        self._is_down = False
        self.mode = mode
        self.noticing.set()

    def _note_down(self, fields: Mapping[str, str]) -> None:
        self.noticing.clear()
        self._remembered.update(self._known)
        self._known.clear()  # when it is back, everything is checked
        if not self._is_down:
            self._is_down = True
            log.warning("session store unavailable", store=self._sessions.store.name, **fields)
            self._on_store(False)
        self.mode = "down"


def _same(one: Session, other: Session) -> bool:
    # Redis tells the time left, not the end.
    return one.user == other.user and abs(one.expires_at - other.expires_at) < SAME_END
