"""Decides of sessions that are missing at a poll whether they have ended, or the store has lost them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Mapping
from typing import Final, Protocol

import structlog

from tradecast.sessions.errors import StoreUnavailable
from tradecast.sessions.loss.mass_loss import find_lost
from tradecast.sessions.loss.tracker import LossTracker
from tradecast.sessions.models import Session
from tradecast.sessions.stores.base import Instances, SessionStore

# Seconds between two reads of which instances of the store answer, and for which a server with few sessions waits for
# another one to find out whether they are lost.
READ_INSTANCES_EVERY: Final = 5.0
WAIT_FOR_OTHERS: Final = 2.0
log = structlog.stdlib.get_logger("tradecast.auth.revocation")


class LossObserver(Protocol):
    """Receives how many sessions are lost."""

    def sessions_lost(self, count: int) -> None:
        """The store has lost so many sessions that have a connection here; 0: no longer."""
        ...


class LiveCopies(Protocol):
    """The sessions of live connections, as they were when these were accepted."""

    def find_session(self, session_id: str) -> Session | None:
        """The copy that a connection here has."""
        ...


class LossDetector:
    """Compares which instances kept the sessions before and now.

    Args:
        store: Where the sessions are.
        live: The sessions that have a connection here.
        tracker: Keeps a loss in step with the other servers.
        observer: Receives the number of lost sessions.
        clock: Unix time in seconds.
    """

    def __init__(
        self,
        store: SessionStore,
        live: LiveCopies,
        tracker: LossTracker,
        observer: LossObserver,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._live = live
        self._tracker = tracker
        self._observer = observer
        self._clock = clock
        self._reported_lost = 0
        self._instances: Instances | None = None  # as they were before the poll that is under way
        self._instances_due = 0.0
        self._undecided_since: float | None = None
        self._last_known: dict[str, Session] = {}

    async def read_instances(self, *, force: bool) -> None:
        """Read which instances answer, before a poll: one that takes over in between then counts as another one.

        Every 5 s at most, unless `force`.
        """
        if time.monotonic() < self._instances_due and not force:
            return
        self._instances = None
        with contextlib.suppress(StoreUnavailable):  # whether the store answers is found out by what follows
            self._instances = await self._store.instances()
            self._instances_due = time.monotonic() + READ_INSTANCES_EVERY

    async def find_ended(self, gone: set[str], active: Collection[str], known: Mapping[str, Session]) -> set[str]:
        """Which of the missing sessions have ended, and are not lost by the store.

        Args:
            gone: Sessions with connections here that the store does not have.
            active: All sessions with connections here.
            known: What is known of those that were there at the last poll.
        """
        before = self._tracker.instances
        fresh = gone - self._tracker.state.lost
        if before is not None:
            unseen = fresh - known.keys() - self._last_known.keys()
            fresh -= await self._keep_unseen({one for one in unseen if not self._tracker.was_read(one)})
        now: Instances | None = None
        if fresh and before is not None:
            try:
                now = await self._store.instances()
            except StoreUnavailable:
                return gone - fresh - await self._keep_lost(gone)  # not known now, so none of these is ended
        if now is not None and before is not None:
            kept_in = {session_id: before(session_id) for session_id in active}
            lost = find_lost(kept_in, now, fresh, active)
            moved = {one for one in fresh if kept_in[one] and now(one) and kept_in[one] != now(one)}
            if not lost and moved and await self._tracker.find_loss():
                lost = moved  # too few here to decide, and another server has decided
            if lost:
                self.remember({one: known[one] for one in lost if one in known})
                await self._tracker.begin(lost)
                self._instances = now
            elif moved and self._waits_for_others():
                return gone - moved - await self._keep_lost(gone)
        self._undecided_since = None
        if self._instances is not None:
            self._tracker.instances = self._instances
        return gone - await self._keep_lost(gone)

    def remember(self, known: Mapping[str, Session]) -> None:
        """Keep what is known of sessions that may be lost: a revocation may name their user."""
        self._last_known.update(known)

    async def _keep_unseen(self, unseen: set[str]) -> set[str]:
        """The missing sessions that count as lost, of those that this instance of the store was never seen to have.

        Their clients were connecting when it happened: the session was read before, and the connection registered
        after. (Or a cache let them in.) A moment later they would have been deferred (`LossTracker.check_missing`),
        and not refused for good.
        """
        if not unseen or not await self._tracker.find_loss():
            return set()
        self.remember({one: session for one in unseen if (session := self._live.find_session(one)) is not None})
        self._tracker.state.begin(unseen)
        return unseen

    def _waits_for_others(self) -> bool:
        now = time.monotonic()
        if self._undecided_since is None:
            self._undecided_since = now
        return now - self._undecided_since < WAIT_FOR_OTHERS

    async def _keep_lost(self, gone: set[str]) -> set[str]:
        """The lost sessions whose connections continue."""
        kept = self._tracker.state.keep(gone)
        kept -= await self._tracker.find_revoked(kept, self._last_known)
        if len(kept) != self._reported_lost:
            self._report_lost(len(kept))
        self._last_known = {one: self._last_known[one] for one in kept if one in self._last_known}
        return kept

    def _report_lost(self, count: int) -> None:
        if not self._reported_lost:
            log.warning(
                "the session store has lost its sessions: connections continue, new ones are deferred",
                store=self._store.name,
                sessions=count,
                seconds=round(max(0.0, self._tracker.state.until - self._clock())),
            )
        elif not count:
            log.warning("the lost sessions have expired or are in the store again", store=self._store.name)
        self._reported_lost = count
        self._observer.sessions_lost(count)
