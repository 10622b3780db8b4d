"""An error and those around it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tradecast.causes.codes import Code


class Failed(ConnectionError):
    """An error of our own whose cause is known.

    Attributes:
        code: That.
    """

    def __init__(self, code: Code) -> None:
        super().__init__(str(code))
        self.code = code


def compile_pattern(text: str) -> re.Pattern[str]:
    """A pattern that ignores case."""
    return re.compile(text, re.IGNORECASE)


def is_named(error: BaseException, *names: str) -> bool:
    """Whether an error's class, or one above it, has one of the names."""
    return any(kind.__name__ in names for kind in type(error).__mro__)


def iterate_chain(error: BaseException) -> Iterator[BaseException]:
    """An error, and all that it was raised from or beside."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__cause__, one.__context__]
