"""Transports that have to do something within a fixed time, with one timer for all of them."""

from __future__ import annotations

import asyncio
from typing import Protocol


class Late(Protocol):
    """Told of a transport whose time is over."""

    def __call__(self, eio_sid: str, /) -> None: ...


class Deadlines:
    """All have the same time, so they fall due in the order in which they were added.

    Args:
        seconds: How long.
        on_late: Called with each one that was not removed in time.
    """

    __slots__ = ("_on_late", "_seconds", "_timer", "_waiting")

    def __init__(self, seconds: float, on_late: Late) -> None:
        self._seconds = seconds
        self._on_late = on_late
        self._waiting: dict[str, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, eio_sid: str) -> None:
        """Its time begins, anew if it had begun."""
        self._waiting.pop(eio_sid, None)
        loop = asyncio.get_running_loop()
        self._waiting[eio_sid] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._look)

    def remove(self, eio_sid: str) -> None:
        """It has done what it had to, or is gone."""
        self._waiting.pop(eio_sid, None)

    def close(self) -> None:
        """Call nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        now = loop.time()
        late = []
        for eio_sid, until in self._waiting.items():
            if until > now:
                self._timer = loop.call_at(until, self._look)
                break
            late.append(eio_sid)
        for eio_sid in late:
            del self._waiting[eio_sid]
        for eio_sid in late:
            self._on_late(eio_sid)
