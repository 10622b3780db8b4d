"""Why a client is refused. The codes are the contract's (docs/client.md)."""

from __future__ import annotations

from typing import Literal

RefusalCode = Literal["AUTH_REQUIRED", "SESSION_NOT_FOUND", "SESSION_EXPIRED", "USER_MISMATCH", "TOO_MANY_CONNECTIONS"]

MESSAGES: dict[RefusalCode, str] = {
    "AUTH_REQUIRED": "A session is required: pass auth {sessionID, userId}",
    "SESSION_NOT_FOUND": "The session does not exist or cannot be used; log in again",
    "SESSION_EXPIRED": "The session has expired; log in again",
    "USER_MISMATCH": "The session belongs to another user",
    "TOO_MANY_CONNECTIONS": "This user has too many connections",
}


class AuthRefused(Exception):
    """A final refusal: trying again as one is cannot help."""

    def __init__(self, code: RefusalCode) -> None:
        super().__init__(MESSAGES[code])
        self.code: RefusalCode = code


class StoreUnavailable(Exception):
    """The store did not answer in time; nothing is known about the session, and trying again may help."""
