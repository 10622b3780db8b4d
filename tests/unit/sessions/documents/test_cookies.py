"""The session's cookie in a handshake."""

from __future__ import annotations

import pytest

from tradecast.sessions.documents.cookies import read_session_cookie
from unit.engine.http.test_request import request

NAME = "connect.sid"


def read(*cookies: str, origin: str | None = None, site: str | None = None) -> str | None:
    headers = [(b"cookie", cookie.encode("latin-1")) for cookie in cookies]
    if origin is not None:
        headers.append((b"origin", origin.encode()))
    if site is not None:
        headers.append((b"sec-fetch-site", site.encode()))
    return read_session_cookie(request(headers=headers), NAME)


@pytest.mark.parametrize(
    "cookie",
    [
        "connect.sid=s%3Aabc.def",
        "a=b; connect.sid=s%3Aabc.def; c=d",
        "a=b;connect.sid=s%3Aabc.def",
        " connect.sid = s%3Aabc.def ",
        'connect.sid="s%3Aabc.def"',
        "connect.sid=s%3Aabc.def; connect.sid=other",
        "connect.sid; connect.sid=s%3Aabc.def",
    ],
)
def test_the_value(cookie: str) -> None:
    assert read(cookie) == "s%3Aabc.def"


def test_several_headers() -> None:
    assert read("a=b", "connect.sid=x") == "x"


@pytest.mark.parametrize(
    "cookie",
    ["", "a=b", "xconnect.sid=x", "connect.sidx=x", "Connect.sid=x", "connect.sid", "connect.sid=", "=x", ";;"],
)
def test_none(cookie: str) -> None:
    assert read(cookie) is None


def test_what_is_far_too_long_is_none() -> None:
    assert read("connect.sid=" + "x" * 20_000) is None


@pytest.mark.parametrize("origin", ["null", "NULL", "file://", "file:///home/x.html"])
def test_pages_without_an_origin_of_their_own_have_none(origin: str) -> None:
    assert read("connect.sid=x", origin=origin) is None


@pytest.mark.parametrize("site", ["cross-site", " Cross-Site"])
def test_pages_of_other_sites_have_none(site: str) -> None:
    assert read("connect.sid=x", origin="https://ours.example", site=site) is None


@pytest.mark.parametrize("site", [None, "same-origin", "same-site", "none"])
def test_ours_have(site: str | None) -> None:
    assert read("connect.sid=x", origin="https://ours.example", site=site) == "x"
    assert read("connect.sid=x", site=site) == "x"
