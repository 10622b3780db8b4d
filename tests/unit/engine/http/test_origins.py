"""Which pages may connect, and what browsers are told."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from tradecast.engine.http.origins import OriginPolicy
from tradecast.engine.http.request import Request
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
        (["https://a.example"], b"https://A.example", False),
        (["https://a.example"], b"null", False),
        (["https://a.example"], b"", False),
        ([], b"https://a.example", False),
        (None, b"http://push.example", True),
        (None, b"https://push.example", False),
        (None, b"http://push.example:80", False),
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


def test_preflight_is_told_methods_and_the_headers_that_it_asked_for() -> None:
    asked = of(b"https://a.example", (b"access-control-request-headers", b"x-a, x-b"), method="OPTIONS")
    headers = dict(OriginPolicy("*").headers(asked))
    assert {one.strip() for one in headers[b"access-control-allow-methods"].split(b",")} == {
        b"OPTIONS",
        b"GET",
        b"POST",
    }
    assert headers[b"access-control-allow-headers"] == b"x-a, x-b"
    assert b"access-control-allow-headers" not in dict(OriginPolicy("*").headers(of(b"https://a", method="OPTIONS")))
