"""Waiting for what cannot be awaited: a condition is polled until it holds."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any


async def eventually(
    condition: Callable[[], object], within: float = 30.0, *, what: str = "", every: float = 0.01
) -> Any:
    """Wait until a condition holds.

    Args:
        condition: A function or a coroutine function. It holds when what it returns is true.
        within: Seconds after which the test fails.
        what: What is waited for, for the failure's message.
        every: Seconds between two polls.

    Returns:
        What the condition returned when it held.

    Raises:
        AssertionError: It did not hold in time.
    """
    deadline = time.monotonic() + within
    while True:
        answer: Any = condition()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        assert time.monotonic() < deadline, _describe_timeout(what, within, answer)
        await asyncio.sleep(every)


def wait_until(condition: Callable[[], object], within: float = 120.0, *, what: str = "", every: float = 0.5) -> Any:
    """As `eventually`, blocking, and as patient as a Kubernetes cluster needs it."""
    deadline = time.monotonic() + within
    while not (answer := condition()):
        assert time.monotonic() < deadline, _describe_timeout(what, within, answer)
        time.sleep(every)
    return answer


def _describe_timeout(what: str, within: float, answer: object) -> str:
    return f"not within {within:g} s: {what or 'the condition'} (last answer: {answer!r})"
