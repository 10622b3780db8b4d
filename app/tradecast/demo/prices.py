"""Daily prices that a package ships, and the path of a day made from them.

The prices are real: `bokeh_sampledata.stocks` holds the daily bars of AAPL, FB, GOOG, IBM and MSFT up to 2013-03-01
(Quandl WIKI prices, public domain). Money is in whole cents from here on.
"""

from __future__ import annotations

import importlib
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from itertools import pairwise
from typing import Any

SOURCE = "bokeh_sampledata daily prices"
SYMBOLS = ("AAPL", "FB", "GOOG", "IBM", "MSFT")
# Below this change of the adjustment from one day to the next it is a dividend (the largest in the data, Microsoft's
# special one of 2004, is 1.11); the smallest split in use, 5 for 4, is 1.25.
SPLIT = 1.2


class PricesUnavailable(RuntimeError):
    """The package with the prices is not installed, or has no prices for the request. The text says what to do."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One symbol's trading day; prices in cents, volume in shares."""

    day: date
    open: int
    high: int
    low: int
    close: int
    volume: int


@dataclass(frozen=True, slots=True)
class Point:
    """Where a day's path has come to; prices in cents, `high` and `low` those so far, volume in shares so far."""

    price: int
    high: int
    low: int
    volume: int


class Series:
    """One symbol's days in order."""

    __slots__ = ("_days", "_index", "bars", "symbol")

    def __init__(self, symbol: str, bars: Sequence[Bar]) -> None:
        self.symbol = symbol
        self.bars = tuple(bars)
        self._days = [bar.day for bar in self.bars]
        self._index = {bar.day: number for number, bar in enumerate(self.bars)}

    @property
    def days(self) -> Sequence[date]:
        return self._days

    def bar(self, day: date) -> Bar | None:
        """The bar of a day; None where the symbol was not traded."""
        number = self._index.get(day)
        return None if number is None else self.bars[number]

    def before(self, day: date, count: int) -> tuple[Bar, ...]:
        """The last `count` bars before a day, oldest first; fewer where the symbol is younger."""
        end = bisect_left(self._days, day)
        return self.bars[max(0, end - count) : end]

    def mean(self, day: date, count: int) -> int | None:
        """Mean of the `count` closes before a day, in cents; None where there are fewer."""
        bars = self.before(day, count)
        return round(sum(bar.close for bar in bars) / count) if len(bars) == count else None


def load_prices() -> dict[str, Series]:
    """Every symbol's series, from the package.

    Raises:
        PricesUnavailable: The package is not installed.
    """
    try:
        stocks = importlib.import_module("bokeh_sampledata.stocks")
    except ImportError:
        raise PricesUnavailable(
            "The demo's prices are not installed: pip install '.[demo]' in tradecast's folder"
        ) from None
    return {symbol: Series(symbol, bars_from_columns(getattr(stocks, symbol))) for symbol in SYMBOLS}


def bars_from_columns(columns: Mapping[str, Sequence[Any]]) -> list[Bar]:
    """Bars from the package's columns, restated for splits.

    The package gives prices as they were quoted, so a share split in two would look like a fall by half. All days are
    therefore said in shares of the *last* day: prices before a split are divided by its ratio, volumes multiplied.
    Dividends are left alone (they are payments, and the price did fall), and splits after the data's end (Apple's and
    Google's of 2014, which `adj_close` contains) too: recent days keep the prices that people saw.
    """
    opens, closes, adjusted = columns["open"], columns["close"], columns["adj_close"]
    bars: list[Bar] = []
    ratio = Fraction(1)
    for number in range(len(closes) - 1, -1, -1):
        bars.append(
            Bar(
                day=date.fromisoformat(columns["date"][number]),
                open=_to_cents(opens[number], ratio),
                high=_to_cents(columns["high"][number], ratio),
                low=_to_cents(columns["low"][number], ratio),
                close=_to_cents(closes[number], ratio),
                volume=round(columns["volume"][number] * ratio),
            )
        )
        if number:
            ratio *= split_between(
                closes[number - 1], adjusted[number - 1], opens[number], closes[number], adjusted[number]
            )
    bars.reverse()
    return bars


def split_between(
    close: float, adj_close: float, next_open: float, next_close: float, next_adj_close: float
) -> Fraction:
    """How many shares one became overnight: 2 for two for one, 1 for no split.

    A split shows twice: in what `adj_close` is adjusted by, and in where the stock opened. Both must agree, so that
    neither a large dividend nor a real crash is taken for one.
    """
    adjustment = (close / adj_close) / (next_close / next_adj_close)
    opened = close / next_open
    for seen, needed in ((adjustment, SPLIT), (opened, SPLIT**0.5)):
        if 1 / needed < seen < needed:
            return Fraction(1)
    if (adjustment > 1) != (opened > 1):
        return Fraction(1)
    return Fraction(adjustment).limit_denominator(10)


def path_point(bar: Bar, share: float) -> Point:
    """Where a day stands when `share` of it (0 to 1) has passed.

    Known are open, high, low and close, no more, so the path is the plainest that touches all four: from the open to
    the nearer extreme, on to the other one, then to the close, straight and at an even pace. Nothing is random.
    """
    share = min(max(share, 0.0), 1.0)
    up, down = bar.high - bar.open, bar.open - bar.low
    # As near to both: a day that ends higher is taken to have fallen first.
    first, second = (bar.high, bar.low) if up < down or (up == down and bar.close < bar.open) else (bar.low, bar.high)
    stops = (bar.open, first, second, bar.close)
    left = share * sum(abs(b - a) for a, b in pairwise(stops))
    price, high, low = float(bar.open), float(bar.open), float(bar.open)
    for start, end in pairwise(stops):
        length = abs(end - start)
        done = min(left, length)
        if length:
            price = start + (end - start) * (done / length)
            high, low = max(high, price), min(low, price)
        left -= done
        if done < length:
            break
    if share == 1.0:
        price, high, low = bar.close, bar.high, bar.low  # whatever rounding did on the way
    return Point(round(price), round(high), round(low), int(bar.volume * share))


def _to_cents(price: float, ratio: Fraction) -> int:
    return round(float(price) * 100 / float(ratio))
