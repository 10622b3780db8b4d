"""Numbered events: which are missing, which came twice, which came late, and how long they took."""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Sequence

MAX_GAP = 1_000_000


class SequenceCheck:
    """What one client received of one stream, whose events are numbered 1, 2, 3, … by the publisher.

    Memory grows with the losses only.

    Attributes:
        highest: The highest number that came.
        received: How many different numbers came.
        doubles: How many came that had come before.
        out_of_order: How many came after a higher one, for the first time.
        superseded: How many did not come and need not: a newer one stands for them.
        again: How often the newest came again, as it may.
    """

    __slots__ = ("_resumed", "again", "doubles", "highest", "missing", "out_of_order", "received", "superseded")

    def __init__(self) -> None:
        self.highest = 0
        self.received = 0
        self.doubles = 0
        self.out_of_order = 0
        self.superseded = 0
        self.again = 0
        self.missing: set[int] | None = None
        self._resumed = False

    def resume(self) -> None:
        """The client was away, and of this stream the newest event is enough.

        It may be the one that came last, since these events have no offset by which a server could know
        (docs/recovery.md).
        """
        self._resumed = True

    def take(self, seq: int) -> None:
        """Note one event.

        Raises:
            ValueError: The number is below 1 or implausibly far ahead, so that it is none of this stream.
        """
        highest = self.highest
        if self._resumed:
            self._resumed = False
            if seq == highest and seq > 0:
                self.again += 1
                return
            if highest < seq <= highest + MAX_GAP:
                self.superseded += seq - highest - 1
                self.highest = seq
                self.received += 1
                return
        if seq == highest + 1:
            self.highest = seq
            self.received += 1
        elif seq > highest:
            if seq - highest > MAX_GAP:
                raise ValueError("the sequence number is implausibly far ahead")
            if self.missing is None:
                self.missing = set()
            self.missing.update(range(highest + 1, seq))
            self.highest = seq
            self.received += 1
        elif seq < 1:
            raise ValueError("sequence numbers start at 1")
        elif self.missing is not None and seq in self.missing:
            self.missing.remove(seq)
            self.received += 1
            self.out_of_order += 1
        else:
            self.doubles += 1

    def losses(self, last: int, uncertain: Collection[int] = ()) -> int:
        """How many of 1 … `last` did not come, those left out of which nobody knows whether they were published."""
        gaps = self.missing or set()
        lost = len(gaps) + max(0, last - self.highest)
        return lost - sum(1 for seq in uncertain if seq in gaps or self.highest < seq <= last)


class Reservoir:
    """A fair sample of a long series (algorithm R, Vitter 1985), with exact count and maximum.

    Args:
        size: How many values are kept.
        seed: Of the choice, so that it can be repeated.
    """

    def __init__(self, size: int = 20_000, seed: int = 1) -> None:
        if size < 1:
            raise ValueError("size is 1 or more")
        self.count = 0
        self.maximum = 0.0
        self._size = size
        self._kept: list[float] = []
        self._random = random.Random(seed)  # noqa: S311 a sample, not a secret

    def add(self, value: float) -> None:
        self.count += 1
        if value > self.maximum or self.count == 1:
            self.maximum = value
        if len(self._kept) < self._size:
            self._kept.append(value)
            return
        place = int(self._random.random() * self.count)
        if place < self._size:
            self._kept[place] = value

    def percentiles(self, shares: Sequence[float]) -> list[float | None]:
        """The values that these shares (0 to 1) of the sample do not exceed (nearest rank); None of an empty one."""
        ordered = sorted(self._kept)
        if not ordered:
            return [None for _ in shares]
        return [ordered[max(0, math.ceil(share * len(ordered)) - 1)] for share in shares]
