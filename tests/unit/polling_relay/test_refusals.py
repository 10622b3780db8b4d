"""What this server answers itself to a request that it should relay."""

from __future__ import annotations

import json

import pytest

from tradecast.polling_relay.refusals import (
    OWNER_FAILURES,
    RelayFailed,
    make_refusal,
    owner_late,
    owner_refused,
    owner_unknown,
    owner_unreachable,
    owner_untrusted,
    request_invalid,
    server_busy,
)


@pytest.mark.parametrize(
    ("failed", "result", "status", "code"),
    [
        (server_busy(), "busy", 503, "SERVER_BUSY"),
        (owner_unknown(), "unreachable", 503, "OWNER_UNKNOWN"),
        (owner_unreachable(), "unreachable", 502, "OWNER_UNREACHABLE"),
        (owner_untrusted("no certificate"), "untrusted", 502, "OWNER_UNTRUSTED"),
        (owner_late(), "timeout", 504, "OWNER_TIMEOUT"),
        (owner_refused(), "refused", 502, "OWNER_REFUSED"),
        (request_invalid("too large", 413, "TOO_LARGE"), "invalid", 413, "TOO_LARGE"),
        (request_invalid("no path"), "invalid", 400, "BAD_REQUEST"),
    ],
)
def test_what_the_client_gets(failed: RelayFailed, result: str, status: int, code: str) -> None:
    answer = json.loads(failed.refusal.body)
    assert (failed.result, failed.refusal.status, answer["code"]) == (result, status, code)
    assert answer["message"] == str(failed)
    assert (failed.result in OWNER_FAILURES) is code.startswith("OWNER_")


def test_why_an_owner_is_not_trusted_is_for_the_log_alone() -> None:
    failed = owner_untrusted("its certificate has expired")
    assert failed.why == "its certificate has expired"
    assert b"certificate" not in failed.refusal.encode()


def test_nobody_keeps_a_refusal() -> None:
    head = make_refusal(503, "SERVER_BUSY", "Try again", (b"retry-after", b"1")).encode().lower()
    assert b"cache-control: no-store" in head
    assert b"retry-after: 1" in head
