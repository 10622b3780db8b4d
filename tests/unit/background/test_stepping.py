"""Coroutines that run at once as far as they go."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tradecast.background.stepping import Done, step_coroutine


async def returns(value: Any) -> Any:
    return value


async def adds_up(count: int) -> int:
    total = 0
    for n in range(count):
        await asyncio.sleep(0)
        total += n
    return total


@pytest.mark.parametrize("value", [None, 1, "x", (1, 2), StopIteration])
def test_what_waits_for_nothing_is_done_without_a_loop(value: Any) -> None:
    async def outer() -> Any:
        return await returns(value)

    assert step_coroutine(outer()) == Done(value)


def test_what_it_raises_is_raised() -> None:
    async def fails() -> None:
        raise KeyError("planted")

    with pytest.raises(KeyError):
        step_coroutine(fails())


async def test_the_rest_is_awaited() -> None:
    rest = step_coroutine(adds_up(5))
    assert not isinstance(rest, Done)
    assert await rest == 10


async def test_the_rest_runs_in_a_task_with_results_of_futures() -> None:
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    order: list[str] = []

    async def work() -> str:
        order.append("begun")
        got = await future
        order.append(got)
        await asyncio.sleep(0.01)
        return got + "!"

    rest = step_coroutine(work())
    assert order == ["begun"]
    assert not isinstance(rest, Done)
    task = asyncio.create_task(rest)
    await asyncio.sleep(0)
    future.set_result("value")
    assert await task == "value!"


async def test_future_that_is_done_before_the_rest_is_awaited() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def work() -> int:
        return await future

    rest = step_coroutine(work())
    assert not isinstance(rest, Done)
    future.set_result(7)
    assert await asyncio.create_task(rest) == 7


async def test_failure_of_what_is_waited_for_arrives_inside() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def work() -> str:
        try:
            await future
        except KeyError:
            return "caught"
        return "?"

    rest = step_coroutine(work())
    assert not isinstance(rest, Done)
    future.set_exception(KeyError())
    assert await rest == "caught"


async def test_cancelling_the_task_cancels_what_is_inside() -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("inside")

    rest = step_coroutine(work())
    assert not isinstance(rest, Done)
    task = asyncio.create_task(rest)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["inside"]


async def test_failure_behind_the_first_wait_is_that_of_the_rest() -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise KeyError("planted")

    rest = step_coroutine(work())
    assert not isinstance(rest, Done)
    with pytest.raises(KeyError):
        await rest
