"""Handshakes with anything in them: taken or refused, and answered by the rules."""

from __future__ import annotations

import base64
from urllib.parse import parse_qsl, quote_plus

from hypothesis import given
from hypothesis import strategies as st
from wsproto.utilities import generate_accept_token

from tradecast.engine.http.handshake import check_query, check_websocket, read_subprotocol, switching_protocols
from tradecast.engine.http.origins import OriginPolicy
from tradecast.engine.http.request import Header, Request
from unit.engine.http.test_request import request

VALUES = st.binary(max_size=30).map(lambda value: bytes(one for one in value if one not in b"\r\n\0").strip())
KEYS = st.binary(min_size=16, max_size=16).map(base64.b64encode)
NAMES = st.sampled_from(
    [b"host", b"origin", b"x-forwarded-proto", b"x-forwarded-host", b"sec-websocket-protocol", b"sec-websocket-key"]
)
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=5)
PAIRS = st.lists(
    st.tuples(st.sampled_from(["EIO", "transport", "sid", "j", "é"]), st.text(max_size=9) | st.text("a b")), max_size=5
)


@given(st.binary(max_size=60) | st.text("ab=&%+41;é").map(str.encode), HEADERS, st.booleans())
def test_any_request_is_looked_at_without_harm(query: bytes, headers: list[Header], websocket: bool) -> None:
    found = request(query, headers=headers, websocket=websocket)
    check_query(found, ("polling", "websocket"))
    refusal = check_websocket(found)
    assert refusal is None or refusal.encode().startswith(b"HTTP/1.1 4")
    for allowed in (None, "*", ["https://a.example"]):
        policy = OriginPolicy(allowed)
        if policy.accepts(found):
            policy.headers(found)
    assert all(isinstance(value, str) for key, value in found.environ().items() if key.startswith("HTTP_"))


@given(PAIRS)
def test_queries_are_read_as_the_standard_library_reads_them(pairs: list[tuple[str, str]]) -> None:
    query = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs)
    expected: dict[str, str] = {}
    for name, value in parse_qsl(query):
        expected.setdefault(name, value)
    assert request(query.encode()).query == expected


@given(KEYS, st.none() | st.text("abc-_.,; ", max_size=12))
def test_websockets_are_accepted_as_wsproto_does(key: bytes, offered: str | None) -> None:
    headers = [(b"sec-websocket-version", b"13"), (b"sec-websocket-key", key)]
    headers += [] if offered is None else [(b"sec-websocket-protocol", offered.encode())]
    found: Request = request(headers=headers, websocket=True)
    assert check_websocket(found) is None
    head, end, rest = switching_protocols(found).partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    assert (first, end, rest) == (b"HTTP/1.1 101 Switching Protocols", b"\r\n\r\n", b"")
    assert b"Sec-WebSocket-Accept: " + generate_accept_token(key) in lines
    taken = read_subprotocol(found)
    assert (taken is None) is (not any(line.startswith(b"Sec-WebSocket-Protocol") for line in lines))
    assert taken is None or taken in [one.strip() for one in (offered or "").split(",")]
    assert len(lines) == 3 + (taken is not None)


@given(st.binary(max_size=40).map(base64.b64encode) | st.binary(max_size=30))
def test_a_key_is_16_bytes(key: bytes) -> None:
    refusal = check_websocket(request(headers=[(b"sec-websocket-version", b"13"), (b"sec-websocket-key", key)]))
    try:
        size = len(base64.b64decode(key, validate=True))
    except ValueError:
        size = 0
    assert (refusal is None) is (size == 16)
