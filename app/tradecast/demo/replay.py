"""The replay's clock: what is quoted so many seconds after its start. Pure: the same second, the same answer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from tradecast.demo.prices import SOURCE, PricesUnavailable, Series, path_point

State = Literal["pre-open", "open", "closed"]

# Shares of a replayed day: the market is closed at its beginning and its end, so that days can be distinguished.
PRE_OPEN = 0.05
CLOSED = 0.10


@dataclass(frozen=True, slots=True)
class Quote:
    """One symbol at one moment.

    Prices are in cents; `high`, `low` and `volume` are those of the day so far; `progress` is the share of the day's
    trading that has passed, 0 to 1.
    """

    symbol: str
    day: date
    price: int
    open: int
    high: int
    low: int
    previous_close: int
    volume: int
    progress: float

    @property
    def change(self) -> int:
        return self.price - self.previous_close

    @property
    def change_percent(self) -> float:
        return 100 * self.change / self.previous_close if self.previous_close else 0.0

    def payload(self) -> dict[str, Any]:
        """As clients get it: prices in dollars, `date` the replayed day."""
        return {
            "symbol": self.symbol,
            "price": self.price / 100,
            "open": self.open / 100,
            "high": self.high / 100,
            "low": self.low / 100,
            "previousClose": self.previous_close / 100,
            "change": self.change / 100,
            "changePercent": round(self.change_percent, 2),
            "volume": self.volume,
            "progress": round(self.progress, 4),
            "date": self.day.isoformat(),
            "replay": True,
        }


@dataclass(frozen=True, slots=True)
class Moment:
    """What the replay shows at one time.

    Attributes:
        cycle: How often the data has been through before: 0, 1, ….
        day: The replayed day.
        state: Whether its market is not open yet, open, or closed again.
        quotes: By symbol; a symbol that is not traded on the day is absent.
        last_day: Whether the data ends with this day, so that the first one follows.
    """

    cycle: int
    day: date
    state: State
    quotes: Mapping[str, Quote]
    first_day: date
    final_day: date

    @property
    def last_day(self) -> bool:
        return self.day == self.final_day

    def status(self) -> dict[str, Any]:
        """The payload of `market:status`."""
        first, final = self.first_day.isoformat(), self.final_day.isoformat()
        return {
            "state": "open" if self.state == "open" else "closed",
            "phase": self.state,
            "date": self.day.isoformat(),
            "replay": True,
            "source": SOURCE,
            "firstDate": first,
            "lastDate": final,
            "cycle": self.cycle + 1,
            "startsOver": self.last_day,
            "note": f"A replay of past days, not the market of today. After {final} it starts over with {first}.",
        }


class Replay:
    """Trading days in a row, over and over.

    Args:
        prices: By symbol.
        start: First day; the next trading day where there was no trade on it.
        day_seconds: Seconds that a day takes, closed phases included.

    Raises:
        PricesUnavailable: There are no prices on or after `start`.
    """

    def __init__(self, prices: Mapping[str, Series], *, start: date, day_seconds: float) -> None:
        every = sorted({day for series in prices.values() for day in series.days})
        self.days = tuple(day for day in every if day >= start)
        if not self.days:
            raise PricesUnavailable(f"There are no prices on or after {start}; the last are of {every[-1]}")
        self.prices = prices
        self.day_seconds = day_seconds

    def at(self, seconds: float) -> Moment:
        """What is shown `seconds` after the start (0 or more)."""
        number = math.floor(seconds / self.day_seconds)
        part = seconds / self.day_seconds - number
        cycle, index = divmod(number, len(self.days))
        day = self.days[index]
        state: State = "open"
        if part < PRE_OPEN:
            state = "pre-open"
        elif part >= 1 - CLOSED:
            state = "closed"
        share = (part - PRE_OPEN) / (1 - PRE_OPEN - CLOSED)
        quotes = {}
        for symbol, series in self.prices.items():
            quote = _make_quote(series, day, state, share)
            if quote is not None:
                quotes[symbol] = quote
        return Moment(cycle, day, state, quotes, self.days[0], self.days[-1])


def _make_quote(series: Series, day: date, state: State, share: float) -> Quote | None:
    bar = series.bar(day)
    if bar is None:
        return None
    before = series.before(day, 1)
    if state == "pre-open":
        if not before:
            return None  # its first day ever: there is no price until it opens
        last = before[0].close
        return Quote(series.symbol, day, last, last, last, last, last, 0, 0.0)
    if state == "closed":
        share = 1.0
    point = path_point(bar, share)
    previous = before[0].close if before else bar.open
    return Quote(series.symbol, day, point.price, bar.open, point.high, point.low, previous, point.volume, share)
