"""Signed session ids, as express-session puts them into its cookie.

The form is `s:<id>.<signature>`, in a cookie URL-encoded (`s%3A…`); the signature is the base64 of HMAC-SHA256 over the
id, without its `=` (npm's cookie-signature 1.x, `sign` and `unsign`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from urllib.parse import unquote

from tradecast.sessions.errors import Reason
from tradecast.tokens import any_token_matches
from tradecast.user_id import is_plain

MAX_LENGTH = 512


def sign_session_id(session_id: str, secret: str) -> str:
    """The signed form of a session id, not URL-encoded."""
    return f"s:{session_id}.{_make_signature(session_id, secret)}"


def unsign_session_id(raw: str, secrets: Sequence[str], require_signed: bool) -> str | None:
    """The bare session id in what a client sent, or None where it cannot be accepted.

    A bare id passes unless `require_signed`. A signed one passes if any of `secrets` signed it; where there are none it
    cannot be checked, so it does not pass.
    """
    if not _is_sane(raw):
        return None
    if not is_signed(raw):
        return None if require_signed else raw
    text = unquote(raw) if raw.startswith("s%") else raw
    session_id, _, signature = text[2:].rpartition(".")
    if not _is_sane(session_id):
        return None
    given = signature.encode("utf-8", "replace")
    matches = any_token_matches(given, (_make_signature(session_id, secret).encode() for secret in secrets))
    return session_id if matches else None


def is_signed(raw: str) -> bool:
    """Whether a session id has the signed form, whoever may have signed it."""
    return raw.startswith(("s:", "s%3A", "s%3a"))


def explain_refusal(raw: str, secrets: Sequence[str]) -> Reason:
    """Why `unsign_session_id` gave None, for the log."""
    if not _is_sane(raw):
        return "bad_id"
    if not is_signed(raw):
        return "not_signed"
    return "wrong_signature" if secrets else "no_secrets"


def _make_signature(session_id: str, secret: str) -> str:
    digest = hmac.new(secret.encode(), session_id.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode().rstrip("=")


def _is_sane(text: object) -> bool:
    # That also keeps out lone surrogates, which no store could encode.
    return isinstance(text, str) and is_plain(text, MAX_LENGTH)
