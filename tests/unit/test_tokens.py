"""Secrets are compared with all that are accepted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tradecast.tokens import any_token_matches


@pytest.mark.parametrize(
    ("given", "accepted", "matches"),
    [
        (b"new", [b"new", b"old"], True),
        (b"old", [b"new", b"old"], True),
        (b"other", [b"new", b"old"], False),
        (b"", [b"new"], False),
        (b"new", [], False),
        (b"", [], False),
    ],
)
def test_a_token_matches_one_of_the_accepted(given: bytes, accepted: list[bytes], matches: bool) -> None:
    assert any_token_matches(given, accepted) is matches
    assert any_token_matches(given.decode(), [token.decode() for token in accepted]) is matches


def test_all_are_compared_whichever_matches() -> None:
    compared = []

    def accepted() -> Iterator[bytes]:
        for token in (b"first", b"second", b"third"):
            compared.append(token)
            yield token

    assert any_token_matches(b"first", accepted())
    assert compared == [b"first", b"second", b"third"]
