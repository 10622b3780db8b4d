"""BSON's own types as Python's. Pure."""

from __future__ import annotations

import math
from typing import Any, Final
from uuid import UUID

from bson.binary import UUID_SUBTYPE, Binary
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId

# How deep documents are read.
MAX_DEPTH: Final = 32
# Milliseconds: JavaScript has no time beyond it (ECMA-262 §21.4.1.1).
FARTHEST: Final = 8_640_000_000_000_000


def to_plain(value: Any, depth: int) -> Any:
    """BSON's own types as Python's; what is nested deeper than `depth` is left out."""
    if isinstance(value, dict):
        return {key: to_plain(item, depth - 1) for key, item in value.items()} if depth else None
    if isinstance(value, list):
        return [to_plain(item, depth - 1) for item in value] if depth else None
    if isinstance(value, ObjectId):
        return str(value)
    if isinstance(value, Decimal128):
        number = value.to_decimal()
        # Not as a double, which could be the whole number next to it: it may be another user's id.
        return int(number) if number.is_finite() and abs(number) < 2**63 and number % 1 == 0 else math.nan
    if isinstance(value, Binary) and value.subtype == UUID_SUBTYPE and len(value) == 16:
        return str(UUID(bytes=bytes(value)))
    if isinstance(value, DatetimeMS):  # a time that Python has no date for
        return {"$date": max(-FARTHEST, min(FARTHEST, int(value)))}
    return int(value) if isinstance(value, Int64) else value
