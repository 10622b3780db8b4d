"""Lets some messages wait for others for a moment, so that several reach a client in one write."""

from __future__ import annotations

import asyncio
from typing import Protocol


class Flushable(Protocol):
    """A transport that has something to write at the end of this turn of the event loop, or of a window."""

    def flush(self) -> None: ...


class Windows:
    """Flushes transports whose messages have waited long enough: one timer for all clients.

    A message waits until the window closes in which it came, so mostly for less than it may.
    """

    __slots__ = ("_due", "_timer", "_waiting")

    def __init__(self) -> None:
        self._waiting: list[Flushable] = []
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def add(self, transport: Flushable, seconds: float) -> None:
        """Flush a transport within so many seconds. It may be flushed earlier, for another message."""
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        if self._timer is None or due < self._due:
            self.close()
            self._due = due
            self._timer = loop.call_at(due, self.flush)
        self._waiting.append(transport)

    def flush(self) -> None:
        """Flush all that wait."""
        self.close()
        waiting, self._waiting = self._waiting, []
        for transport in waiting:
            transport.flush()

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
