"""Look-ups of single keys made into batches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping

import pytest

from tradecast.sessions.batch_loader import BatchLoader
from tradecast.sessions.errors import StoreUnavailable


class Source:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.open = asyncio.Event()
        self.started = asyncio.Semaphore(0)
        self.in_flight = 0
        self.most_in_flight = 0
        self.error: Exception | None = None
        self.version = 0

    async def load(self, keys: Collection[int]) -> Mapping[int, str]:
        self.batches.append(list(keys))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        read = {key: f"{key}.{self.version}" for key in keys if key >= 0}
        self.started.release()
        try:
            await self.open.wait()
        finally:
            self.in_flight -= 1
        if self.error is not None:
            raise self.error
        return read


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
async def loader(source: Source) -> AsyncIterator[BatchLoader[int, str]]:
    loader = BatchLoader(source, max_batch=500, max_in_flight=4)
    yield loader
    await loader.close()


async def test_one_tick_is_one_batch(source: Source, loader: BatchLoader[int, str]) -> None:
    source.open.set()
    values = await asyncio.gather(*(loader.load(key % 100) for key in range(300)))
    assert values == [f"{key % 100}.0" for key in range(300)]
    assert source.batches == [list(range(100))]


async def test_missing_key(source: Source, loader: BatchLoader[int, str]) -> None:
    source.open.set()
    assert list(await asyncio.gather(loader.load(-1), loader.load(1))) == [None, "1.0"]


async def test_limits_of_batches(source: Source, loader: BatchLoader[int, str]) -> None:
    asked = [asyncio.create_task(loader.load(key)) for key in range(5_000)]
    for _ in range(4):
        await source.started.acquire()
    await asyncio.sleep(0)
    assert [len(batch) for batch in source.batches] == [500] * 4
    source.open.set()
    assert len(await asyncio.gather(*asked)) == 5_000
    assert source.most_in_flight == 4
    assert [len(batch) for batch in source.batches] == [500] * 10


async def test_no_answer_that_is_older_than_the_question(source: Source, loader: BatchLoader[int, str]) -> None:
    first = asyncio.create_task(loader.load(1))
    await source.started.acquire()
    source.version = 1  # the value changes while the first read is under way
    second = asyncio.create_task(loader.load(1))
    await source.started.acquire()
    source.open.set()
    assert list(await asyncio.gather(first, second)) == ["1.0", "1.1"]


async def test_error_reaches_everyone_and_does_not_stay(source: Source, loader: BatchLoader[int, str]) -> None:
    source.open.set()
    source.error = StoreUnavailable("gone")
    found = await asyncio.gather(*(loader.load(key) for key in (1, 1, 2)), return_exceptions=True)
    assert [type(error) for error in found] == [StoreUnavailable] * 3
    source.error = None
    assert await loader.load(1) == "1.0"


async def test_cancelled_waiter_leaves_the_others_alone(source: Source, loader: BatchLoader[int, str]) -> None:
    tasks = [asyncio.create_task(loader.load(1)) for _ in range(3)]
    await source.started.acquire()
    tasks[0].cancel()
    source.open.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1:] == ["1.0", "1.0"]


async def test_nobody_left_to_notify_of_an_error(source: Source, loader: BatchLoader[int, str]) -> None:
    loop_errors: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: loop_errors.append(context))
    task = asyncio.create_task(loader.load(1))
    await source.started.acquire()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    source.error = StoreUnavailable("gone")
    source.open.set()
    with pytest.raises(StoreUnavailable):  # by then the first batch has failed too
        await loader.load(2)
    assert loop_errors == []


async def test_close_cancels_who_waits(source: Source, loader: BatchLoader[int, str]) -> None:
    under_way = asyncio.create_task(loader.load(1))
    await source.started.acquire()
    waiting = asyncio.create_task(loader.load(2))
    await asyncio.sleep(0)
    await loader.close()
    found = await asyncio.gather(under_way, waiting, return_exceptions=True)
    assert [type(error) for error in found] == [asyncio.CancelledError] * 2
    assert source.in_flight == 0
    with pytest.raises(RuntimeError, match="closed"):
        await loader.load(3)
