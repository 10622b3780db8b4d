"""Reading untrusted values: each has the expected type and is within bounds, or is an error. Pure.

A server, a Redis or a ConfigMap of a fleet may contain anything. What passes here can be compared, added, written into
a status and reported to an autoscaler without another check.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import orjson


def parse_json(text: bytes) -> Any:
    """Parse JSON in UTF-8. Raises ValueError, for NaN, Infinity and too deep nesting as well."""
    return orjson.loads(text)


def read_object(value: Any) -> dict[str, Any]:
    """Read an object. Raises ValueError."""
    if not isinstance(value, dict):
        raise ValueError("no object")
    return value


def read_number(value: Any, low: float, high: float) -> float:
    """Read a finite number from `low` to `high`. Raises ValueError."""
    # Compared before it becomes a float: a whole number may be too large for one.
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError("no such number")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("not finite")
    return value


def read_integer(value: Any, high: int) -> int:
    """Read an integer from 0 to `high`. Raises ValueError."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= high:
        raise ValueError("no such integer")
    return value


def read_boolean(value: Any) -> bool:
    """Read true or false. Raises ValueError."""
    if not isinstance(value, bool):
        raise ValueError("neither true nor false")
    return value


def read_field(data: Mapping[str, Any], name: str, read: Callable[[Any], Any]) -> Any:
    """Read an object's field with `read`. Raises ValueError with the field's name."""
    try:
        return read(data.get(name))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def read_name(value: Any) -> str:
    """Read a string that is short enough for a name in Kubernetes. Raises ValueError."""
    if not isinstance(value, str) or not 0 < len(value) <= 253:
        raise ValueError("no name")
    return value


def read_text(value: Any, longest: int) -> str:
    """Read a string as one line, cut off after `longest` characters. Raises ValueError."""
    if not isinstance(value, str):
        raise ValueError("no string")
    cut = value[:longest]
    return cut if cut.isprintable() else "".join(one if one.isprintable() else " " for one in cut)
