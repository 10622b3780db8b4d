"""A connection of asyncio's that is none: it only notes what is done to it."""

from __future__ import annotations


class RecordingTransport:
    """The part of an `asyncio.Transport` that is the same whatever a test writes to it.

    Attributes:
        state: What became of it: open, closed or aborted.
        reading: Whether it reads.
        half_closed: Whether nothing may be written any more.
        limits: Bytes of unsent data at which it pauses and resumes its protocol; None: those of asyncio.
    """

    def __init__(self) -> None:
        self.state = "open"
        self.reading = True
        self.half_closed = False
        self.limits: tuple[int | None, int | None] = (None, None)

    def is_closing(self) -> bool:
        return self.state != "open"

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.limits = (high, low)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.half_closed = True

    def close(self) -> None:
        if self.state == "open":
            self.state = "closed"

    def abort(self) -> None:
        self.state = "aborted"

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True
