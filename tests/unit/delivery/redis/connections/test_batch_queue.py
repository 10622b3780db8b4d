"""Batches for Redis, over a Redis that does as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

import pytest
from redis import exceptions

from kit.clock import leap
from kit.waiting import eventually
from tradecast.delivery.errors import AdapterUnavailable, NotSent, PublishUncertain
from tradecast.delivery.redis.connections.batch_queue import BatchQueue, is_transient

MakeQueue = Callable[..., BatchQueue[str, str]]


class Sink:
    """Takes batches one by one: each waits until it is let go, or what is in `errors` comes of it."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.numbers: list[int] = []
        self.errors: list[BaseException | None] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def send_batch(self, batch: Sequence[str], number: int) -> Sequence[str]:
        self.batches.append(list(batch))
        self.numbers.append(number)
        await self.gate.wait()
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        return [one.upper() for one in batch]


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
async def make(sink: Sink) -> AsyncIterator[MakeQueue]:
    queues: list[BatchQueue[str, str]] = []

    def make(**options: Any) -> BatchQueue[str, str]:
        queue: BatchQueue[str, str] = BatchQueue(sink, what="test", **{"timeout": 30, "patience": 30, **options})
        queue.start()
        queues.append(queue)
        return queue

    yield make
    for queue in queues:
        await queue.close()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was slept between tries; it is not waited for."""
    taken: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        taken.append(seconds)
        await sleep(0)

    monkeypatch.setattr("tradecast.delivery.redis.connections.batch_queue.asyncio.sleep", note)
    return taken


class Calls:
    """Items handed to a queue, in order, each by a task of its own."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[str]] = []

    def start(self, *work: Coroutine[Any, Any, str]) -> None:
        self.tasks += [asyncio.create_task(one) for one in work]

    async def settle(self) -> list[str | BaseException]:
        return await asyncio.gather(*self.tasks, return_exceptions=True)


@pytest.fixture
def calls() -> Calls:
    return Calls()


async def test_each_gets_its_own_result(make: MakeQueue, sink: Sink) -> None:
    queue = make()
    assert await asyncio.gather(*(queue.run(one) for one in "abc")) == ["A", "B", "C"]
    assert await queue.run("d") == "D"
    assert len(queue) == 0


async def test_what_comes_while_a_batch_is_under_way_goes_with_the_next(
    make: MakeQueue, sink: Sink, calls: Calls
) -> None:
    queue = make()
    sink.gate.clear()
    calls.start(queue.run("a"))
    await eventually(lambda: sink.batches)
    calls.start(*(queue.run(one) for one in "bcd"))
    await eventually(lambda: len(queue) == 4)
    assert sink.batches == [["a"]]
    sink.gate.set()
    assert await calls.settle() == ["A", "B", "C", "D"]
    assert sink.batches == [["a"], ["b", "c", "d"]]
    assert sink.numbers == [1, 2]


async def test_batches_have_bounds_and_keep_the_order(make: MakeQueue, sink: Sink, calls: Calls) -> None:
    queue = make(max_batch=3, max_batch_bytes=100)
    sink.gate.clear()
    calls.start(queue.run("a"))
    await eventually(lambda: sink.batches)
    calls.start(*(queue.run(one, size) for one, size in zip("bcdefghi", [1, 1, 1, 1, 60, 60, 500, 1], strict=True)))
    await eventually(lambda: len(queue) == 9)
    sink.gate.set()
    await calls.settle()
    # three at most; a hundred bytes at most; a larger one alone
    assert ["".join(batch) for batch in sink.batches] == ["a", "bcd", "ef", "g", "h", "i"]


async def test_a_batch_is_repeated_with_growing_pauses_and_the_same_number(
    make: MakeQueue, sink: Sink, pauses: list[float]
) -> None:
    queue = make()
    sink.errors = [exceptions.ConnectionError("gone")] * 42
    assert await queue.run("a") == "A"
    assert sink.batches == [["a"]] * 43
    assert set(sink.numbers) == {1}
    assert pauses[:3] == pytest.approx([0.05, 0.1, 0.15])
    assert pauses[38:] == pytest.approx([1.95, 2, 2, 2])
    assert await queue.run("b") == "B"
    assert sink.numbers[-1] == 2


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ConnectionError("gone"),
        exceptions.TimeoutError("slow"),
        exceptions.ReadOnlyError("a replica"),
        exceptions.OutOfMemoryError("OOM"),
        exceptions.BusyLoadingError("loading"),
        exceptions.ResponseError("BUSY Redis is busy running a script"),
        exceptions.ResponseError("NOREPLICAS Not enough good replicas to write."),
        exceptions.ResponseError("MASTERDOWN Link with MASTER is down"),
        exceptions.ResponseError("CLUSTERDOWN The cluster is down"),
        OSError("no route"),
        ConnectionResetError("reset"),
        TimeoutError(),
    ],
)
async def test_what_passes_is_repeated(make: MakeQueue, sink: Sink, pauses: list[float], error: BaseException) -> None:
    assert is_transient(error)
    queue = make()
    sink.errors = [error, error]
    assert await queue.run("a") == "A"
    assert len(pauses) == 2


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"),
        exceptions.NoPermissionError("no"),
        exceptions.ResponseError("ERR unknown"),
    ],
)
async def test_what_is_refused_is_reported_at_once_and_the_next_batch_continues(
    make: MakeQueue, sink: Sink, calls: Calls, error: BaseException
) -> None:
    assert not is_transient(error)
    queue = make()
    sink.gate.clear()
    sink.errors = [None, error]
    calls.start(queue.run("a"))
    await eventually(lambda: sink.batches)
    calls.start(queue.run("b"), queue.run("c"))
    await eventually(lambda: len(queue) == 3)
    sink.gate.set()
    a, b, c = await calls.settle()
    assert a == "A"
    for refused in (b, c):
        # an answer: it was not carried out
        assert isinstance(refused, AdapterUnavailable)
        assert not isinstance(refused, PublishUncertain)
    assert sink.batches == [["a"], ["b", "c"]]
    assert await queue.run("d") == "D"
    assert len(queue) == 0


async def test_what_is_not_understood_is_uncertain_and_the_next_batch_continues(make: MakeQueue, sink: Sink) -> None:
    queue = make()
    sink.errors = [ZeroDivisionError()]
    with pytest.raises(PublishUncertain):
        await queue.run("a")
    assert await queue.run("b") == "B"


async def test_after_a_lost_answer_a_refusal_says_nothing_of_the_first_try(
    make: MakeQueue, sink: Sink, pauses: list[float]
) -> None:
    queue = make()
    sink.errors = [exceptions.ConnectionError("the answer was lost"), exceptions.ResponseError("ERR no")]
    with pytest.raises(PublishUncertain):
        await queue.run("a")


async def test_in_time_or_not_at_all(make: MakeQueue, sink: Sink, calls: Calls) -> None:
    queue = make(timeout=3600, patience=7200)
    sink.gate.clear()
    calls.start(queue.run("sent"))
    await eventually(lambda: sink.batches)
    calls.start(queue.run("waits"))
    await eventually(lambda: len(queue) == 2)
    leap(3600)
    sent, waits = await calls.settle()
    assert isinstance(sent, PublishUncertain)  # it may have arrived
    assert isinstance(waits, AdapterUnavailable)
    assert not isinstance(waits, PublishUncertain)
    sink.gate.set()
    assert await queue.run("later") == "LATER"
    assert sink.batches == [["sent"], ["later"]]  # what was given up is not sent any more
    assert len(queue) == 0


async def test_answers_that_say_no_leave_it_certain(make: MakeQueue, sink: Sink, calls: Calls) -> None:
    queue = make(timeout=3600)
    sink.errors = [exceptions.OutOfMemoryError("OOM command not allowed")] * 1000
    calls.start(queue.run("a"))
    await eventually(lambda: len(sink.batches) > 1)
    leap(3600)
    (refused,) = await calls.settle()
    assert isinstance(refused, AdapterUnavailable)
    assert not isinstance(refused, PublishUncertain)


async def test_one_try_has_its_own_limit(make: MakeQueue, sink: Sink, calls: Calls) -> None:
    queue = make(patience=0.1)
    sink.gate.clear()
    calls.start(queue.run("a"))
    await eventually(lambda: len(sink.batches) > 1)
    sink.gate.set()
    assert await calls.settle() == ["A"]


async def test_one_that_is_given_up_amid_a_batch_takes_nobody_elses_place(
    make: MakeQueue, sink: Sink, calls: Calls, pauses: list[float]
) -> None:
    queue = make()
    sink.gate.clear()
    calls.start(queue.run("0"))
    await eventually(lambda: sink.batches)
    calls.start(*(queue.run(one) for one in "abcde"))
    await eventually(lambda: len(queue) == 6)
    calls.tasks[3].cancel()  # c, before it is sent
    await eventually(lambda: calls.tasks[3].done())
    sink.gate.set()
    await eventually(lambda: len(sink.batches) == 2)
    results = await calls.settle()
    assert [one for one in results if not isinstance(one, BaseException)] == ["0", "A", "B", "D", "E"]
    assert isinstance(results[3], asyncio.CancelledError)
    assert sink.batches[1] == ["a", "b", "d", "e"]
    assert len(queue) == 0
    assert await queue.run("f") == "F"


async def test_one_that_is_given_up_while_its_batch_is_repeated_is_left_out(
    make: MakeQueue, sink: Sink, calls: Calls
) -> None:
    queue = make()
    sink.gate.clear()
    sink.errors = [None, exceptions.ConnectionError("gone")]
    calls.start(queue.run("0"))
    await eventually(lambda: sink.batches)
    calls.start(*(queue.run(one) for one in "abc"))
    await eventually(lambda: len(queue) == 4)
    sink.gate.set()
    await eventually(lambda: len(sink.batches) == 2)
    calls.tasks[2].cancel()  # b
    results = await calls.settle()
    assert sink.batches[2] == ["a", "c"]
    assert sink.numbers == [1, 2, 2]
    assert [one for one in results if not isinstance(one, BaseException)] == ["0", "A", "C"]


async def test_a_batch_waits_to_fill_for_as_long_as_the_window_says(make: MakeQueue, sink: Sink, calls: Calls) -> None:
    queue = make(window=3600.0, max_batch=3, timeout=7200)
    calls.start(queue.run("a"))
    await eventually(lambda: len(queue) == 1)
    leap(1800)
    calls.start(queue.run("b"))
    await eventually(lambda: len(queue) == 2)
    assert sink.batches == []
    leap(1800)
    assert await calls.settle() == ["A", "B"]
    assert sink.batches == [["a", "b"]]


async def test_a_full_batch_does_not_wait(make: MakeQueue, sink: Sink, calls: Calls) -> None:
    queue = make(window=3600.0, max_batch=2, timeout=7200, max_batch_bytes=100)
    calls.start(queue.run("a"))
    await eventually(lambda: len(queue) == 1)
    calls.start(queue.run("b"))
    assert await calls.settle() == ["A", "B"]
    assert await queue.run("large", 100) == "LARGE"
    assert sink.batches == [["a", "b"], ["large"]]


async def test_what_came_while_a_batch_was_under_way_has_waited_already(
    make: MakeQueue, sink: Sink, calls: Calls
) -> None:
    queue = make(window=3600.0, max_batch=2, timeout=14_400, patience=14_400)
    sink.gate.clear()
    calls.start(queue.run("a"), queue.run("b"))
    await eventually(lambda: sink.batches)
    calls.start(queue.run("c"))
    await eventually(lambda: len(queue) == 3)
    leap(3600)
    sink.gate.set()
    assert await calls.settle() == ["A", "B", "C"]
    assert sink.batches == [["a", "b"], ["c"]]


async def test_other_figures_hold_from_the_next_batch_on(make: MakeQueue, sink: Sink, calls: Calls) -> None:
    queue = make(max_batch=2)
    sink.gate.clear()
    calls.start(*(queue.run(one) for one in "abcdefgh"))
    await eventually(lambda: sink.batches)
    queue.tune(timeout=30, max_batch=4, window=0, capacity=3)
    with pytest.raises(AdapterUnavailable):
        await queue.run("too much")
    sink.gate.set()
    assert await calls.settle() == list("ABCDEFGH")
    assert sink.batches == [["a", "b"], ["c", "d", "e", "f"], ["g", "h"]]
    assert sink.numbers == [1, 2, 3]
    sink.gate.clear()
    queue.tune(timeout=10, max_batch=4, window=0, capacity=3)
    calls.tasks.clear()
    calls.start(queue.run("i"))
    await eventually(lambda: len(sink.batches) == 4)
    leap(10)
    (late,) = await calls.settle()
    assert isinstance(late, PublishUncertain)
    sink.gate.set()


async def test_a_window_that_is_rolled_back_keeps_nobody_waiting(make: MakeQueue, sink: Sink, calls: Calls) -> None:
    queue = make(window=3600.0, timeout=7200)
    calls.start(queue.run("a"))
    await eventually(lambda: len(queue) == 1)
    await asyncio.sleep(0)
    assert sink.batches == []
    queue.tune(timeout=7200, max_batch=64, window=0, capacity=10)
    assert await calls.settle() == ["A"]


async def test_too_many_are_refused_at_once(make: MakeQueue, sink: Sink, calls: Calls) -> None:
    queue = make(capacity=3)
    sink.gate.clear()
    calls.start(*(queue.run(one) for one in "abc"))
    await eventually(lambda: len(queue) == 3)
    with pytest.raises(AdapterUnavailable) as caught:
        await queue.run("d")
    assert not isinstance(caught.value, PublishUncertain)
    sink.gate.set()
    assert await calls.settle() == ["A", "B", "C"]
    assert await queue.run("d") == "D"


async def test_too_many_bytes_are_refused_and_come_free_again(make: MakeQueue, sink: Sink, calls: Calls) -> None:
    queue = make(capacity_bytes=100)
    for _ in range(3):  # what is done, refused or given up does not count any more
        sink.gate.clear()
        calls.start(queue.run("a", 60))
        await eventually(lambda: len(queue) == 1)
        with pytest.raises(AdapterUnavailable):
            await queue.run("b", 41)
        calls.start(queue.run("c", 40))
        await eventually(lambda: len(queue) == 2)
        calls.tasks[-1].cancel()
        sink.gate.set()
        await calls.settle()
        sink.errors = [exceptions.ResponseError("ERR no")]
        with pytest.raises(AdapterUnavailable):
            await queue.run("d", 100)
    assert await queue.run("e", 1000) == "E"  # alone, it may be of any size


async def test_closing_notifies_who_waits(make: MakeQueue, sink: Sink, calls: Calls) -> None:
    queue = make()
    sink.gate.clear()
    calls.start(queue.run("sent"))
    await eventually(lambda: sink.batches)
    calls.start(queue.run("waits"))
    await eventually(lambda: len(queue) == 2)
    async with asyncio.timeout(10):  # and not when their time is over
        await queue.close()
        sent, waits = await calls.settle()
    assert isinstance(sent, PublishUncertain)
    assert isinstance(waits, AdapterUnavailable)
    assert not isinstance(waits, PublishUncertain)
    async with asyncio.timeout(10):
        with pytest.raises(AdapterUnavailable):
            await queue.run("late")


async def test_giving_up_ends_the_waiting_as_soon_as_nothing_is_taken(
    make: MakeQueue, sink: Sink, calls: Calls
) -> None:
    queue = make()
    sink.gate.clear()
    calls.start(queue.run("a"))
    await eventually(lambda: sink.batches)
    queue.give_up("shutting down")  # it goes well so far
    await asyncio.sleep(0)
    assert not calls.tasks[0].done()
    sink.errors = [exceptions.ResponseError("NOREPLICAS")] * 1000
    sink.gate.set()
    (a,) = await calls.settle()
    assert isinstance(a, AdapterUnavailable)
    assert not isinstance(a, PublishUncertain)


async def test_without_a_connection_it_is_certain_that_nothing_was_sent() -> None:
    class Unconnected:
        async def send_batch(self, items: Sequence[int], number: int) -> Sequence[int]:
            raise NotSent("ConnectionRefusedError")

    queue: BatchQueue[int, int] = BatchQueue(Unconnected(), what="test", timeout=0.2, patience=1)
    queue.start()
    with pytest.raises(AdapterUnavailable) as caught:
        await queue.run(1)
    assert not isinstance(caught.value, PublishUncertain)
    await queue.close()
