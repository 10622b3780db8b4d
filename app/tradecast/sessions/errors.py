"""Why a client is refused. The codes are the contract's (docs/client.md); the reasons are for the private log."""

from __future__ import annotations

from typing import Literal, get_args

from tradecast.causes import Cause

RefusalCode = Literal["AUTH_REQUIRED", "SESSION_NOT_FOUND", "SESSION_EXPIRED", "USER_MISMATCH", "TOO_MANY_CONNECTIONS"]
Reason = Literal[
    "no_claim",
    "bad_claim",
    "bad_id",
    "not_signed",
    "wrong_signature",
    "no_secrets",
    "not_in_store",
    "too_large",
    "unreadable",
    "encrypted",
    "no_user",
    "bad_user_id",
    "no_end",
    "no_start",
    "expired",
    "revoked",
    "other_user",
    "not_in_users",
    "too_many",
]
"""What is behind a code, in the log and in a metric. docs/sessions.md says what each means."""
REASONS: tuple[Reason, ...] = get_args(Reason)
# Codes that are about the session; the others are about the user.
SESSION_CODES: tuple[RefusalCode, ...] = ("AUTH_REQUIRED", "SESSION_NOT_FOUND", "SESSION_EXPIRED", "USER_MISMATCH")

MESSAGES: dict[RefusalCode, str] = {
    "AUTH_REQUIRED": "A session is required: pass auth {sessionID, userId}",
    "SESSION_NOT_FOUND": "The session does not exist or cannot be used; log in again",
    "SESSION_EXPIRED": "The session has expired; log in again",
    "USER_MISMATCH": "The session belongs to another user",
    "TOO_MANY_CONNECTIONS": "This user has too many connections",
}


class AuthRefused(Exception):
    """A final refusal: the same request would be refused again.

    Attributes:
        code: What the client receives.
        reason: For the log; None where the code says all.
    """

    def __init__(self, code: RefusalCode, reason: Reason | None = None) -> None:
        super().__init__(MESSAGES[code])
        self.code: RefusalCode = code
        self.reason: Reason | None = reason


class StoreUnavailable(Exception):
    """The store did not answer in time; nothing is known about the session, and trying again may help.

    Attributes:
        refused: It did answer, and refused the request.
        cause: Why, where that is known.
    """

    def __init__(self, why: str = "", *, refused: bool = False, cause: Cause | None = None) -> None:
        super().__init__(why)
        self.refused = refused
        self.cause = cause

    def fields(self) -> dict[str, str]:
        """Fields of a log line."""
        return {"error": str(self)} if self.cause is None else self.cause.fields()
