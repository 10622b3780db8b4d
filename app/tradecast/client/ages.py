"""When a quote is stale by a client's own clock: a server that hangs reports nothing. Pure: the time is handed in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping


class QuoteAges:
    """Which symbols have had no quote for too long.

    They are judged while the market is open only; before its status has come, nothing is stale.

    Args:
        max_age: Seconds after which a symbol's quote is stale; None: never.
    """

    def __init__(self, max_age: Callable[[str], float | None]) -> None:
        self._max_age = max_age
        self._received: dict[str, float] = {}
        self._stale: dict[str, float] = {}
        self._opened: float | None = None

    @property
    def stale(self) -> Mapping[str, float]:
        """When the last quote of each stale symbol came."""
        return self._stale

    def receive(self, symbol: str, now: float) -> bool:
        """A quote has come; whether the symbol was stale."""
        self._received[symbol] = now
        return self._stale.pop(symbol, None) is not None

    def take_status(self, status: object, now: float) -> None:
        """A `market:status` has come: a text, or an object with `state`."""
        state = status.get("state") if isinstance(status, Mapping) else status
        if isinstance(state, str) and state.casefold() == "open":
            self._opened = now if self._opened is None else self._opened
        else:
            self._opened = None

    def mark(self, symbols: Iterable[str], now: float) -> list[str]:
        """The server says that symbols are stale; those that were not yet."""
        found = []
        for symbol in symbols:
            if symbol not in self._stale:
                self._stale[symbol] = self._received.get(symbol, now)
                found.append(symbol)
        return found

    def clear(self, symbol: str) -> bool:
        """The server says that a symbol is not stale any more; whether it was."""
        return self._stale.pop(symbol, None) is not None

    def find_stale(self, now: float) -> list[str]:
        """Symbols that have become stale."""
        if self._opened is None:
            return []
        found = []
        for symbol, received in self._received.items():
            most = self._max_age(symbol)
            if symbol not in self._stale and most is not None and now - max(received, self._opened) > most:
                self._stale[symbol] = received
                found.append(symbol)
        return found

    def forget(self, symbol: str) -> None:
        """A symbol is not wanted any more."""
        self._received.pop(symbol, None)
        self._stale.pop(symbol, None)
