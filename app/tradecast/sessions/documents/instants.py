"""Points in time as other programs write them. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

# As seconds that is the year 5138, as milliseconds 1973.
_MILLISECONDS_FROM: Final = 1e11
_LONGEST: Final = 100
_NUMBER: Final = re.compile(r"[+-]?\d{1,19}(?:\.\d{1,9})?", re.ASCII)
# JavaScript's years beyond four digits (ECMA-262 §21.4.1.32), and its Date.prototype.toString (§21.4.4.41).
_FAR: Final = re.compile(r"([+-])\d{6}-\d\d-\d\dT", re.ASCII)
_JAVASCRIPT: Final = re.compile(r"[A-Z][a-z]{2} ([A-Z][a-z]{2} \d\d \d{4} \d\d:\d\d:\d\d) GMT([+-]\d{4})", re.ASCII)


def read_instant(value: object) -> float | None:
    """Unix seconds; infinite for a year beyond 9999; None for what says no time.

    Args:
        value: Unix seconds or milliseconds, as a number or a text; a datetime; a text as ISO 8601, HTTP (RFC 9110
            §5.6.7) or JavaScript write it; or MongoDB's `{"$date": …}`.
    """
    if isinstance(value, Mapping):
        inner = value.get("$date")
        return None if isinstance(inner, Mapping) and "$date" in inner else read_instant(inner)
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, str):
        text = value.strip()
        number = read_number(text)
        if number is None:
            return _read_text(text) if len(text) <= _LONGEST else None
    else:
        number = read_number(value)
    if number is None:
        return None
    return number / 1000 if abs(number) >= _MILLISECONDS_FROM else number


def read_number(value: object) -> float | None:
    """A finite number below 1e18, given as one or as a text; None for anything else, booleans too."""
    if isinstance(value, str):
        text = value.strip()
        return float(text) if len(text) <= _LONGEST and _NUMBER.fullmatch(text) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e18 < value < 1e18:
        return None
    return float(value)


def _read_text(text: str) -> float | None:
    far = _FAR.match(text)
    if far is not None:
        return math.inf if far[1] == "+" else -math.inf
    written = _JAVASCRIPT.match(text)
    try:
        if written is not None:
            at = datetime.strptime(f"{written[1]} {written[2]}", "%b %d %Y %H:%M:%S %z")
        else:
            at = _read_standard(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):  # email's parser raises any of them
        return None


def _read_standard(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return parsedate_to_datetime(text)
