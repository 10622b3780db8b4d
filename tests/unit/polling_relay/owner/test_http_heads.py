"""What of a client's request goes to the owner, and what of the owner's answer goes to the client."""

from __future__ import annotations

from typing import Any

import pytest

from tradecast.engine.http.request import Request
from tradecast.polling_relay.owner.http_heads import BadHead, answer_headers, read_refusal, request_head


def request(given: dict[str, str] | None = None, **more: Any) -> Request:
    scope = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "path": "/socket.io/",
        "raw_path": b"/socket.io/",
        "query_string": b"EIO=4&sid=a%20b",
        "headers": [(name.encode(), value.encode()) for name, value in (given or {}).items()],
        **more,
    }
    return Request.of_scope(scope)


def lines(head: bytes) -> list[bytes]:
    assert head.endswith(b"\r\n\r\n")
    return head[:-4].split(b"\r\n")


def headers_of(head: bytes) -> dict[bytes, bytes]:
    pairs = [line.split(b": ", 1) for line in lines(head)[1:]]
    assert len({name for name, _ in pairs}) == len(pairs)
    return dict(pairs)


def test_the_first_line_is_as_it_came() -> None:
    assert lines(request_head(request(), b"S"))[0] == b"GET /socket.io/?EIO=4&sid=a%20b HTTP/1.1"
    assert request().target == b"/socket.io/?EIO=4&sid=a%20b"
    assert request(raw_path=None, path="/x", query_string=b"").target == b"/x"


def test_what_the_owner_s_checks_need_stays() -> None:
    given = {"host": "push.example", "origin": "https://a.example", "x-forwarded-proto": "https"}
    given |= {"x-forwarded-host": "push.example", "content-type": "text/plain", "accept-encoding": "gzip"}
    sent = headers_of(request_head(request(given), b"S"))
    assert sent == {**{name.encode(): value.encode() for name, value in given.items()}, b"x-tradecast-forward": b"S"}


def test_what_is_between_neighbours_or_nobody_s_business_goes() -> None:
    given = {
        "connection": "keep-alive, X-Mine, Origin, Host, X-Forwarded-Proto",
        "x-mine": "1",
        "origin": "https://evil.example",
        "host": "h",
        "x-forwarded-proto": "http",
        "keep-alive": "timeout=5",
        "te": "trailers",
        "transfer-encoding": "chunked",
        "upgrade": "h2c",
        "proxy-authorization": "p",
        "cookie": "c=1",
        "authorization": "Bearer b",
        "expect": "100-continue",
        "content-length": "999",
    }
    sent = headers_of(request_head(request(given), b"S"))
    assert sent == {
        b"origin": b"https://evil.example",
        b"host": b"h",
        b"x-forwarded-proto": b"http",
        b"x-tradecast-forward": b"S",
    }, "a client cannot take its origin away by naming it in Connection"


def test_internal_headers_are_ours_alone() -> None:
    given = {"X-Tradecast-Forward": "forged", "x-tradecast-anything": "1", "X-TRADECAST-REFUSED": "boot"}
    assert headers_of(request_head(request(given), b"S")) == {b"x-tradecast-forward": b"S"}


def test_tls_that_ended_here_is_reported() -> None:
    assert headers_of(request_head(request(scheme="https"), b"S"))[b"x-forwarded-proto"] == b"https"
    told = headers_of(request_head(request({"x-forwarded-proto": "http"}, scheme="https"), b"S"))
    assert told[b"x-forwarded-proto"] == b"http", "the proxy in front knows better"


def test_a_post_has_the_size_of_what_was_read() -> None:
    sent = headers_of(request_head(request({"content-length": "1"}, method="POST"), b"S", 7))
    assert sent[b"content-length"] == b"7"


def test_a_websocket_asks_for_its_upgrade_and_for_the_compression_that_its_client_offers() -> None:
    given = {
        "connection": "keep-alive, Upgrade",
        "upgrade": "websocket",
        "sec-websocket-key": "k",
        "sec-websocket-version": "13",
        "sec-websocket-extensions": "permessage-deflate",
    }
    head = request_head(request(given, scheme="wss", type="websocket"), b"S")
    sent = headers_of(head)
    assert lines(head)[0].startswith(b"GET ")
    assert sent[b"connection"] == b"Upgrade"
    assert sent[b"upgrade"] == b"websocket"
    assert sent[b"sec-websocket-key"] == b"k"
    assert sent[b"x-forwarded-proto"] == b"https"
    assert sent[b"sec-websocket-extensions"] == b"permessage-deflate"


@pytest.mark.parametrize(
    "bad",
    [
        {"headers": [(b"x", b"a\r\nx-tradecast-forward: forged")]},
        {"headers": [(b"x\ny", b"a")]},
        {"query_string": b"sid=a HTTP/1.1\r\nx: y"},
        {"query_string": b"sid=a b"},
        {"raw_path": b"/socket.io/ x"},
    ],
)
def test_nothing_can_be_smuggled_into_a_head(bad: dict[str, Any]) -> None:
    with pytest.raises(BadHead):
        request_head(request(**bad), b"S")


def test_the_owner_s_answer_comes_through_without_what_is_ours_to_say() -> None:
    engine = [
        (b"content-type", b"text/plain"),
        (b"access-control-allow-origin", b"https://a.example"),
        (b"content-encoding", b"gzip"),
    ]
    ours = [
        (b"connection", b"close"),
        (b"transfer-encoding", b"chunked"),
        (b"date", b"d"),
        (b"server", b"s"),
        (b"content-length", b"3"),
        (b"x-tradecast-refused", b"boot"),
        (b"keep-alive", b"timeout=60"),
    ]
    assert answer_headers([*engine, *ours]) == engine
    assert read_refusal(engine) is None
    assert read_refusal(ours) == "boot"
