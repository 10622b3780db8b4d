"""Points in time as other programs write them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest

from tradecast.sessions.documents.instants import read_instant, read_number

AT = 1_800_000_000.0  # 2027-01-15T08:00:00Z


@pytest.mark.parametrize(
    "value",
    [
        *(AT, AT * 1000, int(AT), int(AT) * 1000, f"{AT:.0f}", f"{AT:.0f}000", f"{AT:.1f}", f"  {AT:.0f} "),
        *("2027-01-15T08:00:00Z", "2027-01-15T08:00:00.000Z", "2027-01-15T09:00:00+01:00", "2027-01-15 08:00:00"),
        *("2027-01-15T08:00:00", "20270115T080000Z"),
        *("Fri, 15 Jan 2027 08:00:00 GMT", "Fri, 15 Jan 2027 09:00:00 +0100", "15 Jan 2027 08:00:00 -0000"),
        *("Fri Jan 15 2027 09:00:00 GMT+0100 (Central European Standard Time)", "Fri Jan 15 2027 08:00:00 GMT+0000"),
        *(datetime.fromtimestamp(AT, UTC), datetime.fromtimestamp(AT, UTC).replace(tzinfo=None)),
        *({"$date": "2027-01-15T08:00:00Z"}, {"$date": AT * 1000}),
    ],
)
def test_instants(value: object) -> None:
    assert read_instant(value) == AT


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, False, "", " ", "soon", "yesterday", "2027-13-01", "NaN", "Infinity", "1e9", "0x10", "١٢٣"),
        *(math.nan, math.inf, 1e18, -1e18, 10**40, [], {}, {"$date": {"$date": 1}}, {"$date": None}, b"1", object()),
        *("9" * 100, "x" * 100_000, "Foo Bar 99 2027 99:00:00 GMT+0000", "Fri, 99 Jan 2027 08:00:00 GMT"),
    ],
)
def test_no_instants(value: object) -> None:
    assert read_instant(value) is None


def test_years_beyond_four_digits() -> None:
    assert read_instant("+010000-01-01T00:00:00.000Z") == math.inf
    assert read_instant("-000001-01-01T00:00:00.000Z") == -math.inf


@pytest.mark.parametrize(("value", "number"), [(5, 5.0), ("5", 5.0), (" -5.5 ", -5.5), ("86400000", 86_400_000.0)])
def test_numbers(value: object, number: float) -> None:
    assert read_number(value) == number


@pytest.mark.parametrize("value", [None, True, "", "5s", "1e3", math.nan, [], {}, "9" * 30])
def test_no_numbers(value: object) -> None:
    assert read_number(value) is None
