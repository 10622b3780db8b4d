"""Fields of encoded packets."""

from __future__ import annotations

from datetime import datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradecast.delivery.envelope import LATEST, encode_envelope
from tradecast.delivery.shaping.packet_fields import LARGEST_STATUS, OLDEST, read_age, read_market_state
from tradecast.iso_time import format_time

NOW = datetime.fromisoformat("2026-11-29T12:00:00Z").timestamp()


def packet(payload: object, event: str = "watchlist:quote") -> bytes:
    return encode_envelope(event, [payload], ["r"], LATEST).packet


@pytest.mark.parametrize(
    ("timestamp", "age"),
    [
        ("2026-11-29T11:59:59.750Z", 0.25),
        ("2026-11-29T13:00:00.000Z", 0),  # a clock that is an hour ahead
        ("2026-11-29T12:59:59.750+01:00", 0.25),
        ("2020-01-01T00:00:00.000Z", OLDEST),
        ("2026-11-29T11:59:59", None),  # without a zone
        ("yesterday", None),
        ("", None),
        ("9" * 100, None),
        ("0000-00-00T00:00:00Z", None),
        ("\u0661\u0662", None),
    ],
)
def test_age(timestamp: str, age: float | None) -> None:
    assert read_age(packet({"symbol": "A", "quote": {"price": 1}, "timestamp": timestamp}), NOW) == age


@pytest.mark.parametrize("value", [1764417600, None, ["2026-11-29T12:00:00Z"]])
def test_a_timestamp_of_another_type_has_no_age(value: object) -> None:
    assert read_age(packet({"timestamp": value}), NOW) is None


def test_the_last_timestamp_counts_and_none_is_no_error() -> None:
    inner = {"timestamp": format_time(NOW - 30)}
    assert read_age(packet({"quote": inner, "timestamp": format_time(NOW - 1)}), NOW) == 1
    assert read_age(packet({"quote": {}}), NOW) is None
    assert read_age(b'2["e",{"timestamp":"2026', NOW) is None


@given(st.binary(max_size=60))
def test_anything_has_an_age_or_none(data: bytes) -> None:
    age = read_age(b'2["e",{"timestamp":"' + data, NOW)
    assert age is None or 0 <= age <= OLDEST


@pytest.mark.parametrize(
    ("status", "is_open"),
    [
        ("open", True),
        ("OPEN ", True),
        ("closed", False),
        ({"state": "open", "phase": "open"}, True),
        ({"state": "closed", "phase": "pre-open"}, False),
        ("halted", None),
        ({"state": 1}, None),
        ({}, None),
        (None, None),
        (True, None),
        ([], None),
    ],
)
def test_state_of_the_market(status: object, is_open: bool | None) -> None:
    assert read_market_state(packet({"status": status, "timestamp": "t"}, "market:status")) is is_open


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b'2["market:status"',
        b'2["market:status",{"status":',
        b'2["market:status",3',
        b"2[",
        b"2" + b"[" * 5000,
        b'2["m",{"status":"open","x":"' + b"x" * LARGEST_STATUS + b'"}',
    ],
)
def test_what_is_no_status_says_nothing(data: bytes) -> None:
    assert read_market_state(data) is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(max_size=8),
        lambda inner: st.dictionaries(st.sampled_from(["status", "state", "x"]), inner) | st.lists(inner),
        max_leaves=8,
    )
)
def test_any_payload_is_a_state_or_none(payload: object) -> None:
    assert read_market_state(b'2["m",' + orjson.dumps(payload)) in (True, False, None)
