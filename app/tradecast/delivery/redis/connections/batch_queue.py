"""Sends requests to Redis in batches: those that come while a batch is being sent go with the next one."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections import deque
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from redis import exceptions

from tradecast.background.tasks import cancel_and_wait
from tradecast.causes import SOME_REDIS, Place, explain_error
from tradecast.delivery.errors import AdapterUnavailable, NotSent, PublishUncertain
from tradecast.observability.logger import get_logger
from tradecast.redis_client.client import CAP, STEP

Item = TypeVar("Item")
Sent = TypeVar("Sent", contravariant=True)
Received = TypeVar("Received", covariant=True)
Result = TypeVar("Result")
_TRANSIENT = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    exceptions.OutOfMemoryError,
    exceptions.ClusterDownError,
    # A slot of Redis Cluster moves: the request is repeated where the slot is then.
    exceptions.TryAgainError,
    exceptions.MovedError,
    exceptions.AskError,
    OSError,
)
# Replies that redis-py has no class for: a script that runs too long, a replica without its master, too few replicas.
_TRANSIENT_CODES = ("BUSY", "MASTERDOWN", "NOREPLICAS", "CLUSTERDOWN")
log = get_logger("tradecast.adapter")


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(error, _TRANSIENT):
        return True
    return isinstance(error, exceptions.ResponseError) and str(error).startswith(_TRANSIENT_CODES)


class _Entry(Generic[Item, Result]):
    __slots__ = ("done", "item", "since", "size", "uncertain")

    def __init__(self, item: Item, size: int) -> None:
        self.item = item
        self.size = size
        loop = asyncio.get_running_loop()
        self.since = loop.time()
        self.done: asyncio.Future[Result] = loop.create_future()
        self.uncertain = False


class BatchSender(Protocol[Sent, Received]):
    """Sends the batches of a queue."""

    async def send_batch(self, batch: Sequence[Sent], number: int, /) -> Sequence[Received]:
        """Send a batch; one result for each item.

        Args:
            batch: The items.
            number: The batch's; it stays the same when the batch is repeated.

        Raises:
            RedisError, OSError: It was not carried out, or no answer came (`is_transient`).
        """
        ...


class BatchQueue(Generic[Item, Result]):
    """Sends one batch after the other, in order; a failed one again after min(attempt * 50 ms, 2 s) until it succeeds.

    Args:
        sender: Sends the batches.
        what: What is sent: a word for logs.
        place: Where it sends, for logs.
        timeout: Seconds that one item may take, waiting included.
        patience: Seconds that one try may take.
        max_batch: Items in one batch.
        window: Seconds that an item may wait for others to fill the batch; 0: what is there is sent.
        max_batch_bytes: Bytes in one batch, unless a single item is larger.
        capacity: Items that may wait.
        capacity_bytes: Bytes that may wait.
    """

    def __init__(
        self,
        sender: BatchSender[Item, Result],
        *,
        what: str,
        place: Place = SOME_REDIS,
        timeout: float,
        patience: float,
        max_batch: int = 64,
        window: float = 0,
        max_batch_bytes: int = 1_000_000,
        capacity: int = 10_000,
        capacity_bytes: int = 64_000_000,
    ) -> None:
        self._sender = sender
        self._what = what
        self._place = place
        self._trouble: Exception | None = None
        self.timeout = timeout
        self._patience = patience
        self._max_batch = max_batch
        self._window = window
        self._max_batch_bytes = max_batch_bytes
        self.capacity = capacity
        self._capacity_bytes = capacity_bytes
        self._waiting: deque[_Entry[Item, Result]] = deque()
        self._bytes = 0
        self._full = asyncio.Event()
        self._number = 0
        self._task: asyncio.Task[None] | None = None
        self.failing = False
        self._started = False
        self._closed = False
        self._gives_up = ""

    def __len__(self) -> int:
        """The number of items that are queued or being sent."""
        return len(self._waiting)

    def tune(self, *, timeout: float, max_batch: int, window: float, capacity: int) -> None:
        """Apply other settings. They do not affect the batch that is being sent, nor items that are queued already."""
        self.timeout = timeout
        self._max_batch = max_batch
        self._window = window
        self.capacity = capacity
        self._full.set()  # whoever waits for a batch to fill checks again

    def start(self) -> None:
        """Start sending. A task exists only while there are items to send."""
        self._started = True
        self._ensure_running()

    def _ensure_running(self) -> None:
        if self._started and not self._closed and self._waiting and (self._task is None or self._task.done()):
            # In a context of its own: the context of the first caller is not that of the next ones.
            self._task = asyncio.get_running_loop().create_task(
                self._run(), name=f"batch queue {self._what}", context=contextvars.Context()
            )

    async def close(self) -> None:
        """Stop. Items that are still queued fail: they were not sent, or it is unknown whether they were."""
        self._closed = self.failing = True
        self.give_up("closed")  # what is under way is no longer known once its task has ended
        await cancel_and_wait(self._task)

    def give_up(self, why: str) -> None:
        """From now on, fail all queued items whenever Redis does not accept them."""
        self._gives_up = why
        if self.failing:
            for entry in self._waiting:
                if not entry.done.done():
                    entry.done.set_exception(_make_failure(entry.uncertain, why, self._trouble))

    async def run(self, item: Item, size: int = 0) -> Result:
        """Send an item, and return its result.

        Raises:
            PublishUncertain: No answer came in time.
            AdapterUnavailable: It was not sent in time, refused, or too many wait already.
        """
        if self._closed:
            raise AdapterUnavailable("closed")
        if len(self._waiting) >= self.capacity or (self._waiting and self._bytes + size > self._capacity_bytes):
            raise AdapterUnavailable("too much waits for Redis already")
        entry: _Entry[Item, Result] = _Entry(item, size)
        self._waiting.append(entry)
        self._bytes += size
        self._ensure_running()
        if self._is_full():
            self._full.set()
        try:
            async with asyncio.timeout(self.timeout):
                return await entry.done
        except TimeoutError:
            raise _make_failure(entry.uncertain, "Redis did not answer in time", self._trouble) from self._trouble

    async def _run(self) -> None:
        while self._waiting:
            if self._window:
                await self._fill()
            batch = self._next()
            if not batch:
                return
            self._number += 1
            try:
                await self._send(batch)
            finally:
                for entry in batch:
                    self._bytes -= entry.size
                    if self._waiting and self._waiting[0] is entry:
                        self._waiting.popleft()

    async def _fill(self) -> None:
        """Wait until a batch is full, or its first item has waited long enough."""
        since = self._waiting[0].since
        loop = asyncio.get_running_loop()
        while not self._is_full() and (left := since + self._window - loop.time()) > 0:
            self._full.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._full.wait()

    def _is_full(self) -> bool:
        return len(self._waiting) >= self._max_batch or self._bytes >= self._max_batch_bytes

    def _next(self) -> list[_Entry[Item, Result]]:
        while self._waiting and self._waiting[0].done.done():  # given up while it waited
            self._bytes -= self._waiting.popleft().size
        batch: list[_Entry[Item, Result]] = []
        size = 0
        for entry in self._waiting:
            size += entry.size
            if batch and (len(batch) >= self._max_batch or size > self._max_batch_bytes):
                break
            batch.append(entry)
        return batch

    async def _send(self, batch: Sequence[_Entry[Item, Result]]) -> None:
        attempt = 0
        while live := [entry for entry in batch if not entry.done.done()]:
            before = [entry.uncertain for entry in live]
            for entry in live:
                entry.uncertain = True
            try:
                async with asyncio.timeout(self._patience):
                    results = await self._sender.send_batch([entry.item for entry in live], self._number)
            except (exceptions.RedisError, OSError) as error:
                # An answer, or not even a connection: this time it was not carried out.
                if isinstance(error, exceptions.ResponseError | NotSent):
                    for entry, uncertain in zip(live, before, strict=True):
                        entry.uncertain = uncertain
                if not is_transient(error):
                    self._refuse(live, error)
                    return
                attempt += 1
                self._trouble = error
                if not self.failing:
                    self.failing = True
                    log.warning(
                        "Redis request failed, retrying", what=self._what, **explain_error(error, self._place).fields()
                    )
                if self._gives_up:
                    self.give_up(self._gives_up)
                await asyncio.sleep(min(attempt * STEP, CAP))
            except Exception as error:
                self._refuse(live, error)
                log.exception("reply of Redis not understood", what=self._what)
                return
            else:
                self._trouble = None
                if self.failing:
                    self.failing = False
                    log.info("Redis requests succeed again", what=self._what)
                for entry, result in zip(live, results, strict=True):
                    if not entry.done.done():
                        entry.done.set_result(result)
                return

    def _refuse(self, live: Sequence[_Entry[Item, Result]], error: BaseException) -> None:
        cause = explain_error(error, self._place)
        log.error("Redis refused a request", what=self._what, error=type(error).__name__, **cause.fields())
        for entry in live:
            if not entry.done.done():
                entry.done.set_exception(
                    _make_failure(entry.uncertain, f"Redis refuses: {cause.without_address}", error)
                )


def _make_failure(uncertain: bool, why: str, trouble: BaseException | None) -> AdapterUnavailable:
    failure = PublishUncertain(why) if uncertain else AdapterUnavailable(why)
    failure.__cause__ = trouble
    return failure
