"""The operator's side; `tests/unit/http/test_signed_requests.py` and a real server hold it to the servers'."""

from __future__ import annotations

import pytest

from tradecast_operator.clients.signature import read_next_nonce, read_offered_nonce, sign_request


@pytest.mark.parametrize(
    ("told", "nonce"),
    [
        ('Bearer realm="tradecast", Tradecast-Hmac nonce="1f.ab"', "1f.ab"),
        ('tradecast-hmac nonce="1f"', "1f"),
        ('Tradecast-Hmac nonce="1f", Bearer', "1f"),
        ('Bearer realm="tradecast"', None),
        ('Bearer realm="x", Digest nonce="1f"', None),
        ('XTradecast-Hmac nonce="1f"', None),
        ('Tradecast-Hmac nonce=""', None),
        ('Tradecast-Hmac nonce="../admin"', None),
        (f'Tradecast-Hmac nonce="{"a" * 101}"', None),
        ("", None),
    ],
)
def test_a_server_that_takes_signed_requests_says_so(told: str, nonce: str | None) -> None:
    assert read_offered_nonce(told) == nonce


def test_the_next_nonce_comes_with_an_answer() -> None:
    assert read_next_nonce('nextnonce="2e.cd"') == "2e.cd"
    assert read_next_nonce('x="1", nextnonce="2e"') == "2e"
    assert read_next_nonce('xnextnonce="2e"') is None
    assert read_next_nonce("") is None


def test_all_that_is_signed_makes_it_another_signature() -> None:
    one = ("token", "POST", "/admin/shed", "uid-a", "1f", b"{}")
    others = ("token2", "GET", "/admin/drain", "uid-b", "2f", b"{} ")
    made = {sign_request(*one)}
    for place, other in enumerate(others):
        made.add(sign_request(*(*one[:place], other, *one[place + 1 :])))  # type: ignore[arg-type]
    assert len(made) == 7
    assert not any("token" in value.replace("Tradecast", "") for value in made)
