"""How much of what clients have sent is read in one turn of the event loop: one client's flood slows only itself."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final, Protocol

# Of one client in one turn. A message that is larger is read whole.
BYTES_PER_TURN: Final = 16_384
PACKETS_PER_TURN: Final = 32
# Fragments of messages cost as much as small messages, and are no packets yet.
FRAMES_PER_TURN: Final = 128
# Seconds of one turn for all clients together who have sent more than their share.
SECONDS_PER_TURN: Final = 0.005


class Reading(Protocol):
    """A transport with bytes that are not read yet."""

    def read_on(self) -> bool:
        """Read one more share; whether there is more."""
        ...


class Turns:
    """Has those who have sent more than their share read on by turns, and gives way in between.

    Those who send one small packet at a time do not come here, and wait for one round of 5 ms at most.
    """

    __slots__ = ("_scheduled", "_until", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[Reading] = deque()
        self._scheduled = False
        # When the time of this turn ends; 0: it has not begun.
        self._until = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    def has_time(self) -> bool:
        """Whether somebody may read a share now, in this turn; else: `wait`."""
        now = time.monotonic()
        if not self._until:
            self._until = now + SECONDS_PER_TURN
            self._schedule()
        return now < self._until

    def wait(self, reading: Reading) -> None:
        """Have it read on in the next turn. To be called once, until its `read_on` says that there is no more."""
        self._waiting.append(reading)
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._continue)

    def _continue(self) -> None:
        self._scheduled = False
        self._until = 0.0
        waiting = self._waiting
        if not waiting:
            return
        self.has_time()
        for _ in range(len(waiting)):
            reading = waiting.popleft()
            if reading.read_on():
                waiting.append(reading)
            if time.monotonic() >= self._until:
                break
