"""Retains published values in Redis longer than recovery needs them, within bounds. Every server runs it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from tradecast.delivery.errors import AdapterUnavailable
from tradecast.delivery.redis.connections.endpoints import PartitionEndpoint
from tradecast.delivery.redis.connections.script_queue import FixedRequest, ScriptQueue
from tradecast.delivery.redis.retained.lua import RETAIN
from tradecast.delivery.retention import MAX_KEYS, Retention
from tradecast.observability.logger import get_logger

# Seconds between two rounds, and between two calls of one that has more to do.
EVERY: Final = 2.0
EVERY_OFF: Final = 60.0
AGAIN: Final = 0.02
log = get_logger("tradecast.adapter")


@dataclass(frozen=True, slots=True)
class Retained:
    """What is retained of a partition, and what a round has done.

    Attributes:
        size: Bytes that are retained, roughly.
        rooms: Rooms of which something is retained.
        too_large: Values that were not retained, as they are larger than RETAIN_VALUE_BYTES.
        over_budget: Rooms of which nothing is retained any more, as the budget is used up or Redis is full.
        visited: Rooms whose values were looked at.
        has_more: Whether there is more to do.
    """

    size: int = 0
    rooms: int = 0
    too_large: int = 0
    over_budget: int = 0
    visited: int = 0
    has_more: bool = False


class RetentionObserver(Protocol):
    """Observes what is retained; the metrics do."""

    def values_retained(self, partition: int, size: int, *, too_large: int, over_budget: int) -> None:
        """So many bytes are retained in a partition; so many values and rooms are not, of those just looked at."""
        ...


class RetentionKeeper:
    """Runs `RETAIN` for one partition.

    Args:
        endpoint: Where the partition is.
        queue: Runs the script.
        retention: How much stays, and for how long.
        partitions: How many partitions share the budget.
        observer: Observes what is retained.
        number: Which partition it is.
    """

    def __init__(
        self,
        endpoint: PartitionEndpoint,
        queue: ScriptQueue,
        retention: Retention,
        observer: RetentionObserver,
        *,
        partitions: int,
        number: int,
    ) -> None:
        prefix, retain = endpoint.prefix, retention.retain
        keys = [f"{prefix}{name}" for name in ("clock", "n", "kt", "ks")]
        arguments: Sequence[Any] = (
            *(prefix, round(retention.seconds * 1000), round(retain.seconds * 1000)),
            *(retain.value_bytes, retain.budget_bytes // partitions, MAX_KEYS, retain.most_recent),
            "\t" + "\t".join(retain.recent) + "\t",
        )
        self._request = FixedRequest(RETAIN, [len(keys), *keys, *arguments])
        self._queue = queue
        self._observer = observer
        self._number = number
        self._every = EVERY if retain.seconds else EVERY_OFF

    async def run(self) -> None:
        """Retain what is published, until the task is cancelled."""
        while True:
            pause = self._every
            try:
                pause = AGAIN if (await self.retain()).has_more else self._every
            except AdapterUnavailable:  # what is there stays; what nobody copies in time is not retained
                pass
            except Exception:
                log.exception("values could not be retained")
            await asyncio.sleep(pause)

    async def retain(self) -> Retained:
        """Retain what is due now, up to a bound. Raises AdapterUnavailable."""
        answer = await self._queue.run(self._request)
        size, rooms, too_large, over_budget, visited, more = map(int, answer)
        self._observer.values_retained(self._number, size, too_large=too_large, over_budget=over_budget)
        return Retained(size, rooms, too_large, over_budget, visited, bool(more))
