"""Tasks end, also those that swallow a cancellation; a set of tasks keeps them and reports their failures."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
from typing import Any

import pytest

from tradecast.background.tasks import TaskSet, cancel_and_wait


@pytest.fixture
def reports() -> list[dict[str, Any]]:
    """What the loop's exception handler receives in a test that asks for it by `listen`."""
    return []


def listen(reports: list[dict[str, Any]]) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reports.append(context))


async def fail() -> None:
    raise ValueError("on purpose")


async def swallow_once() -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    await asyncio.Event().wait()


async def test_a_task_that_swallows_a_cancellation_ends_by_the_next() -> None:
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        swallowed += 1
        await asyncio.Event().wait()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        await cancel_and_wait(task, None, patience=0.01)
    assert task.cancelled()
    assert swallowed == 1


async def test_a_task_that_failed_ends_without_a_word() -> None:
    task = asyncio.create_task(fail())
    await asyncio.wait([task])
    await cancel_and_wait(task)
    await cancel_and_wait()


async def test_a_set_keeps_its_tasks_until_they_are_done() -> None:
    tasks = TaskSet()
    go = asyncio.Event()
    results: list[str] = []

    async def work() -> None:
        await go.wait()
        results.append("done")

    tasks.spawn(work())
    await asyncio.sleep(0)
    gc.collect()
    assert len(tasks) == 1
    go.set()
    await tasks.wait()
    await asyncio.sleep(0)
    assert results == ["done"]
    assert not tasks


async def test_a_spawned_task_has_its_name_context_and_result() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    context = contextvars.copy_context()
    context.run(variable.set, "inside")

    async def work() -> str:
        return variable.get()

    tasks = TaskSet()
    task = tasks.spawn(work(), name="reads", context=context)
    assert task.get_name() == "reads"
    assert await task == "inside"
    assert variable.get() == "unset"


async def test_a_failure_is_reported_at_once(reports: list[dict[str, Any]]) -> None:
    listen(reports)
    tasks = TaskSet()
    task = tasks.spawn(fail(), name="fails")
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert not tasks
    (report,) = reports
    assert report["message"] == "background task failed: fails"
    assert isinstance(report["exception"], ValueError)
    assert report["task"] is task


async def test_what_was_cancelled_is_not_reported(reports: list[dict[str, Any]]) -> None:
    listen(reports)
    tasks = TaskSet()
    task = tasks.spawn(asyncio.Event().wait())
    await asyncio.sleep(0)
    task.cancel()
    await tasks.wait()
    await asyncio.sleep(0)
    assert not tasks
    assert reports == []


async def test_closing_ends_tasks_that_swallow_a_cancellation(reports: list[dict[str, Any]]) -> None:
    listen(reports)
    tasks = TaskSet()
    spawned = [tasks.spawn(swallow_once()), tasks.spawn(asyncio.sleep(3600))]
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        await tasks.close()
    assert all(task.cancelled() for task in spawned)
    assert not tasks
    assert reports == []
    await tasks.close()


async def test_a_failure_while_closing_is_not_reported(reports: list[dict[str, Any]]) -> None:
    listen(reports)

    async def fails_when_cancelled() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("on purpose")

    tasks = TaskSet()
    tasks.spawn(fails_when_cancelled())
    await asyncio.sleep(0)
    await tasks.close()
    await asyncio.sleep(0)
    gc.collect()
    assert reports == []


async def test_waiting_ends_in_time_and_cancels_nothing() -> None:
    tasks = TaskSet()
    await tasks.wait()
    task = tasks.spawn(asyncio.Event().wait())
    await tasks.wait(0.01)
    assert not task.done()
    await tasks.close()
