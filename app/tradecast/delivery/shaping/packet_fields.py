"""Reads single fields of encoded packets. What a publisher wrote is read or ignored, never an error. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import orjson

# Seconds: the clock of a publisher may be wrong by more, and one such age would hide all others in a sum.
OLDEST: Final = 3600.0
# Bytes of a packet that is decoded.
LARGEST_STATUS: Final = 16_384
_TIMESTAMP: Final = b'"timestamp":"'
# An ISO 8601 time has fewer characters.
_LONGEST_TIME: Final = 40


def read_age(packet: bytes, now: float) -> float | None:
    """How old an event is by its own `timestamp`, in seconds from 0 to `OLDEST`; None: it has none that can be read.

    The JSON is not decoded: emitters write `timestamp` last, so it is searched for from the end.

    Args:
        packet: The encoded packet.
        now: Unix time in seconds.
    """
    start = packet.rfind(_TIMESTAMP)
    if start < 0:
        return None
    start += len(_TIMESTAMP)
    end = packet.find(b'"', start, start + _LONGEST_TIME)
    if end < 0:
        return None
    try:
        time = datetime.fromisoformat(packet[start:end].decode("ascii"))
        if time.tzinfo is None:
            return None
        return min(max(now - time.timestamp(), 0.0), OLDEST)
    except (ValueError, OverflowError):
        return None


def read_market_state(packet: bytes) -> bool | None:
    """Whether a `market:status` says that the market is open; None: it says neither open nor closed.

    The status is a string, or an object that has it as `state`.

    Args:
        packet: The encoded packet without its closing bracket.
    """
    start = packet.find(b"[")
    if start < 0 or len(packet) > LARGEST_STATUS:
        return None
    try:
        arguments: Any = orjson.loads(packet[start:] + b"]")
    except orjson.JSONDecodeError:
        return None
    payload = arguments[1] if len(arguments) > 1 else None
    status = payload.get("status") if isinstance(payload, dict) else None
    state = status.get("state") if isinstance(status, dict) else status
    if not isinstance(state, str):
        return None
    return {"open": True, "closed": False}.get(state.strip().lower())
