"""What is answered to a request before it is a connection's."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tradecast.engine.http.handshake import (
    BAD_METHOD,
    BAD_REQUEST,
    FORBIDDEN,
    NO_WEBSOCKET_VERSION,
    POLLING_OFF,
    POLLING_WAITS,
    TOO_LARGE,
    UNKNOWN_SESSION,
    UNKNOWN_TRANSPORT,
    UNSUPPORTED,
    WEBSOCKET_OFF,
    Refusal,
    check_query,
    check_websocket,
    read_subprotocol,
    switching_protocols,
)
from tradecast.engine.http.request import Request
from unit.engine.http.test_request import request

BOTH = ("polling", "websocket")
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


def handshake(**changes: bytes | None) -> Request:
    """A WebSocket's handshake; a header that is None is left out."""
    headers: dict[str, bytes | None] = {"sec_websocket_version": b"13", "sec_websocket_key": KEY, **changes}
    pairs = [(name.replace("_", "-").encode(), value) for name, value in headers.items() if value is not None]
    return request(headers=pairs, websocket=True)


@pytest.mark.parametrize(
    ("query", "websocket", "expected"),
    [
        (b"EIO=4&transport=polling", False, None),
        (b"EIO=4&transport=websocket", True, None),
        (b"EIO=4&transport=polling&sid=x", False, None),
        (b"transport=polling&sid=x", False, None),
        (b"", False, UNKNOWN_TRANSPORT),
        (b"EIO=4", False, UNKNOWN_TRANSPORT),
        (b"EIO=4&transport=", False, UNKNOWN_TRANSPORT),
        (b"EIO=4&transport=pigeon", False, UNKNOWN_TRANSPORT),
        (b"EIO=4&transport=Polling", False, UNKNOWN_TRANSPORT),
        (b"EIO=4&transport=polling&j=0", False, UNKNOWN_TRANSPORT),
        (b"transport=polling", False, UNSUPPORTED),
        (b"EIO=3&transport=polling", False, UNSUPPORTED),
        (b"EIO=5&transport=polling", False, UNSUPPORTED),
        (b"EIO=44&transport=polling", False, UNSUPPORTED),
        (b"EIO=abc&transport=websocket", True, UNSUPPORTED),
        (b"EIO=3&EIO=4&transport=polling", False, UNSUPPORTED),
        (b"EIO=4&transport=websocket", False, BAD_REQUEST),
        (b"EIO=4&transport=polling", True, BAD_REQUEST),
    ],
)
def test_query(query: bytes, websocket: bool, expected: Refusal | None) -> None:
    assert check_query(request(query, websocket=websocket), BOTH) is expected


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (POLLING_OFF, "polling is off"),
        (WEBSOCKET_OFF, "websocket is off"),
        (POLLING_WAITS, "polling is not offered until"),
    ],
)
def test_transport_that_is_off_is_unknown_as_in_node_and_the_answer_says_why(refusal: Refusal, words: str) -> None:
    assert refusal.status == 400
    told = json.loads(refusal.body)
    assert told["code"] == 0
    assert told["message"].startswith("Transport unknown: ")
    assert words in told["message"]
    assert "transports: ['" in told["message"], "what to do about it"


def test_transport_that_is_off() -> None:
    assert check_query(request(b"EIO=4&transport=polling"), ("websocket",)) is POLLING_OFF
    assert check_query(request(b"EIO=4&transport=polling&sid=x"), ("websocket",)) is POLLING_OFF
    assert check_query(request(b"EIO=4&transport=websocket", websocket=True), ("polling",)) is WEBSOCKET_OFF


def test_transport_that_nobody_has_is_not_called_off() -> None:
    assert check_query(request(b"EIO=4&transport=pigeon"), ("websocket",)) is UNKNOWN_TRANSPORT
    assert check_query(request(b"EIO=4&transport=polling&j=0"), ("websocket",)) is UNKNOWN_TRANSPORT


@pytest.mark.parametrize(
    ("refusal", "status", "code", "message"),
    [
        (UNKNOWN_TRANSPORT, 400, 0, "Transport unknown"),
        (UNKNOWN_SESSION, 400, 1, "Session ID unknown"),
        (BAD_METHOD, 400, 2, "Bad handshake method"),
        (BAD_REQUEST, 400, 3, "Bad request"),
        (FORBIDDEN, 400, 4, "Forbidden"),
        (UNSUPPORTED, 400, 5, "Unsupported protocol version"),
    ],
)
def test_answers_are_those_of_node(refusal: Refusal, status: int, code: int, message: str) -> None:
    assert (refusal.status, json.loads(refusal.body)) == (status, {"code": code, "message": message})


def test_too_large_and_no_version() -> None:
    assert TOO_LARGE.status == 413
    assert NO_WEBSOCKET_VERSION.status == 426
    assert (b"sec-websocket-version", b"13") in NO_WEBSOCKET_VERSION.head


def test_refusal_as_bytes_says_its_length_and_that_the_connection_is_closed() -> None:
    head, _, body = Refusal.of(503, {"a": "é"}, (b"retry-after", b"2")).encode().partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    assert first == b"HTTP/1.1 503 Service Unavailable"
    assert set(lines) == {
        b"content-type: application/json",
        b"retry-after: 2",
        b"content-length: %d" % len(body),
        b"connection: close",
    }
    assert json.loads(body) == {"a": "é"}


def test_refusal_with_a_status_that_nobody_knows_has_no_phrase() -> None:
    assert Refusal(599, b"").encode().startswith(b"HTTP/1.1 599 \r\n")


# -- WebSocket (RFC 6455 §4.2)


def test_opening_handshake_is_accepted() -> None:
    assert check_websocket(handshake()) is None


@pytest.mark.parametrize("version", [None, b"", b"8", b"14", b"13, 8", b"x"])
def test_other_version_gets_ours(version: bytes | None) -> None:
    assert check_websocket(handshake(sec_websocket_version=version)) is NO_WEBSOCKET_VERSION


@pytest.mark.parametrize("key", [None, b"", b"x", b"!" * 24, base64.b64encode(b"x" * 15), base64.b64encode(b"x" * 17)])
def test_key_is_16_bytes_in_base64(key: bytes | None) -> None:
    assert check_websocket(handshake(sec_websocket_key=key)) is BAD_REQUEST


def lines_of(answer: bytes) -> list[bytes]:
    assert answer.endswith(b"\r\n\r\n")
    return answer.removesuffix(b"\r\n\r\n").split(b"\r\n")


def test_answer_to_the_example_of_the_rfc() -> None:
    """RFC 6455 §1.3."""
    first, *rest = lines_of(switching_protocols(handshake()))
    assert first == b"HTTP/1.1 101 Switching Protocols"
    assert set(rest) == {
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    }


@pytest.mark.parametrize(
    ("offered", "taken"),
    [(None, None), (b"a", "a"), (b"a, b", "a"), (b" b ,a", "b"), (b"", None), (b" , a", None)],
)
def test_first_subprotocol_is_taken(offered: bytes | None, taken: str | None) -> None:
    asked = handshake(sec_websocket_protocol=offered)
    assert read_subprotocol(asked) == taken
    said = [line for line in lines_of(switching_protocols(asked)) if line.lower().startswith(b"sec-websocket-protocol")]
    assert said == ([] if taken is None else [b"Sec-WebSocket-Protocol: " + taken.encode()])


def test_no_extension_is_agreed_to() -> None:
    answer = switching_protocols(handshake(sec_websocket_extensions=b"permessage-deflate"))
    assert b"extensions" not in answer.lower()


def test_further_headers_are_sent() -> None:
    headers: list[Any] = [(b"x-a", b"1")]
    assert b"x-a: 1" in lines_of(switching_protocols(handshake(), headers))
