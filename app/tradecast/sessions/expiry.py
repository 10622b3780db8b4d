"""The ends of live sessions, with one timer for all of them."""

from __future__ import annotations

import asyncio
import heapq
import math
import time
from collections.abc import Callable, Collection
from typing import Protocol

import structlog

from tradecast.background.tasks import TaskSet

SLOTS_PER_SECOND = 4
LONGEST_SLEEP = 30.0
SPARE_SLOTS = 64
log = structlog.stdlib.get_logger("tradecast.auth.expiry")


class ExpiryListener(Protocol):
    """Receives sessions that have reached their end."""

    async def check_expired(self, session_ids: Collection[str]) -> None:
        """These have reached their end and are no longer watched.

        A store may have extended them without notice: look them up, and watch those again.
        """
        ...


class SessionExpiry:
    """Reports watched sessions when they end: not before, and at most 0.25 s and the loop's own delay after.

    Deadlines are rounded up to slots of 0.25 s, and all sessions of a slot are reported at once. The timer reads the
    clock at least every 30 s, so that a clock that was set, or a machine that slept, does not matter for longer.

    Args:
        listener: Receives the ids of expired sessions.
        clock: Unix time in seconds.
    """

    def __init__(self, listener: ExpiryListener, clock: Callable[[], float] = time.time) -> None:
        self._listener = listener
        self._clock = clock
        self._slot_of: dict[str, int] = {}
        self._due_of: dict[str, int] = {}  # of those whose end was moved back, behind their slot
        self._slots: dict[int, set[str]] = {}
        self._order: list[int] = []  # a heap of the slots that there are
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = math.inf
        self._calls = TaskSet()
        self._closed = False

    def __len__(self) -> int:
        return len(self._slot_of)

    def watch(self, session_id: str, expires_at: float) -> None:
        """Report a session when it ends, at Unix time `expires_at` in seconds; replaces the end given before."""
        slot = math.ceil(expires_at * SLOTS_PER_SECOND)
        filed = self._slot_of.get(session_id)
        if filed is not None and filed <= slot:
            # Moved on when its slot comes: a session that is touched all day would leave a slot behind each time.
            if filed < slot:
                self._due_of[session_id] = slot
            return
        self.unwatch(session_id)
        self._file(session_id, slot)
        self._set_timer()

    def _file(self, session_id: str, slot: int) -> None:
        self._slot_of[session_id] = slot
        ids = self._slots.get(slot)
        if ids is None:
            ids = self._slots[slot] = set()
            heapq.heappush(self._order, slot)
        ids.add(session_id)

    def unwatch(self, session_id: str) -> None:
        """Do not report a session any more."""
        slot = self._slot_of.pop(session_id, None)
        if slot is None:
            return
        self._due_of.pop(session_id, None)
        self._slots[slot].discard(session_id)
        if not self._slots[slot]:
            del self._slots[slot]
            if len(self._order) > 2 * len(self._slots) + SPARE_SLOTS:
                self._order = sorted(self._slots)  # sorted is a heap

    async def close(self) -> None:
        """Report nothing any more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        await self._calls.close()

    def _set_timer(self) -> None:
        if self._closed or not self._order:
            return
        now = self._clock()
        at = min(self._order[0] / SLOTS_PER_SECOND, now + LONGEST_SLEEP)
        if self._timer is not None:
            if self._wakes_at <= at:
                return
            self._timer.cancel()
        self._wakes_at = at
        self._timer = asyncio.get_running_loop().call_later(max(0.0, at - now), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._wakes_at = math.inf
        due = self._clock() * SLOTS_PER_SECOND
        expired: set[str] = set()
        while self._order and self._order[0] <= due:
            slot = heapq.heappop(self._order)
            for session_id in self._slots.pop(slot, ()):
                later = self._due_of.pop(session_id, 0)
                if later > due:
                    self._file(session_id, later)
                else:
                    del self._slot_of[session_id]
                    expired.add(session_id)
        if expired:
            self._calls.spawn(self._call(expired))
        self._set_timer()

    async def _call(self, expired: Collection[str]) -> None:
        try:
            await self._listener.check_expired(expired)
        except Exception:
            log.exception("ending expired sessions failed")
