from __future__ import annotations

import pytest
from pydantic import SecretStr

from kit.clock import HandClock
from tradecast.http import signed_requests
from tradecast.http.signed_requests import NONCE_LIFE, SignedRequests
from tradecast_operator.clients.signature import sign_request

TOKEN = "a-token"
PATH = "/admin/shed"
BODY = b'{"count": 5}'


def made(*tokens: str, uid: str = "uid-a", clock: HandClock | None = None) -> SignedRequests:
    return SignedRequests([SecretStr(token) for token in tokens or (TOKEN,)], uid, clock or HandClock(1_000))


def accepts(server: SignedRequests, value: str, method: str = "POST", path: str = PATH, body: bytes = BODY) -> bool:
    return server.accept(value, method, path.encode(), body)


def signed(nonce: str, token: str = TOKEN, uid: str = "uid-a") -> str:
    return sign_request(token, "POST", PATH, uid, nonce, BODY)


def test_a_request_is_accepted_once() -> None:
    server = made()
    value = signed(server.offer())
    assert server.nonce_of(value)
    assert accepts(server, value)
    assert not accepts(server, value)


@pytest.mark.parametrize("token", ["second", "first", "pässword"])
def test_by_any_of_the_tokens(token: str) -> None:
    server = made("first", "second", "pässword")
    assert accepts(server, signed(server.offer(), token))


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", PATH, BODY),
        ("POST", "/admin/drain", BODY),
        ("POST", PATH + "?x=1", BODY),
        ("POST", PATH, b'{"count": 6}'),
        ("POST", PATH, b""),
    ],
)
def test_for_what_was_signed_and_nothing_else(method: str, path: str, body: bytes) -> None:
    server = made()
    value = signed(server.offer())
    assert not accepts(server, value, method, path, body)
    assert accepts(server, value), "a wrong use does not use it up"


def test_for_the_pod_that_was_meant() -> None:
    """One that passes on the other's nonce, to have it signed as its own."""
    other = made(uid="uid-b")
    assert not accepts(other, signed(other.offer(), uid="uid-a"))


def test_not_by_another_token() -> None:
    server = made()
    assert not accepts(server, signed(server.offer(), "another"))


def test_for_a_minute() -> None:
    clock = HandClock(1_000)
    server = made(clock=clock)
    early, late = signed(server.offer()), signed(server.offer())
    clock.now += NONCE_LIFE
    assert accepts(server, early)
    clock.now += 1
    assert not accepts(server, late)
    assert not accepts(server, early)


def test_not_by_a_server_that_has_begun_again() -> None:
    """The clock of a machine that has begun anew, too, may be what it was."""
    clock = HandClock(1_000)
    value = signed(made(clock=clock).offer())
    assert not accepts(made(clock=clock), value)


def test_the_token_itself_is_neither_the_key_nor_in_the_header() -> None:
    server = made()
    value = signed(server.offer())
    assert TOKEN not in value
    assert not accepts(server, value.replace("Tradecast-Hmac", "Bearer"))


@pytest.mark.parametrize(
    "value",
    [
        *("", "Bearer a-token", "Tradecast-Hmac", "Tradecast-Hmac  ", "Tradecast-Hmac x y"),
        "Tradecast-Hmac 3e8.0123456789abcdef.00000000000000000000000000000000 " + "0" * 64,
        "Tradecast-Hmac " + "1." * 50_000 + " " + "0" * 64,
        "Tradecast-Hmac ffffffffffff.0123456789abcdef.00000000000000000000000000000000 " + "٣" * 64,
    ],
)
def test_what_is_no_signature(value: str) -> None:
    server = made()
    assert server.nonce_of(value) is None
    assert not accepts(server, value)


def test_what_is_remembered_is_bounded_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signed_requests, "MOST_USED", 3)
    clock = HandClock(1_000)
    server = made(clock=clock)
    for _ in range(100):
        server.offer()  # by itself costs nothing
        assert not accepts(server, signed(server.offer(), "another"))
    assert [accepts(server, signed(server.offer())) for _ in range(5)] == [True, True, True, False, False]
    clock.now += NONCE_LIFE + 2
    assert accepts(server, signed(server.offer()))
