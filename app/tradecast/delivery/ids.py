"""Ids of events, and the offsets that clients get. Both are based on Redis' clock.

An id is a hybrid logical clock in one integer: milliseconds since 2020 times 4,096, and a counter below that. It rises
with each event, also where the clock of Redis is set back, and stays below 2^53 (what Lua counts exactly) until 2089.

An offset is what a client sends back: the epoch of the history (new when Redis has lost it) and the last id seen, one
per partition: https://socket.io/docs/v4/connection-state-recovery.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import NamedTuple

START_MS = 1_577_836_800_000
PER_MS = 4_096
MAX_ID = 2**53 - 1
MAX_EPOCH = 16
_OFFSET = re.compile(r"([0-9a-z]{1,128})((?:\.[0-9a-f]{1,14}){1,64})", re.ASCII)


def now_id() -> int:
    """The smallest id of this moment, by this machine's clock."""
    return int(time.time() * 1000 - START_MS) * PER_MS


def id_span(span: float) -> int:
    """The difference of ids that were assigned `span` seconds apart."""
    return int(span * 1000) * PER_MS


class Offset(NamedTuple):
    """A position in the history: after the events with these ids.

    Attributes:
        epoch: Which history.
        ids: The last id seen in each partition.
    """

    epoch: str
    ids: tuple[int, ...]


def write_offset(epoch: str, ids: Sequence[int]) -> str:
    """Format an offset for clients. To keep it short, ids after the first are written as their distance to it."""
    if len(ids) == 1:
        return f"{epoch}.{ids[0]:x}"
    top = max(ids)
    return f"{epoch}.{top:x}." + ".".join(f"{top - one:x}" for one in ids)


def parse_offset(text: object, partitions: int) -> Offset | None:
    """Parse the offset that a client sent; None if it is not one of ours."""
    if not isinstance(text, str):
        return None
    match = _OFFSET.fullmatch(text)
    if match is None or len(match[1]) > max(MAX_EPOCH, 2 * partitions):
        return None
    numbers = [int(part, 16) for part in match[2][1:].split(".")]
    if partitions > 1:
        top, *distances = numbers
        numbers = [top - distance for distance in distances]
    if len(numbers) != partitions or any(not 0 <= number <= MAX_ID for number in numbers):
        return None
    return Offset(match[1], tuple(numbers))
