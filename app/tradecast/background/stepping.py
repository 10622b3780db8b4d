"""Runs coroutines at once up to their first wait, without a task: what Python 3.12's eager tasks do.

Only for coroutines that are safe for it. Outside a task `asyncio.timeout` and `TaskGroup` fail, and a context
variable that is set stays set for others. So this is for our own coroutines that wait for nothing when all they need
is in this process's memory; handlers of other programs never run this way.
"""

from __future__ import annotations

import types
from collections.abc import Coroutine, Generator
from typing import Any, Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Done(NamedTuple, Generic[T]):
    """The result of a coroutine that did not wait for anything."""

    value: T


def step_coroutine(work: Coroutine[Any, Any, T]) -> Done[T] | Coroutine[Any, Any, T]:
    """Run a coroutine until it waits for the first time.

    Returns:
        Its result, if it did not wait; otherwise the rest of it, to be awaited in a task.

    Raises:
        Exception: What it raised before it waited.
    """
    try:
        waiting = work.send(None)
    except StopIteration as done:
        return Done(done.value)
    return _finish_coroutine(work, waiting)


async def _finish_coroutine(work: Coroutine[Any, Any, T], waiting: Any) -> T:
    return await _resume_coroutine(work, waiting)


@types.coroutine
def _resume_coroutine(work: Coroutine[Any, Any, T], waiting: Any) -> Generator[Any, Any, T]:
    """Yield what the coroutine waits for, from its current wait on."""
    try:
        while True:
            try:
                value = yield waiting
            except BaseException as error:
                waiting = work.throw(error)
            else:
                waiting = work.send(value)
    except StopIteration as done:
        result: T = done.value
        return result
