"""What the feed publishes: real prices as the demo replays them, for two hundred symbols."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from tradecast.demo.prices import load_prices
from tradecast.demo.replay import Replay

# A day takes this long, so that ten quotes a second differ from each other as those of a lively symbol do.
DAY_SECONDS = 60.0
# The tape begins anew after so many seconds, inside the day: quotes of a market that is closed stand still.
SECONDS = 40
OPENED = 5.0
PORTFOLIO_BYTES = 10_000


def write_tape(path: Path, symbols: int, rate: int) -> None:
    """Write a quote a line: the symbol's number, a tab, the quote as JSON.

    Args:
        path: Where to.
        symbols: How many. Each is one of the five whose prices there are, from another day on.
        rate: Quotes a second of each.
    """
    with path.open("w") as file:
        for quotes in _ticks(symbols, rate):
            file.writelines(f"{number}\t{json.dumps(quote)}\n" for number, quote in enumerate(quotes))


def write_portfolio(path: Path) -> None:
    """Write a portfolio of at least `PORTFOLIO_BYTES`: positions at real prices."""
    positions: list[dict[str, Any]] = []
    size = 0
    for quotes in _ticks(200, 1):
        for number, quote in enumerate(quotes):
            quantity = 10 + number * 7 % 90
            positions.append(
                {
                    "symbol": f"S{number:03}",
                    "quantity": quantity,
                    "averagePrice": quote["previousClose"],
                    "price": quote["price"],
                    "value": round(quantity * quote["price"], 2),
                    "dayChange": round(quantity * quote["change"], 2),
                }
            )
            size += len(json.dumps(positions[-1], separators=(",", ":"))) + 1
            if size >= PORTFOLIO_BYTES:
                path.write_text(json.dumps({"positions": positions}, separators=(",", ":")))
                return


def _ticks(symbols: int, rate: int) -> Iterator[list[dict[str, Any]]]:
    prices = load_prices()
    # Facebook is the youngest: from its second month on all five are traded every day.
    start = prices["FB"].days[40]
    replays = [
        Replay(prices, start=start + timedelta(days=4 * number), day_seconds=DAY_SECONDS)
        for number in range(-(-symbols // len(prices)))
    ]
    for tick in range(SECONDS * rate):
        moments = [replay.at(OPENED + tick / rate) for replay in replays]
        quotes = [quote for moment in moments for quote in moment.quotes.values()][:symbols]
        payloads = [quote.payload() for quote in quotes]
        for payload in payloads:
            del payload["symbol"]  # the event names it
        yield payloads
