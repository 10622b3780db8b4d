"""One timer for all connections: a wheel whose slots hold what falls due in the same tick.

A `loop.call_later` for each connection costs a heap operation and 200 bytes; moving an entry from slot to slot costs
two set operations.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

# Seconds. The longest tick, however long the timeouts are.
LONGEST_TICK = 1.0
log = logging.getLogger("tradecast.engine")


class Timed(Protocol):
    """What waits on a wheel.

    Attributes:
        slot: Where it waits; the wheel writes this. -1: nowhere.
    """

    slot: int

    def on_due(self, *, stalled: bool) -> None:
        """Its time has come, up to a tick early.

        Args:
            stalled: The event loop did not run for more than a tick, so what has arrived has perhaps not been read.
        """
        ...


class TimerWheel:
    """Calls `on_due` of each entry once, at the last tick within its delay.

    Args:
        shortest: Seconds of the shortest delay that has to be kept to; the tick is a tenth of it at most.
        longest: Seconds of the longest delay.
    """

    __slots__ = ("_count", "_handle", "_loop", "_next", "_position", "_slots", "tick")

    def __init__(self, shortest: float, longest: float) -> None:
        self.tick = min(shortest / 10, LONGEST_TICK)
        self._slots: list[set[Timed]] = [set() for _ in range(int(longest / self.tick) + 2)]
        self._position = 0
        self._count = 0
        self._next = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handle: asyncio.TimerHandle | None = None

    def schedule(self, entry: Timed, delay: float) -> None:
        """Call the entry once, `delay` seconds from now or up to a tick earlier; a second call moves it."""
        if self._handle is None:
            self._begin()
        assert self._loop is not None  # noqa: S101 set by _begin
        since = self._loop.time() - self._next + self.tick  # the last tick
        steps = min(max(int((since + delay) / self.tick), 1), len(self._slots) - 1)
        slot = (self._position + steps) % len(self._slots)
        if entry.slot >= 0:
            self._slots[entry.slot].discard(entry)
        else:
            self._count += 1
        self._slots[slot].add(entry)
        entry.slot = slot

    def remaining(self, entry: Timed) -> float:
        """Seconds until an entry is due, about; 0 if it does not wait."""
        return (entry.slot - self._position) % len(self._slots) * self.tick if entry.slot >= 0 else 0.0

    def cancel(self, entry: Timed) -> None:
        """Do not call the entry; nothing happens if it does not wait."""
        if entry.slot >= 0:
            self._slots[entry.slot].discard(entry)
            entry.slot = -1
            self._count -= 1

    @property
    def is_behind(self) -> bool:
        """Whether the event loop has stood still, and what fell due meanwhile was not called yet."""
        return self._loop is not None and self._handle is not None and self._loop.time() - self._next > self.tick

    def close(self) -> None:
        """Call nobody any more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _begin(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._next = self._loop.time() + self.tick
        self._handle = self._loop.call_at(self._next, self._turn)

    def _turn(self) -> None:
        assert self._loop is not None  # noqa: S101 set by _begin
        now = self._loop.time()
        stalled = now - self._next > self.tick
        due: list[Timed] = []
        while self._next <= now:
            self._position = (self._position + 1) % len(self._slots)
            due += self._slots[self._position]
            self._slots[self._position] = set()
            self._next += self.tick
        self._count -= len(due)
        for entry in due:
            entry.slot = -1
        # Called behind all ticks that were missed: what an entry schedules again waits for a real tick.
        for entry in due:
            try:
                entry.on_due(stalled=stalled)
            except Exception:
                log.exception("a timer failed")
        if self._count:
            self._handle = self._loop.call_at(self._next, self._turn)
        else:
            self._handle = None
