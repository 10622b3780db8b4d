"""Log lines that clients can cause as often as they like: a few of each kind, then one a minute."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, Protocol

# Lines of a kind that are written as they come; then one every so many seconds, which has how many were left out.
BURST: Final = 20
EVERY: Final = 60.0
# Kinds are sentences and codes of our own, and few; the bound is for the day on which that is no longer so.
MOST_KINDS: Final = 100


class LeftOutObserver(Protocol):
    """Receives what is not written."""

    def log_line_left_out(self) -> None:
        """A line was not written, since there were many of its kind."""
        ...


class Unobserved(LeftOutObserver):
    """Nobody is interested."""

    def log_line_left_out(self) -> None:
        """Nothing."""


class ThrottledLog:
    """Writes lines at most one a minute and kind, once a few of that kind have been written.

    Args:
        observer: Gets each line that is not written.
        clock: Seconds that never go back.
        burst: Lines of a kind that are written as they come.
    """

    def __init__(
        self,
        observer: LeftOutObserver | None = None,
        clock: Callable[[], float] = time.monotonic,
        burst: int = BURST,
    ) -> None:
        self._observer = observer if observer is not None else Unobserved()
        self._clock = clock
        self._burst = burst
        self._kinds: dict[tuple[str, str], _Kind] = {}

    def write(self, line: Callable[..., Any], sentence: str, *, kind: str = "", **fields: Any) -> None:
        """Write a line, or leave it out.

        Args:
            line: A logger's method: `log.info`.
            sentence: What the line says. Never a client's words.
            kind: Lines of one sentence are counted for each kind. Never a client's words either.
            **fields: The line's own; `left_out` is added, how many of its kind were since the last one.
        """
        found = self._kind(sentence, kind)
        now = self._clock()
        found.tokens = min(self._burst, found.tokens + (now - found.since) / EVERY)
        found.since = now
        if found.tokens < 1:
            found.left_out += 1
            self._observer.log_line_left_out()
            return
        found.tokens -= 1
        if found.left_out:
            fields["left_out"] = found.left_out
            found.left_out = 0
        line(sentence, **fields)

    def _kind(self, sentence: str, kind: str) -> _Kind:
        key = (sentence, kind)
        found = self._kinds.get(key)
        if found is None:
            if len(self._kinds) >= MOST_KINDS:
                key = ("", "")
            found = self._kinds.setdefault(key, _Kind(self._clock(), self._burst))
        return found


class _Kind:
    """Lines of one kind.

    Attributes:
        tokens: How many may be written now.
        since: When that was last reckoned.
        left_out: How many were not written since the last one that was.
    """

    __slots__ = ("left_out", "since", "tokens")

    def __init__(self, since: float, burst: int) -> None:
        self.tokens = float(burst)
        self.since = since
        self.left_out = 0
