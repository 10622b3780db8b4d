"""Reading what somebody else wrote: each value is of the type and within the bounds expected, or an error. Pure.

A server, a Redis or a ConfigMap of a fleet may say anything. What passes here can be compared, added up, put into a
status and told to an autoscaler without another look.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any


def parse(text: bytes) -> Any:
    """JSON in UTF-8. Raises ValueError for what is none, NaN and Infinity and what is nested too deeply among it."""
    try:
        return json.loads(text.decode(), parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse(name: str) -> Any:
    raise ValueError(f"no number: {name}")


def fields(value: Any) -> dict[str, Any]:
    """An object. Raises ValueError."""
    if not isinstance(value, dict):
        raise ValueError("no object")
    return value


def number(value: Any, low: float, high: float) -> float:
    """A number that is finite and within bounds. Raises ValueError."""
    # Compared before it becomes a float: a whole number may be too large for one.
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError("no such number")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("not finite")
    return value


def whole(value: Any, high: int) -> int:
    """A whole number from 0 to `high`. Raises ValueError."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= high:
        raise ValueError("no such whole number")
    return value


def truth(value: Any) -> bool:
    """True or false. Raises ValueError."""
    if not isinstance(value, bool):
        raise ValueError("neither true nor false")
    return value


def field(said: Mapping[str, Any], name: str, read: Callable[[Any], Any]) -> Any:
    """What an object says under a name, as `read` reads it. Raises ValueError, with the name."""
    try:
        return read(said.get(name))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def name(value: Any) -> str:
    """A text that may be a name in Kubernetes, as far as its length says. Raises ValueError."""
    if not isinstance(value, str) or not 0 < len(value) <= 253:
        raise ValueError("no name")
    return value


def text(value: Any, longest: int) -> str:
    """A text of one line and so many characters at most, longer ones cut off. Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError("no text")
    cut = value[:longest]
    return cut if cut.isprintable() else "".join(one if one.isprintable() else " " for one in cut)
