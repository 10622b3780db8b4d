"""Whether the store has lost its sessions, and which of them were revoked since: what this server and others know."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from typing import Final

from tradecast.sessions.admin import make_handle
from tradecast.sessions.errors import StoreUnavailable
from tradecast.sessions.loss.marks import EVERYTHING, StoreMarks, name_handle, name_session, name_user
from tradecast.sessions.loss.mass_loss import LONGEST, MassLoss
from tradecast.sessions.models import Session
from tradecast.sessions.stores.base import Instances, SessionStore

# Seconds that clocks may differ: a revocation that was marked so long before a loss counts.
SKEW: Final = 60.0
# Of so many sessions that clients have connected with, it is remembered which instance of the store had them.
KEPT_READS: Final = 10_000


class LossTracker:
    """Keeps a loss in step with the other servers, and says what a missing session means.

    Args:
        store: Where the sessions are.
        marks: What servers write for each other; None for a store that cannot lose all its sessions.
        clock: Unix time in seconds.

    Attributes:
        state: The loss, as far as is known here.
        instances: Which instances of the store kept which session at the last poll; None: not known.
    """

    def __init__(self, store: SessionStore, marks: StoreMarks | None, clock: Callable[[], float] = time.time) -> None:
        self.state = MassLoss(clock=clock)
        self.instances: Instances | None = None
        self._store = store
        self._marks = marks
        self._clock = clock
        self._read_in: OrderedDict[str, str] = OrderedDict()

    def note_read(self, session_id: str) -> None:
        """The store has just answered with this session."""
        if self.instances is None:
            return
        self._read_in[session_id] = self.instances(session_id)
        self._read_in.move_to_end(session_id)
        if len(self._read_in) > KEPT_READS:
            self._read_in.popitem(last=False)

    def was_read(self, session_id: str) -> bool:
        """Whether a client's session was read from the instance of the store that was there at the last poll."""
        return self.instances is not None and self._read_in.get(session_id) == self.instances(session_id)

    async def begin(self, lost: Collection[str]) -> None:
        """The store has lost these. All servers receive that it has lost sessions."""
        until = self.state.until if self.state.active else self._clock() + LONGEST
        if self._marks is not None:
            until = await self._marks.mark_lost(until)
        self.state.begin(lost, until)

    async def find_loss(self) -> bool:
        """Whether the store has lost its sessions, as this or another server has found out."""
        if not self.state.active and self._marks is not None and (until := await self._marks.lost_until()) is not None:
            self.state.begin((), until)
        return self.state.active

    async def find_revoked(self, ids: Collection[str], known: Mapping[str, Session]) -> set[str]:
        """Which of these lost sessions were revoked since, by whichever server or program.

        Args:
            ids: Sessions that the store has lost.
            known: What is remembered of them, for revocations of all sessions of a user.
        """
        if self._marks is None or not ids:
            return set()
        by_name: dict[str, set[str]] = {}
        for session_id in ids:
            names = [name_session(session_id), name_handle(make_handle(session_id))]
            if session_id in known:
                names.append(name_user(known[session_id].user.id))
            for name in names:
                by_name.setdefault(name, set()).add(session_id)
        found = await self._marks.revoked([EVERYTHING, *by_name], self.state.until - LONGEST - SKEW)
        if EVERYTHING in found:
            self.state.end()
            return set(ids)
        return set().union(*(by_name[name] for name in found))

    async def check_missing(self, session_id: str) -> None:
        """A session is not in the store.

        Raises:
            StoreUnavailable: That does not say whether it has ended: the store may have lost it.
        """
        if self._marks is None:
            return
        if not await self.find_loss():
            now, before = await self._store.instances(), self.instances
            if now is None or before is None or now(session_id) == before(session_id):
                return
            raise StoreUnavailable("another instance of the store has just taken over")
        if not await self.find_revoked([session_id], {}):
            raise StoreUnavailable("the store has lost its sessions")

    async def mark_revoked(
        self, ids: Collection[str] = (), *, user_id: str | None = None, handle: str | None = None
    ) -> None:
        """Mark sessions as revoked, those included that the store has lost: by ids, by user, or by handle."""
        if self._marks is None:
            return
        names = [name_session(session_id) for session_id in ids]
        if user_id is not None:
            names.append(name_user(user_id))
        if handle is not None:
            names.append(name_handle(handle))
        await self._marks.revoke(names)

    async def mark_all_revoked(self) -> None:
        """Mark all sessions as revoked; no loss is known of any more."""
        if self._marks is not None:
            await self._marks.revoke_all()
        self.state.end()
