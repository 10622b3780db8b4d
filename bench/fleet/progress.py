"""What is being done now, and what has come of it, for the person who waits."""

from __future__ import annotations

import sys


class Progress:
    """What is being done now, and what has come of it."""

    def __init__(self) -> None:
        self._tty = sys.stdout.isatty()

    def now(self, text: str) -> None:
        """Show what begins."""
        print(f"\r\033[K{text} …" if self._tty else f"{text} …", end="" if self._tty else "\n", flush=True)

    def done(self, text: str) -> None:
        """Show a result."""
        print(f"\r\033[K{text}" if self._tty else text, flush=True)
