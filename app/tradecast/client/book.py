"""The newest quote of each symbol as a client knows it, made of whole quotes and of deltas. Pure: no clock, no socket.

`quotes.mjs` does the same in JavaScript; the tests hold both against a server.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from tradecast.delivery.shaping.deltas import apply_patch

Payload = Mapping[str, Any]
# Seconds. A server that is further behind another one than this is about to notice it.
MOST_BEHIND: Final = 10.0


class _Entry:
    """What is known of one symbol.

    Attributes:
        base: The payload that the next delta is for.
        number: Its number; None: a delta cannot be applied.
        newest: The payload that was handed out last.
        is_fresh: Whether nothing has come since the connection began.
    """

    __slots__ = ("base", "is_fresh", "newest", "number")

    def __init__(self) -> None:
        self.base: dict[str, Any] = {}
        self.number: int | None = None
        self.newest: Payload | None = None
        self.is_fresh = True


class QuoteBook:
    """Keeps the newest quote of each symbol."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def get(self, symbol: str) -> Payload | None:
        """The newest quote of a symbol, as it was handed out; None if there is none."""
        entry = self._entries.get(symbol)
        return entry.newest if entry is not None else None

    def take_whole(self, payload: object) -> Payload | None:
        """A `watchlist:quote` has come. What is to be handed out, if anything.

        The first one on a connection may be older than the last one of the connection before, if that server was
        ahead: then it is the base of deltas, and not handed out.
        """
        if not isinstance(payload, Mapping) or not isinstance(symbol := payload.get("symbol"), str):
            return None
        entry = self._entries.get(symbol)
        if entry is None:
            entry = self._entries[symbol] = _Entry()
        whole = dict(payload)
        number = whole.pop("number", None)
        if isinstance(number, int):
            entry.base, entry.number = whole, number
        elif number is not None:
            whole["number"] = number
        is_old = entry.is_fresh and entry.newest is not None and _is_older(whole, entry.newest)
        entry.is_fresh = False
        if is_old:
            return None
        entry.newest = whole
        return whole

    def take_delta(self, payload: object) -> Payload | str | None:
        """A `watchlist:quote:delta` has come.

        Returns:
            What is to be handed out; or the symbol that has to be subscribed to again, since what the delta is for is
            not here; None: it is no delta.
        """
        if not isinstance(payload, Mapping) or not isinstance(symbol := payload.get("symbol"), str):
            return None
        patch = dict(payload)
        number = patch.pop("number", None)
        entry = self._entries.get(symbol)
        if entry is None or entry.number is None or number != entry.number + 1:
            if entry is not None:
                entry.number = None
            return symbol
        entry.number += 1
        entry.base = entry.newest = apply_patch(entry.base, patch)
        return entry.base

    def begin_connection(self) -> None:
        """A connection has begun: deltas are for what comes on it."""
        for entry in self._entries.values():
            entry.number = None
            entry.is_fresh = True

    def forget(self, symbol: str) -> None:
        """A symbol is not wanted any more."""
        self._entries.pop(symbol, None)


def _is_older(one: Payload, other: Payload) -> bool:
    """Whether one quote was made shortly before another, as their timestamps say.

    Timestamps are of publishers, whose clocks need not agree: one that is an hour behind is the newest all the same.
    """
    first, second = _time_of(one), _time_of(other)
    return first is not None and second is not None and 0 < second - first < MOST_BEHIND


def _time_of(payload: Payload) -> float | None:
    timestamp = payload.get("timestamp")
    if not isinstance(timestamp, str):
        return None
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except (ValueError, OverflowError):
        return None
