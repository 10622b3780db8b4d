"""Requests that servers sign for each other."""

from __future__ import annotations

import pytest

from tradecast.polling_relay.sids import make_sid
from tradecast.polling_relay.signatures import SKEW, sign_request, signed_for

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
BOOT, TARGET, NOW = "bootbootboot", b"/socket.io/?EIO=4&sid=x", 1_700_000_000.5
VALUE = sign_request(KEY, "GET", TARGET, BOOT, NOW)


def test_a_signed_request_names_whom_it_is_for() -> None:
    assert signed_for(VALUE, [KEY], "GET", TARGET, NOW) == BOOT
    assert signed_for(VALUE, [OTHER_KEY, KEY], "GET", TARGET, NOW) == BOOT


def test_nothing_else_may_be_asked_with_it() -> None:
    assert signed_for(VALUE, [KEY], "POST", TARGET, NOW) is None
    assert signed_for(VALUE, [KEY], "GET", TARGET + b"y", NOW) is None
    assert signed_for(VALUE, [KEY], "GET", b"", NOW) is None
    assert signed_for(VALUE, [OTHER_KEY], "GET", TARGET, NOW) is None
    assert signed_for(VALUE, [], "GET", TARGET, NOW) is None


def test_nobody_else_may_be_asked_with_it() -> None:
    assert signed_for(VALUE.replace(BOOT.encode(), b"toobtoobtoob"), [KEY], "GET", TARGET, NOW) is None


@pytest.mark.parametrize("apart", [-SKEW - 2, SKEW + 2, 10**9])
def test_it_is_good_for_a_minute(apart: float) -> None:
    assert signed_for(VALUE, [KEY], "GET", TARGET, NOW + apart) is None
    assert signed_for(VALUE, [KEY], "GET", TARGET, NOW + SKEW - 1) == BOOT
    assert signed_for(VALUE, [KEY], "GET", TARGET, NOW - SKEW + 2) == BOOT


def test_a_later_time_cannot_be_put_in() -> None:
    later = VALUE.replace(b"1700000000", b"1700000900")
    assert later != VALUE
    assert signed_for(later, [KEY], "GET", TARGET, NOW + 900) is None


@pytest.mark.parametrize(
    "value",
    [b"", b"1", VALUE + b" ", b" " + VALUE, VALUE + b"\n", VALUE.upper(), VALUE[:-1], b"2" + VALUE[1:], b"\xff" * 90],
)
def test_other_values_are_no_signature(value: bytes) -> None:
    assert signed_for(value, [KEY], "GET", TARGET, NOW) is None


def test_a_sid_is_no_signature_under_the_same_key() -> None:
    digest = VALUE.rsplit(b" ", 1)[1].decode()
    assert digest[:16] not in make_sid(BOOT, KEY)
