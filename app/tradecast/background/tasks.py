"""Background tasks: kept until they are done, reported when they fail, cancelled together."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, Final, TypeVar

T = TypeVar("T")

PATIENCE: Final = 1.0


async def cancel_and_wait(*tasks: asyncio.Future[Any] | None, patience: float = PATIENCE) -> None:
    """Cancel tasks, and repeat that until every one is done, whatever its result.

    One cancellation is not enough: before Python 3.12 `asyncio.wait_for`, which redis-py uses for writing, swallows a
    cancellation that arrives when the write has just finished (https://github.com/python/cpython/issues/86296).

    Args:
        tasks: The tasks; None is skipped.
        patience: Seconds until tasks that are still running are cancelled again.
    """
    cancelled = {task for task in tasks if task is not None}
    running = {task for task in cancelled if not task.done()}
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=patience)
    for task in cancelled:
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio does not warn about it


class TaskSet:
    """Runs coroutines in tasks of its own and keeps a reference to each: the event loop holds weak ones only.

    A task that fails is reported at once to the loop's exception handler, which logs it unless the program has set
    another one. Its length is the number of tasks that are not done.
    """

    __slots__ = ("_tasks",)

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(
        self, work: Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[T]:
        """Run a coroutine in a task.

        Args:
            work: The coroutine.
            name: The task's name, for debugging and for the report of a failure.
            context: The context to run in; None: a copy of the current one.
        """
        task = asyncio.get_running_loop().create_task(work, name=name, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    async def wait(self, patience: float | None = None) -> None:
        """Wait until the tasks that run now are done, for `patience` seconds at most. It cancels none of them."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=patience)

    async def close(self) -> None:
        """Cancel the tasks that run now and wait until they are done. What a task raises meanwhile is not reported."""
        tasks, self._tasks = self._tasks, set()
        await cancel_and_wait(*tasks)

    def _on_done(self, task: asyncio.Task[Any]) -> None:
        if task not in self._tasks:
            return  # it was cancelled by `close`
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            report = {"message": f"background task failed: {task.get_name()}", "exception": error, "task": task}
            task.get_loop().call_exception_handler(report)
