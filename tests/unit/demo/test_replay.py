from __future__ import annotations

from datetime import date

import pytest

from tradecast.demo.prices import Bar, PricesUnavailable, Series
from tradecast.demo.replay import Replay

MONDAY, TUESDAY, WEDNESDAY = date(2020, 1, 6), date(2020, 1, 7), date(2020, 1, 8)
OLD = Series(
    "OLD",
    [
        Bar(MONDAY, 1000, 1100, 1000, 1100, 1_000),
        Bar(TUESDAY, 1150, 1250, 1150, 1200, 2_000),
        Bar(WEDNESDAY, 1200, 1200, 1200, 1200, 3_000),
    ],
)
NEW = Series("NEW", [Bar(TUESDAY, 500, 600, 500, 600, 10), Bar(WEDNESDAY, 600, 600, 600, 600, 10)])
PRICES = {"OLD": OLD, "NEW": NEW}


@pytest.fixture
def replay() -> Replay:
    return Replay(PRICES, start=MONDAY, day_seconds=20)


def test_a_day_is_closed_at_its_beginning_and_its_end(replay: Replay) -> None:
    states = [replay.at(second).state for second in (0, 0.9, 1.0, 10, 17.9, 18.0, 19.9)]

    assert states == ["pre-open", "pre-open", "open", "open", "open", "closed", "closed"]


def test_the_market_status_says_that_it_is_a_replay(replay: Replay) -> None:
    assert replay.at(25).status() == {
        "state": "open",
        "phase": "open",
        "date": "2020-01-07",
        "replay": True,
        "source": "bokeh_sampledata daily prices",
        "firstDate": "2020-01-06",
        "lastDate": "2020-01-08",
        "cycle": 1,
        "startsOver": False,
        "note": "A replay of past days, not the market of today. After 2020-01-08 it starts over with 2020-01-06.",
    }
    assert replay.at(20).status()["state"] == "closed"


def test_the_quote_of_an_open_market(replay: Replay) -> None:
    """Two thirds of the path: 100 up from 1150, and 50 of the way down again are still to come."""
    quote = replay.at(20 + 1 + 17 * 2 / 3).quotes["OLD"].payload()

    assert quote == {
        "symbol": "OLD",
        "price": 12.5,
        "open": 11.5,
        "high": 12.5,
        "low": 11.5,
        "previousClose": 11.0,
        "change": 1.5,
        "changePercent": 13.64,
        "volume": 1333,
        "progress": 0.6667,
        "date": "2020-01-07",
        "replay": True,
    }


def test_before_it_opens_a_day_shows_the_last_close(replay: Replay) -> None:
    quote = replay.at(20.5).quotes["OLD"]

    assert (quote.day, quote.price, quote.change, quote.volume) == (TUESDAY, 1100, 0, 0)


def test_after_it_closed_a_day_shows_its_close(replay: Replay) -> None:
    quote = replay.at(39).quotes["OLD"]

    assert (quote.price, quote.high, quote.low, quote.volume, quote.progress) == (1200, 1250, 1150, 2_000, 1.0)


def test_a_symbol_appears_when_it_is_first_traded(replay: Replay) -> None:
    assert set(replay.at(10).quotes) == {"OLD"}
    assert set(replay.at(20.5).quotes) == {"OLD"}  # no price before the first opening
    first = replay.at(21).quotes["NEW"]
    assert (first.price, first.previous_close) == (500, 500)


def test_at_the_end_it_starts_over_and_says_so(replay: Replay) -> None:
    last, again = replay.at(59), replay.at(60)

    assert last.status()["startsOver"] is True
    assert (last.cycle, last.day) == (0, WEDNESDAY)
    assert (again.cycle, again.day) == (1, MONDAY)
    assert again.status()["cycle"] == 2
    assert replay.at(65).quotes == replay.at(5).quotes


def test_a_start_on_a_weekend_is_the_next_trading_day() -> None:
    assert Replay(PRICES, start=date(2020, 1, 4), day_seconds=20).at(0).day == MONDAY


def test_a_start_after_the_data_is_refused() -> None:
    with pytest.raises(PricesUnavailable, match="2020-01-08"):
        Replay(PRICES, start=date(2020, 1, 9), day_seconds=20)
