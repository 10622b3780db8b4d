"""Times as JavaScript writes them."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from tradecast.iso_time import format_now, format_time


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_763_924_400, "2025-11-23T19:00:00.000Z"),
        (1_763_924_400.123, "2025-11-23T19:00:00.123Z"),  # as a double a little less
        (1_763_924_400.9999, "2025-11-23T19:00:00.999Z"),
        (-0.5, "1969-12-31T23:59:59.500Z"),
        (253_402_300_799.5, "9999-12-31T23:59:59.500Z"),
    ],
)
def test_a_time_has_milliseconds_and_ends_in_z(seconds: float, text: str) -> None:
    assert format_time(seconds) == text


@pytest.mark.parametrize("seconds", [1_763_924_400 + n * 0.001 for n in range(1000)])
def test_it_is_what_datetime_writes(seconds: float) -> None:
    written = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    assert format_time(seconds) == written.replace("+00:00", "Z")


def test_now_is_between_before_and_after() -> None:
    before, now, after = format_time(int(time.time())), format_now(), format_time(time.time() + 0.001)
    assert before <= now <= after
