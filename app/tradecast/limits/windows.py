"""A sliding window that counts events in sixtieths of its length."""

from __future__ import annotations

BUCKETS = 60


def bucket_width(window_ms: int) -> int:
    """Milliseconds of one bucket: a second where the window is a minute. Rounded up, so that 60 cover the window."""
    return -(-window_ms // BUCKETS)


class SlidingWindow:
    """Counts events of the last `window_ms`, in at most 61 numbers.

    The bucket of now and the 60 before it are counted, so that never more than `limit` events are let through in any
    span of the true length; an event may count up to one bucket longer than that, never shorter.
    """

    __slots__ = ("_count", "_newest", "_older", "_width", "total")

    def __init__(self, window_ms: int) -> None:
        self._width = bucket_width(window_ms)
        self._newest = 0
        self._count = 0  # of the newest bucket
        # The others, in order of time; None: there are none, and no dict, which takes memory.
        self._older: dict[int, int] | None = None
        self.total = 0

    def advance(self, now_ms: int) -> int:
        """Forget expired buckets; how many events are left in the window. A clock that steps back stands still."""
        newest = now_ms // self._width
        if newest > self._newest:
            if self._count:
                if self._older is None:
                    self._older = {}
                self._older[self._newest] = self._count
                self._count = 0
            self._newest = newest
            if self._older is not None:
                self._forget(newest - BUCKETS)
        return self.total

    def _forget(self, before: int) -> None:
        older = self._older or {}
        while older:
            oldest = next(iter(older))
            if oldest >= before:
                return
            self.total -= older.pop(oldest)
        self._older = None

    def add(self, now_ms: int) -> None:
        """Count one event."""
        self.advance(now_ms)
        self._count += 1
        self.total += 1
