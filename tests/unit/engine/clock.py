"""An event loop whose time passes only when a test says so, and which can stall."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import Any


class Handle:
    """What `call_at` returns."""

    def __init__(self, call: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        self._call = call
        self._arguments = arguments
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def run(self) -> None:
        if not self.cancelled:
            self._call(*self._arguments)


class Clock:
    """The part of an event loop that timers use.

    Put it in the place of the running loop with `monkeypatch.setattr(asyncio, "get_running_loop", lambda: clock)`.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self._numbers = itertools.count()
        self._timers: list[tuple[float, int, Handle]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[..., object], *arguments: Any) -> Handle:
        handle = Handle(call, arguments)
        heapq.heappush(self._timers, (when, next(self._numbers), handle))
        return handle

    def call_later(self, delay: float, call: Callable[..., object], *arguments: Any) -> Handle:
        return self.call_at(self.now + delay, call, *arguments)

    def call_soon(self, call: Callable[..., object], *arguments: Any) -> Handle:
        return self.call_at(self.now, call, *arguments)

    @property
    def waiting(self) -> int:
        """How many timers wait."""
        return sum(not handle.cancelled for _, _, handle in self._timers)

    def advance(self, seconds: float) -> None:
        """Let time pass; each timer is called when it is due."""
        until = self.now + seconds
        while self._timers and self._timers[0][0] <= until:
            when, _, handle = heapq.heappop(self._timers)
            self.now = max(self.now, when)
            handle.run()
        self.now = until

    def stall(self, seconds: float) -> None:
        """Let time pass in which the loop does not run; timers that are due are called once, late."""
        self.now += seconds
        due = []
        while self._timers and self._timers[0][0] <= self.now:
            due.append(heapq.heappop(self._timers)[2])
        for handle in due:
            handle.run()
