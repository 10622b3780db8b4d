"""Look-ups of single keys, collected into batches."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Hashable, Mapping
from itertools import islice
from typing import Generic, Protocol, TypeVar

from tradecast.background.tasks import TaskSet

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
V_co = TypeVar("V_co", covariant=True)

MAX_BATCH = 500
MAX_IN_FLIGHT = 4


class BatchSource(Protocol[K, V_co]):
    """Loads many values at once."""

    async def load(self, keys: Collection[K], /) -> Mapping[K, V_co]:
        """The values of these keys; a key that is left out has none."""
        ...


class BatchLoader(Generic[K, V]):
    """Collects the keys asked for in one tick of the loop, or while all batches are under way, and loads them at once.

    Requests for a key that still waits for its batch share one look-up. A request never gets the answer of a batch
    that started before it was made: that answer may be older than what made the caller ask.

    Args:
        source: Loads a batch. What it raises is raised for every key of the batch.
        max_batch: Most keys in a batch.
        max_in_flight: Most batches under way at a time.
    """

    def __init__(
        self,
        source: BatchSource[K, V],
        *,
        max_batch: int = MAX_BATCH,
        max_in_flight: int = MAX_IN_FLIGHT,
    ) -> None:
        self._source = source
        self._max_batch = max_batch
        self._max_in_flight = max_in_flight
        self._waiting: dict[K, asyncio.Future[V | None]] = {}
        self._batches = TaskSet()
        self._scheduled = False
        self._closed = False

    async def load(self, key: K) -> V | None:
        """The value of one key, None if there is none. Cancelling it leaves the others that wait alone.

        Raises:
            RuntimeError: The loader is closed.
        """
        if self._closed:
            raise RuntimeError("the loader is closed")
        future = self._waiting.get(key)
        if future is None:
            loop = asyncio.get_running_loop()
            future = self._waiting[key] = loop.create_future()
            if not self._scheduled:
                self._scheduled = True
                loop.call_soon(self._dispatch)
        return await asyncio.shield(future)

    async def close(self) -> None:
        """Cancel everything that waits or is under way."""
        self._closed = True
        for future in self._waiting.values():
            future.cancel()
        self._waiting.clear()
        await self._batches.close()

    def _dispatch(self) -> None:
        self._scheduled = False
        while self._waiting and len(self._batches) < self._max_in_flight and not self._closed:
            keys = list(islice(self._waiting, self._max_batch))
            batch = self._batches.spawn(self._run({key: self._waiting.pop(key) for key in keys}))
            batch.add_done_callback(self._on_done)  # called after the set's own: the place of this batch is free

    def _on_done(self, batch: asyncio.Task[None]) -> None:
        self._dispatch()

    async def _run(self, batch: dict[K, asyncio.Future[V | None]]) -> None:
        try:
            found = await self._source.load(batch.keys())
        except Exception as error:
            for future in batch.values():
                future.set_exception(error)
                future.exception()  # all who waited may be gone; that is no error of its own
        except BaseException:
            for future in batch.values():
                future.cancel()
            raise
        else:
            for key, future in batch.items():
                future.set_result(found.get(key))
