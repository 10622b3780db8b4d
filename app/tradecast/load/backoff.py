"""How long a standard Socket.IO client waits before it tries to connect again."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """socket.io-client's reconnection options with its defaults, in seconds.

    https://socket.io/docs/v4/client-options/#reconnectiondelay and `contrib/backo2.js` in socket.io-client 4.8.
    """

    delay: float = 1.0
    delay_max: float = 5.0
    randomization: float = 0.5

    def wait(self, attempt: int, draw: random.Random) -> float:
        """Seconds to wait before attempt `attempt`, counted from 0."""
        # past 2**30 the delay is at its maximum anyway
        wait = self.delay * 2.0 ** min(attempt, 30)
        wait += (2 * draw.random() - 1) * self.randomization * wait
        return min(wait, self.delay_max)
