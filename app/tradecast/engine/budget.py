"""What a client may send: so much at once, and so much a second in the long run."""

from __future__ import annotations

import time
from typing import Final

# Control frames. WebSocket libraries ping every 20 seconds or so.
BURST: Final = 60
PER_SECOND: Final = 10


class TokenBucket:
    """What may still be spent. It is refilled, and the clock read for that, only when it is used up.

    So one that was left alone for long may be spent twice in a row.

    Attributes:
        left: What may be spent.
    """

    __slots__ = ("_since", "left")

    def __init__(self, burst: float, now: float) -> None:
        self.left = burst
        self._since = now

    def refill(self, burst: float, per_second: float, now: float) -> bool:
        """Add what the time since the last refill brings, up to `burst`; whether one may be spent."""
        self.left = min(burst, self.left + (now - self._since) * per_second)
        self._since = now
        return self.left >= 1


class ControlBudget(TokenBucket):
    """Counts control frames of one client; made with the first one, since hardly any client sends one.

    Attributes:
        discarded: Bytes that came behind our close frame.
    """

    __slots__ = ("discarded",)

    def __init__(self) -> None:
        super().__init__(BURST, time.monotonic())
        self.discarded = 0

    def spend(self) -> bool:
        """Count one frame; False if that is too many."""
        if self.left < 1 and not self.refill(BURST, PER_SECOND, time.monotonic()):
            return False
        self.left -= 1
        return True
