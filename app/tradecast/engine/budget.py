"""What a client may send of frames that are no messages: heartbeats of its own, and their answers."""

from __future__ import annotations

import time
from typing import Final

# WebSocket libraries ping every 20 seconds or so.
BURST: Final = 60
PER_SECOND: Final = 10


class ControlBudget:
    """Counts control frames of one client; made with the first one, since hardly any client sends one.

    Attributes:
        pong: The payload of the newest ping that is not answered yet (RFC 6455 §5.5.3: older ones need no answer).
    """

    __slots__ = ("_at", "_left", "pong")

    def __init__(self) -> None:
        self._at = time.monotonic()
        self._left = float(BURST)
        self.pong: bytes | None = None

    def spend(self) -> bool:
        """Count one frame; False if that is too many."""
        if self._left < 1:
            now = time.monotonic()
            self._left = min(BURST, self._left + (now - self._at) * PER_SECOND)
            self._at = now
            if self._left < 1:
                return False
        self._left -= 1
        return True
