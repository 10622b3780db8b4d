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

    __slots__ = ("_buckets", "_newest", "_width", "total")

    def __init__(self, window_ms: int) -> None:
        self._width = bucket_width(window_ms)
        self._buckets: dict[int, int] = {}  # in order of time: a bucket is put in when it is the newest
        self._newest = 0
        self.total = 0

    def advance(self, now_ms: int) -> int:
        """Forget what is over; how many events are left in the window. A clock that steps back stands still."""
        newest = max(now_ms // self._width, self._newest)
        self._newest = newest
        while self._buckets:
            oldest = next(iter(self._buckets))
            if oldest >= newest - BUCKETS:
                break
            self.total -= self._buckets.pop(oldest)
        return self.total

    def add(self, now_ms: int) -> None:
        """Count one event."""
        self.advance(now_ms)
        self._buckets[self._newest] = self._buckets.get(self._newest, 0) + 1
        self.total += 1
