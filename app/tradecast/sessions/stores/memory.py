"""Sessions in this process's memory: single-server mode without any service. They are gone when it ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Any

import orjson

from tradecast.sessions.documents.document import decode_data
from tradecast.sessions.stores.base import Instances, SessionChange, SessionRecord

SWEEP_EVERY = 60.0


class MemoryStore:
    """The session store of a server that has neither Redis nor MongoDB.

    Args:
        clock: Unix time in seconds.
    """

    name = "memory"
    is_local = True

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        # As JSON: what was saved cannot be changed from outside, and reads back as it would from another store.
        self._sessions: dict[str, tuple[bytes, float]] = {}
        self._watchers: set[asyncio.Queue[SessionChange]] = set()
        self._next_sweep = 0.0

    async def load(self, ids: Collection[str]) -> dict[str, SessionRecord]:
        return {session_id: self._read_record(session_id) for session_id in ids if session_id in self._sessions}

    async def existing(self, ids: Collection[str]) -> set[str]:
        return {session_id for session_id in ids if session_id in self._sessions}

    async def save(self, session_id: str, data: Mapping[str, Any], expires_at: float) -> None:
        self._sweep()
        is_new = session_id not in self._sessions
        self._sessions[session_id] = (orjson.dumps(data), expires_at)
        if not is_new:
            self._notify_watchers(SessionChange(session_id, "updated"))

    async def delete(self, ids: Sequence[str]) -> int:
        return self._delete(ids)

    async def list(self) -> AsyncIterator[SessionRecord]:
        for session_id in tuple(self._sessions):
            if session_id in self._sessions:
                yield self._read_record(session_id)

    async def supports_changes(self) -> bool:
        return True

    async def changes(self) -> AsyncGenerator[SessionChange, None]:
        queue: asyncio.Queue[SessionChange] = asyncio.Queue()
        self._watchers.add(queue)
        try:
            yield SessionChange(None, "updated")
            while True:
                yield await queue.get()
        finally:
            self._watchers.discard(queue)

    async def instances(self) -> Instances | None:
        return None

    async def ping(self) -> None:
        """Memory always answers."""

    async def close(self) -> None:
        self._sessions.clear()

    def _read_record(self, session_id: str) -> SessionRecord:
        text, expires_at = self._sessions[session_id]
        return SessionRecord(session_id, decode_data(text), expires_at)

    def _delete(self, ids: Collection[str]) -> int:
        deleted = [session_id for session_id in ids if self._sessions.pop(session_id, None) is not None]
        for session_id in deleted:
            self._notify_watchers(SessionChange(session_id, "deleted"))
        return len(deleted)

    def _sweep(self) -> None:
        now = self._clock()
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP_EVERY
            self._delete([session_id for session_id, (_, end) in self._sessions.items() if end <= now])

    def _notify_watchers(self, change: SessionChange) -> None:
        for queue in self._watchers:
            queue.put_nowait(change)
