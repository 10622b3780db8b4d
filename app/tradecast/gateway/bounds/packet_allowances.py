"""How many packets each transport may send, counted before anything is done for one of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from tradecast.engine.budget import TokenBucket

# At once. A client sends what it had buffered while it was away in one go: 1,000 events, and as many acknowledgements,
# have to pass, even if most of them are then answered RATE_LIMITED.
BURST: Final = 2_000
# In the long run: six times what RATE_LIMIT_GLOBAL lets through by default, so that nobody is cut off who is merely
# over a limit. Each packet beyond the limits costs some 20 µs to refuse: 100 a second are 0.2 % of a core.
PER_SECOND: Final = 100.0


class PacketAllowances:
    """Counts the packets of all transports. One that sends nothing but CONNECT costs nothing.

    Args:
        burst: Packets at once.
        per_second: Packets in the long run.
        clock: Seconds that never go back.
    """

    __slots__ = ("_burst", "_clock", "_of", "_per_second")

    def __init__(
        self, burst: int = BURST, per_second: float = PER_SECOND, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst = burst
        self._per_second = per_second
        self._clock = clock
        self._of: dict[str, TokenBucket] = {}

    def __len__(self) -> int:
        """Transports that have sent something."""
        return len(self._of)

    def spend(self, eio_sid: str) -> bool:
        """Count one packet; False if that is too many."""
        allowance = self._of.get(eio_sid)
        if allowance is None:
            allowance = self._of[eio_sid] = TokenBucket(self._burst, self._clock())
        if allowance.left < 1 and not allowance.refill(self._burst, self._per_second, self._clock()):
            return False
        allowance.left -= 1
        return True

    def refund(self, eio_sid: str) -> None:
        """Do not count a packet after all: the server had asked for it."""
        allowance = self._of.get(eio_sid)
        if allowance is not None:
            allowance.left += 1

    def forget(self, eio_sid: str) -> None:
        """A transport is gone."""
        self._of.pop(eio_sid, None)
