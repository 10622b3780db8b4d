"""Which pages may connect, and what browsers are told."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from tradecast.engine.http.origins import OriginPolicy
from tradecast.engine.http.request import Request
from tradecast.observability.redact import redact_value
from unit.engine.http.test_request import request


def of(origin: bytes | None, *more: tuple[bytes, bytes], **options: Any) -> Request:
    """A request of a page."""
    headers = [(b"host", b"push.example")]
    if origin is not None:
        headers.append((b"origin", origin))
    return request(headers=[*headers, *more], **options)


Allowed = list[str] | Literal["*"] | None


@pytest.mark.parametrize(
    ("allowed", "origin", "accepted"),
    [
        ("*", b"https://anybody", True),
        ("*", b"null", True),
        (["https://a.example"], b"https://a.example", True),
        (["https://a.example", "http://b:1"], b"http://b:1", True),
        (["https://a.example"], b"http://a.example", False),
        (["https://a.example"], b"https://a.example:8443", False),
        (["https://a.example"], b"https://a.example.evil", False),
        (["https://a.example"], b"https://A.example", True),
        (["https://A.example:443"], b"https://a.example", True),
        (["https://a.example"], b"wss://a.example:443", True),
        (["https://a.example"], b"ws://a.example", False),
        (["wss://a.example"], b"https://a.example", True),
        (["https://bücher.example"], b"https://xn--bcher-kva.example", True),
        (["https://bücher.example"], "https://bücher.example".encode(), True),
        (["https://a.example."], b"https://a.example", True),
        (["http://[::1]:80"], b"http://[0:0::1]", True),
        (["capacitor://localhost", "ionic://localhost"], b"capacitor://localhost", True),
        (["capacitor://localhost"], b"http://localhost", False),
        (["file://", "null"], b"file://", True),
        (["file://", "null"], b"null", True),
        (["https://a.example"], b"file://", False),
        (["https://*.example.com"], b"https://a.example.com", True),
        (["https://*.example.com"], b"wss://A.example.com:443", True),
        (["https://*.example.com"], b"https://xn--bcher-kva.example.com", True),
        (["https://*.example.com"], b"https://example.com", False),
        (["https://*.example.com"], b"https://.example.com", False),
        (["https://*.example.com"], b"https://a.b.example.com", False),
        (["https://*.example.com"], b"https://evilexample.com", False),
        (["https://*.example.com"], b"https://a.example.com.evil", False),
        (["https://*.example.com"], b"https://a.example.com:8443", False),
        (["https://*.example.com"], b"http://a.example.com", False),
        (["https://*.example.com"], b"https://evil@a.example.com", False),
        (["https://*.example.com"], b"https://evil/.example.com", False),
        (["http://*.localhost:3000"], b"http://app.localhost:3000", True),
        (["https://a.example"], b"null", False),
        (["https://a.example"], b"", False),
        ([], b"https://a.example", False),
        (None, b"http://push.example", True),
        (None, b"https://push.example", False),
        (None, b"http://push.example:80", True),
        (None, b"ws://push.example", True),
        (None, b"HTTP://Push.example.", True),
        (None, b"http://push.example:8080", False),
        (None, b"null", False),
        (None, b"http://other.example", False),
    ],
)
def test_origins(allowed: Allowed, origin: bytes, accepted: bool) -> None:
    assert OriginPolicy(allowed).accepts(of(origin)) is accepted


@pytest.mark.parametrize("allowed", ["*", [], ["https://a.example"], None])
def test_what_has_no_origin_is_no_page_of_another_site(allowed: Allowed) -> None:
    policy = OriginPolicy(allowed)
    assert policy.accepts(of(None))
    assert policy.headers(of(None)) == []


def test_own_origin_is_that_which_the_proxy_was_asked_for() -> None:
    policy = OriginPolicy(None)
    forwarded = ((b"x-forwarded-host", b"front.example, inner"), (b"x-forwarded-proto", b"https"))
    assert policy.accepts(of(b"https://front.example", *forwarded))
    assert policy.accepts(of(b"https://push.example", *forwarded))
    assert not policy.accepts(of(b"http://front.example", *forwarded))
    assert not policy.accepts(of(b"https://inner", *forwarded))
    assert policy.accepts(of(b"https://push.example", scheme="wss", websocket=True))


@pytest.mark.parametrize(
    ("headers", "origin", "accepted"),
    [
        ({"x-forwarded-proto": "wss"}, "https://push.example", True),
        ({"x-forwarded-proto": "HTTPS, http"}, "wss://push.example", True),
        ({"x-forwarded-proto": " ,https"}, "https://push.example", True),
        ({"x-forwarded-proto": "http,https"}, "https://push.example", False),
        ({"x-forwarded-proto": "https", "x-forwarded-host": "front.example:443"}, "https://front.example", True),
        ({"x-forwarded-proto": "https", "x-forwarded-host": "front.example:80"}, "https://front.example", False),
        ({"x-forwarded-proto": "https", "x-forwarded-port": "8443"}, "https://push.example:8443", True),
        ({"x-forwarded-port": "8443"}, "http://push.example:8444", False),
        ({"x-forwarded-port": "evil"}, "http://push.example:evil", False),
        ({"forwarded": "for=1.2.3.4;proto=https;host=front.example"}, "https://front.example", True),
        ({"forwarded": 'Host="front.example:8443" ; Proto="https", proto=http'}, "https://front.example:8443", True),
        ({"forwarded": "proto=http, proto=https;host=inner"}, "https://inner", False),
        ({"forwarded": "proto=https", "x-forwarded-proto": "http"}, "https://push.example", False),
        ({"x-forwarded-host": "evil.example"}, "http://other.example", False),
        ({"x-forwarded-host": "a b"}, "http://push.example", True),
    ],
)
def test_own_origin_in_the_words_of_proxies(headers: dict[str, str], origin: str, accepted: bool) -> None:
    more = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert OriginPolicy(None).accepts(of(origin.encode(), *more)) is accepted


def test_own_port_need_not_be_said() -> None:
    headers = [(b"host", b"push.example:443"), (b"origin", b"https://push.example")]
    assert OriginPolicy(None).accepts(request(headers=headers, scheme="https"))
    headers = [(b"host", b"[::1]:8000"), (b"origin", b"ws://[0::1]:8000")]
    assert OriginPolicy(None).accepts(request(headers=headers))


@pytest.mark.parametrize(
    ("allowed", "origin", "named"),
    [
        (["https://a.example"], b"wss://A.example", True),
        (["https://*.example.com"], b"https://a.example.com", True),
        (["https://a.example"], b"https://b.example", False),
        (["null", "file://"], b"null", False),
        (["null", "file://"], b"file://", False),
        (["https://a.example"], None, False),
        ("*", b"https://a.example", False),
        (None, b"http://push.example", True),
        (None, b"http://other.example", False),
    ],
)
def test_origins_that_are_allowed_by_name(allowed: Allowed, origin: bytes | None, named: bool) -> None:
    assert OriginPolicy(allowed).names(of(origin)) is named


@pytest.mark.parametrize(
    ("allowed", "origin", "reason"),
    [
        (["https://a.example"], b"https://b.example:1", ("other_host", "https://…:1")),
        (["https://a.example"], b"http://A.example", ("other_scheme_or_port", "http://a.example")),
        (["https://a.example"], b"capacitor://localhost", ("other_host", "capacitor://localhost")),
        (["https://a.example"], b"secret://secret", ("other_host", "…://…")),
        (["https://a.example"], b"null", ("opaque", "null")),
        (["https://a.example"], b"https://u:secret@a.example", ("malformed", "")),
        (None, b"https://push.example", ("other_scheme_or_port", "https://push.example")),
    ],
)
def test_reason_of_a_refusal(allowed: Allowed, origin: bytes, reason: tuple[str, str]) -> None:
    assert OriginPolicy(allowed).find_reason(of(origin)) == reason


@pytest.mark.parametrize(
    ("allowed", "origin", "logged"),
    [
        (["https://a.example"], b"http://localhost:5173", "http://localhost:5173"),
        (["https://a.example"], b"http://127.0.0.1:3000", "http://127.0.0.1:3000"),
        (None, b"http://[::1]:3000", "http://[::1]:3000"),
        (["http://10.1.2.3:80"], b"http://10.1.2.3:3000", "http://10.1.2.3:3000"),
        (["https://a.example"], b"http://10.1.2.3:3000", "http://\u2026:3000"),
    ],
)
def test_the_log_says_origins_that_are_known(allowed: Allowed, origin: bytes, logged: str) -> None:
    assert redact_value(OriginPolicy(allowed).find_reason(of(origin))[1]) == logged


def test_the_log_does_not_say_an_address_that_only_the_client_names() -> None:
    asked = request(headers=[(b"host", b"203.0.113.7:8000"), (b"origin", b"http://203.0.113.7:3000")])
    assert "203" not in redact_value(OriginPolicy(None).find_reason(asked)[1])


def test_browser_gets_its_origin_as_it_has_written_it() -> None:
    headers = dict(OriginPolicy(["https://a.example"]).headers(of(b"https://A.example:443")))
    assert headers[b"access-control-allow-origin"] == b"https://A.example:443"


def test_request_without_a_host_has_no_own_origin() -> None:
    policy = OriginPolicy(None)
    for origin in (b"http://", b"null"):
        assert not policy.accepts(request(headers=[(b"origin", origin)]))


def test_page_may_read_the_answer_with_credentials() -> None:
    headers = dict(OriginPolicy("*").headers(of(b"https://a.example")))
    assert headers == {
        b"access-control-allow-origin": b"https://a.example",
        b"access-control-allow-credentials": b"true",
        b"vary": b"Origin",
    }


def test_preflight_gets_methods_and_the_headers_that_it_asked_for() -> None:
    asked = of(b"https://a.example", (b"access-control-request-headers", b"x-a, x-b"), method="OPTIONS")
    headers = dict(OriginPolicy("*").headers(asked))
    assert {one.strip() for one in headers[b"access-control-allow-methods"].split(b",")} == {
        b"OPTIONS",
        b"GET",
        b"POST",
    }
    assert headers[b"access-control-allow-headers"] == b"x-a, x-b"
    assert b"access-control-allow-headers" not in dict(OriginPolicy("*").headers(of(b"https://a", method="OPTIONS")))
