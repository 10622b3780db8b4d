"""Signed session ids against vectors of npm's cookie-signature 1.0.7, which express-session uses.

Made with `'s:' + sign(id, secret)` and `encodeURIComponent` of that, under Node 20.
"""

from __future__ import annotations

import pytest

from tradecast.sessions.signing import sign_session_id, unsign_session_id

VECTORS = [
    # id, secret, signed, signed and URL-encoded
    (
        "pXKrJ4vmJ0bWl2nX9T0c5l2ZrW8aVb3k",
        "keyboard cat",
        "s:pXKrJ4vmJ0bWl2nX9T0c5l2ZrW8aVb3k.nMw7j1i9D7YQU6fhpT8t6NrCUw3n3HTkNTocM8m8wh0",
        "s%3ApXKrJ4vmJ0bWl2nX9T0c5l2ZrW8aVb3k.nMw7j1i9D7YQU6fhpT8t6NrCUw3n3HTkNTocM8m8wh0",
    ),
    (
        "pXKrJ4vmJ0bWl2nX9T0c5l2ZrW8aVb3k",
        "ключ",
        "s:pXKrJ4vmJ0bWl2nX9T0c5l2ZrW8aVb3k.2dGbED8pMM+uVbeNMjLgOwkuX8/urUlqCAG3b9l+jnc",
        "s%3ApXKrJ4vmJ0bWl2nX9T0c5l2ZrW8aVb3k.2dGbED8pMM%2BuVbeNMjLgOwkuX8%2FurUlqCAG3b9l%2Bjnc",
    ),
    (
        "a.b.c",
        "keyboard cat",
        "s:a.b.c.G8ReS2HiYVtvMBGFvZUGp5RaCauWFLUTjnnTm/EQ2aE",
        "s%3Aa.b.c.G8ReS2HiYVtvMBGFvZUGp5RaCauWFLUTjnnTm%2FEQ2aE",
    ),
    (
        "a.b.c",
        "ключ",
        "s:a.b.c.M44S8N9u4SJPdjZsvF2rMEen2axxZUMtU7owkmjE2ck",
        "s%3Aa.b.c.M44S8N9u4SJPdjZsvF2rMEen2axxZUMtU7owkmjE2ck",
    ),
    (
        "id with space",
        "keyboard cat",
        "s:id with space.Cy8PdzdiSJt8yhnaKkHXGTZVjsuFaF1yjKuRL9cy06o",
        "s%3Aid%20with%20space.Cy8PdzdiSJt8yhnaKkHXGTZVjsuFaF1yjKuRL9cy06o",
    ),
    (
        "id with space",
        "ключ",
        "s:id with space.Ty2B9FNh3t9FqbxXGGEmiJIrlUeX5px/5CJ026rjnuQ",
        "s%3Aid%20with%20space.Ty2B9FNh3t9FqbxXGGEmiJIrlUeX5px%2F5CJ026rjnuQ",
    ),
    (
        "Zürich-☃",
        "keyboard cat",
        "s:Zürich-☃.cczRxF+ceo5WNDA9aTBD0rL8j5zEIX3trJ+VuhDgavw",
        "s%3AZ%C3%BCrich-%E2%98%83.cczRxF%2Bceo5WNDA9aTBD0rL8j5zEIX3trJ%2BVuhDgavw",
    ),
    (
        "Zürich-☃",
        "ключ",
        "s:Zürich-☃.rCOggKivadfI+Z32BJ4gfPA+W+FlnUHMlwDl+fwyDj0",
        "s%3AZ%C3%BCrich-%E2%98%83.rCOggKivadfI%2BZ32BJ4gfPA%2BW%2BFlnUHMlwDl%2BfwyDj0",
    ),
]
ID, SECRET, SIGNED, ENCODED = VECTORS[0]


@pytest.mark.parametrize(("session_id", "secret", "signed", "encoded"), VECTORS)
def test_agrees_with_cookie_signature(session_id: str, secret: str, signed: str, encoded: str) -> None:
    assert sign_session_id(session_id, secret) == signed
    assert unsign_session_id(signed, [secret], require_signed=True) == session_id
    assert unsign_session_id(encoded, [secret], require_signed=True) == session_id
    assert unsign_session_id(encoded.replace("%3A", "%3a", 1), [secret], require_signed=True) == session_id


def test_any_of_several_secrets() -> None:
    for secrets in ([SECRET, "new"], ["new", SECRET], ["a", SECRET, "b"]):
        assert unsign_session_id(SIGNED, secrets, require_signed=True) == ID
    assert unsign_session_id(SIGNED, ["new", "newer"], require_signed=False) is None


def test_signed_without_secrets_is_not_acceptable() -> None:
    assert unsign_session_id(SIGNED, [], require_signed=False) is None
    assert unsign_session_id(ENCODED, [], require_signed=False) is None


def test_bare_id() -> None:
    assert unsign_session_id(ID, [SECRET], require_signed=False) == ID
    assert unsign_session_id(ID, [], require_signed=False) == ID
    assert unsign_session_id(ID, [SECRET], require_signed=True) is None


@pytest.mark.parametrize(
    "raw",
    [
        SIGNED[:-1],
        SIGNED + "=",
        SIGNED + "A",
        SIGNED.replace("s:p", "s:q"),
        SIGNED[:34] + SIGNED[34:].upper(),
        "s:" + ID,
        "s:" + ID + ".",
        "s:." + SIGNED.rpartition(".")[2],
        "s:",
        "s%3A",
        "s%3A%ff%fe.%00",
        "s:" + ID + ".ключ",
        sign_session_id("a\nb", SECRET),
        sign_session_id("", SECRET),
    ],
)
def test_tampered(raw: str) -> None:
    assert unsign_session_id(raw, [SECRET], require_signed=False) is None


@pytest.mark.parametrize("raw", ["", "x" * 513, "a\x00b", "a\nb", "a\x7fb", "\ud800", "a\u202eb", "s:" + "x" * 520])
def test_not_sane(raw: str) -> None:
    assert unsign_session_id(raw, [SECRET], require_signed=False) is None


@pytest.mark.parametrize("raw", [None, 5, b"abc", ["abc"], {"a": 1}])
def test_not_text(raw: object) -> None:
    assert unsign_session_id(raw, [SECRET], require_signed=False) is None  # type: ignore[arg-type]  # what a client may send


def test_longest() -> None:
    assert unsign_session_id("x" * 512, [], require_signed=False) == "x" * 512
