"""The head of a request."""

from __future__ import annotations

from typing import Any

import pytest

from tradecast.engine.http.request import Request


def request(query: bytes = b"", **options: Any) -> Request:
    """A request with what matters to a test."""
    given: dict[str, Any] = {
        "method": "GET",
        "path": "/socket.io/",
        "raw_path": b"/socket.io/",
        "query_string": query,
        "headers": [],
        "scheme": "http",
        "websocket": False,
    }
    return Request(**{**given, **options})


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"", {}),
        (b"EIO=4&transport=polling", {"EIO": "4", "transport": "polling"}),
        (b"sid=a&sid=b", {"sid": "a"}),
        (b"sid=&sid=b", {"sid": "b"}),
        (b"sid", {}),
        (b"=x", {"": "x"}),
        (b"a=1=2", {"a": "1=2"}),
        (b"a=b+c&d=%41%2f&%65=f", {"a": "b c", "d": "A/", "e": "f"}),
        (b"&&a=1&", {"a": "1"}),
        (b"a=\xff", {"a": "ÿ"}),
        (b"a=%ff%zz", {"a": "�%zz"}),
    ],
)
def test_query(query: bytes, expected: dict[str, str]) -> None:
    assert request(query).query == expected


def test_first_header_of_a_name_counts() -> None:
    found = request(headers=[(b"a", b"1"), (b"b", b"\xe9"), (b"a", b"2")])
    assert (found.header(b"a"), found.header(b"b"), found.header(b"c")) == ("1", "é", None)


def test_target_is_what_was_sent() -> None:
    assert request(b"a=%41").target == b"/socket.io/?a=%41"
    assert request().target == b"/socket.io/"


@pytest.mark.parametrize(
    ("scheme", "forwarded", "secure"),
    [
        ("http", None, False),
        ("ws", None, False),
        ("https", None, True),
        ("wss", None, True),
        ("http", b"https", True),
        ("ws", b"HTTPS , http", True),
        ("ws", b"wss", True),
        ("http", b"http, https", False),
        ("http", b"", False),
        ("https", b"http", True),
    ],
)
def test_tls_ends_here_or_at_the_proxy_nearest_to_the_client(
    scheme: str, forwarded: bytes | None, secure: bool
) -> None:
    headers = [] if forwarded is None else [(b"x-forwarded-proto", forwarded)]
    assert request(scheme=scheme, headers=headers).secure is secure


def test_of_an_asgi_scope() -> None:
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/socket.io/é",
        "raw_path": b"/socket.io/%c3%a9",
        "query_string": b"sid=x",
        "headers": [(b"Host", b"h"), (b"x", b"1")],
        "scheme": "https",
    }
    found = Request.of_scope(scope)
    assert (found.method, found.path, found.raw_path) == ("POST", "/socket.io/é", b"/socket.io/%c3%a9")
    assert (found.query, found.header(b"host"), found.websocket, found.secure) == ({"sid": "x"}, "h", False, True)


def test_of_the_scope_of_a_websocket_without_what_is_optional() -> None:
    found = Request.of_scope({"type": "websocket", "path": "/é", "headers": [], "scheme": "ws"})
    assert (found.method, found.websocket, found.raw_path, found.query) == ("GET", True, "/é".encode(), {})


def test_environ_is_that_of_pep_3333() -> None:
    headers = [(b"host", b"h:1"), (b"content-type", b"text/plain"), (b"x-a", b"1"), (b"x-a", b"2")]
    environ = request(b"a=b", method="POST", headers=headers, scheme="https").environ()
    assert environ["REQUEST_METHOD"] == "POST"
    assert environ["PATH_INFO"] == "/socket.io/"
    assert environ["QUERY_STRING"] == "a=b"
    assert environ["wsgi.url_scheme"] == "https"
    assert (environ["HTTP_HOST"], environ["CONTENT_TYPE"], environ["HTTP_X_A"]) == ("h:1", "text/plain", "1,2")
