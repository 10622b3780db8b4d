from __future__ import annotations

import sys
from datetime import date, timedelta
from fractions import Fraction

import pytest

from tradecast.demo.prices import (
    SYMBOLS,
    Bar,
    PricesUnavailable,
    Series,
    bars_from_columns,
    load_prices,
    path_point,
    split_between,
)

BAR = Bar(date(2012, 5, 21), open=1000, high=1050, low=900, close=1020, volume=10_000)


def test_every_symbol_is_loaded_with_plausible_bars() -> None:
    prices = load_prices()

    assert tuple(prices) == SYMBOLS
    for series in prices.values():
        assert series.bars[-1].day == date(2013, 3, 1)
        assert all(0 < bar.low <= min(bar.open, bar.close) for bar in series.bars)
        assert all(max(bar.open, bar.close) <= bar.high for bar in series.bars)
        assert list(series.days) == sorted(set(series.days))
    assert prices["FB"].bars[0] == Bar(date(2012, 5, 18), 4205, 4500, 3800, 3823, 573_576_400)


def test_recent_days_keep_the_prices_that_people_saw() -> None:
    """`adj_close` also holds Apple's and Google's splits of 2014; they must not reach back."""
    apple = load_prices()["AAPL"].bar(date(2013, 3, 1))

    assert apple is not None
    assert (apple.open, apple.close, apple.volume) == (43_800, 43_047, 19_730_300)


@pytest.mark.parametrize(
    ("symbol", "day", "before"),
    [
        ("AAPL", date(2000, 6, 21), date(2000, 6, 20)),
        ("AAPL", date(2005, 2, 28), date(2005, 2, 25)),
        ("MSFT", date(2003, 2, 18), date(2003, 2, 14)),
    ],
)
def test_a_split_overnight_does_not_look_like_a_crash(symbol: str, day: date, before: date) -> None:
    series = load_prices()[symbol]
    bar, last = series.bar(day), series.bar(before)

    assert bar is not None
    assert last is not None
    assert 0.9 < bar.open / last.close < 1.1


def test_real_moves_are_left_alone() -> None:
    prices = load_prices()
    crash, before = prices["AAPL"].bar(date(2000, 9, 29)), prices["AAPL"].bar(date(2000, 9, 28))
    jump, eve = prices["FB"].bar(date(2012, 10, 24)), prices["FB"].bar(date(2012, 10, 23))

    assert crash is not None
    assert before is not None
    assert 0.50 < crash.open / before.close < 0.55
    assert jump is not None
    assert eve is not None
    assert 1.20 < jump.open / eve.close < 1.27


@pytest.mark.parametrize(
    ("night", "ratio"),
    [
        ((100.0, 50.0, 50.5, 51.0, 51.0), Fraction(2)),
        ((100.0, 100.0, 67.0, 66.0, 99.0), Fraction(3, 2)),
        ((10.0, 50.0, 49.0, 51.0, 51.0), Fraction(1, 5)),
        ((100.0, 90.0, 88.0, 89.0, 89.0), Fraction(1)),  # a dividend of a tenth
        ((100.0, 100.0, 52.0, 50.0, 50.0), Fraction(1)),  # a crash
        ((100.0, 50.0, 100.0, 101.0, 101.0), Fraction(1)),  # adjusted, but the market did not notice
        ((100.0, 50.0, 200.0, 210.0, 210.0), Fraction(1)),  # the two contradict each other
    ],
)
def test_a_split_is_seen_in_adjustment_and_opening(
    night: tuple[float, float, float, float, float], ratio: Fraction
) -> None:
    assert split_between(*night) == ratio


def test_two_splits_multiply_and_volume_grows_with_them() -> None:
    bars = bars_from_columns(
        {
            "date": ["2020-01-01", "2020-01-02", "2020-01-03"],
            "open": [400.0, 201.0, 100.0],
            "high": [410.0, 205.0, 102.0],
            "low": [390.0, 199.0, 99.0],
            "close": [400.0, 200.0, 101.0],
            "volume": [10, 20, 40],
            "adj_close": [100.0, 100.0, 101.0],
        }
    )

    assert [(bar.open, bar.close, bar.volume) for bar in bars] == [
        (10_000, 10_000, 40),
        (10_050, 10_000, 40),
        (10_000, 10_100, 40),
    ]


def test_the_path_goes_from_the_open_by_the_nearer_extreme_to_the_other_and_the_close() -> None:
    """50 up, 150 down, 120 up: an even pace turns at 50/320 and 200/320 of the day."""
    shares = [0, 25 / 320, 50 / 320, 125 / 320, 200 / 320, 260 / 320, 1]
    points = [path_point(BAR, share) for share in shares]

    assert [point.price for point in points] == [1000, 1025, 1050, 975, 900, 960, 1020]
    assert [point.high for point in points] == [1000, 1025, 1050, 1050, 1050, 1050, 1050]
    assert [point.low for point in points] == [1000, 1000, 1000, 975, 900, 900, 900]
    assert [point.volume for point in points] == [0, 781, 1562, 3906, 6250, 8125, 10_000]


def test_the_path_takes_the_low_first_when_it_is_nearer() -> None:
    bar = Bar(BAR.day, open=1000, high=1100, low=990, close=1050, volume=1)

    assert path_point(bar, 10 / 170).price == 990
    assert path_point(bar, 120 / 170).price == 1100


def test_a_day_without_movement_has_a_path() -> None:
    bar = Bar(BAR.day, 500, 500, 500, 500, 7)

    assert {path_point(bar, share).price for share in (0, 0.3, 1)} == {500}


def test_the_path_stays_within_the_day_for_every_real_bar_of_the_replay() -> None:
    for series in load_prices().values():
        for bar in series.bars[-60:]:
            points = [path_point(bar, step / 37) for step in range(38)]
            assert points[0].price == bar.open
            assert (points[-1].price, points[-1].high, points[-1].low) == (bar.close, bar.high, bar.low)
            assert all(bar.low <= p.low <= p.price <= p.high <= bar.high for p in points)
            assert [p.volume for p in points] == sorted(p.volume for p in points)


def test_what_lies_before_a_day_leaves_the_day_out() -> None:
    first = date(2020, 1, 6)
    bars = [Bar(first + timedelta(days=n), 1, 1, 1, 100 * (n + 1), 1) for n in range(5)]
    series = Series("X", bars)

    assert [bar.close for bar in series.before(bars[3].day, 2)] == [200, 300]
    assert series.mean(bars[3].day, 3) == 200
    assert series.mean(bars[3].day, 4) is None
    assert series.before(first, 3) == ()
    assert series.bar(first - timedelta(days=1)) is None


def test_without_the_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bokeh_sampledata.stocks", None)

    with pytest.raises(PricesUnavailable, match=r"pip install '\.\[demo\]'"):
        load_prices()
