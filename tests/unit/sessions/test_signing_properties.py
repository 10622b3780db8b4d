"""Signed session ids: what was signed is read in either form, and nothing else is."""

from __future__ import annotations

from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from kit.parsing.checks import check_words
from kit.parsing.properties import TEXTS
from tradecast.sessions.signing import MAX_LENGTH, sign_session_id, unsign_session_id
from tradecast.user_id import is_plain

IDS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=40)
SECRETS = st.lists(TEXTS, max_size=3)


@given(IDS | st.text("a\n\x00\u202e b", max_size=3), TEXTS, SECRETS, st.booleans(), st.booleans())
def test_what_was_signed_is_read(
    session_id: str, secret: str, others: list[str], encoded: bool, required: bool
) -> None:
    signed = sign_session_id(session_id, secret)
    raw = quote(signed, safe="") if encoded else signed
    secrets = [*others[:1], secret, *others[1:]]
    good = session_id.isprintable() and session_id and len(raw) <= MAX_LENGTH
    assert unsign_session_id(raw, secrets, required) == (session_id if good else None)
    if secret not in others:
        assert unsign_session_id(raw, others, required) is None


@given(IDS, st.integers(0, 80), st.characters(exclude_categories=["Cs"]))
def test_what_was_changed_is_not(session_id: str, place: int, letter: str) -> None:
    signed = sign_session_id(session_id, "secret")
    changed = signed[:place] + letter + signed[place + 1 :]
    if changed != signed:
        assert unsign_session_id(changed, ["secret"], require_signed=True) is None


@given(st.text(st.characters()) | st.text("s:%3Aa.=/+\x00", max_size=40), st.booleans())
def test_any_text_is_a_bare_id_or_none(text: str, required: bool) -> None:
    found = unsign_session_id(text, ["secret"], required)
    assert found is None or (found == text and not required and is_plain(text, MAX_LENGTH))
    check_words(text)
