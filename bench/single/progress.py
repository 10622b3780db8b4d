"""What is being done now, and what has come of it, for the person who waits."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable


class Progress:
    """Lines on standard output; what is under way is one that changes, where that is a terminal."""

    def __init__(self, total: int) -> None:
        self._tty = sys.stdout.isatty()
        self._total = total
        self._done = 0
        self._begun = time.monotonic()

    def of(self, what: str) -> Callable[[str], None]:
        """To be told the steps of `what` as they begin."""
        return lambda step: self.now(f"{what}: {step}")

    def now(self, text: str) -> None:
        """Show what begins."""
        if self._tty:
            print(f"\r\033[K{text} …", end="", flush=True)

    def done(self, text: str) -> None:
        """Show a result, and how long all of it may still take."""
        self._done += 1
        left = (time.monotonic() - self._begun) / self._done * (self._total - self._done)
        line = f"{text} ({self._done} of {self._total}, {left / 60:.0f} min left)"
        print(f"\r\033[K{line}" if self._tty else line, flush=True)
