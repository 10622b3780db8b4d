"""What administrators do with sessions: create, list, revoke. An id is shown once; from then on a handle names it."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from tradecast.sessions.models import TIERS, Session, User
from tradecast.user_id import RULE, read_user_id

HANDLE_LENGTH = 12
DEFAULT_MAX_AGE = 86_400.0


class ManagedSessions(Protocol):
    """Creates, lists and revokes sessions (`Sessions`)."""

    async def create(self, user: User, max_age: float) -> tuple[str, float]: ...
    async def revoke(self, ids: Sequence[str]) -> int: ...
    async def revoke_all(self) -> int: ...
    async def note_revoked(self, *, user_id: str | None = None, handle: str | None = None) -> None: ...
    def sessions(self) -> AsyncIterator[Session]: ...


class InvalidRequest(ValueError):
    """The request is invalid; the text says why and may be shown."""


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session to create."""

    user: User
    max_age: float

    @classmethod
    def parse(cls, body: Any, longest: float) -> Self:
        """Read `{userId, name?, email?, tier?, isAdmin?, maxAge?}` (maxAge in seconds).

        Raises:
            InvalidRequest: A field is missing or invalid.
        """
        if not isinstance(body, dict):
            raise InvalidRequest("the body must be an object")
        unknown = set(body) - {"userId", "name", "email", "tier", "isAdmin", "maxAge"}
        if unknown:
            raise InvalidRequest(f"unknown fields: {', '.join(sorted(map(str, unknown)))[:100]}")
        user_id, name, email = body.get("userId"), body.get("name", ""), body.get("email", "")
        tier, is_admin, max_age = (
            body.get("tier", "free"),
            body.get("isAdmin", False),
            body.get("maxAge", DEFAULT_MAX_AGE),
        )
        user_id = read_user_id(user_id)
        if user_id is None:
            raise InvalidRequest(f"userId: {RULE}")
        if not isinstance(name, str) or not isinstance(email, str):
            raise InvalidRequest("name and email must be strings")
        if tier not in TIERS:
            raise InvalidRequest(f"tier must be one of {', '.join(TIERS)}")
        if not isinstance(is_admin, bool):
            raise InvalidRequest("isAdmin must be true or false")
        if isinstance(max_age, bool) or not isinstance(max_age, int | float) or not 0 < max_age <= longest:
            raise InvalidRequest(f"maxAge must be a number of seconds, above 0 and at most {longest:.0f}")
        return cls(User(user_id, name, email, is_admin, tier), float(max_age))


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """A session as it is shown: without its id, name and e-mail."""

    handle: str
    user_id: str
    tier: str
    is_admin: bool
    expires_at: float

    def as_dict(self) -> dict[str, Any]:
        return {
            "handle": self.handle,
            "userId": self.user_id,
            "tier": self.tier,
            "isAdmin": self.is_admin,
            "expiresAt": round(self.expires_at * 1000),
        }


def read_selection(which: Any) -> dict[str, Any]:
    """The arguments of `SessionAdmin.revoke` for `{sessionID}`, `{handle}`, `{userId}` or `{all: true}` from outside.

    Raises:
        InvalidRequest: It is none of these.
    """
    if which == {"all": True} and which["all"] is True:
        return {"everything": True}
    names = {"sessionID": "session_id", "handle": "handle", "userId": "user_id"}
    if not isinstance(which, dict) or not all(key in names for key in which):
        raise InvalidRequest("give one of sessionID, handle, userId, or all: true")
    chosen: dict[str, str] = {}
    for key, value in which.items():
        text = read_user_id(value) if key == "userId" else value
        if not isinstance(text, str):
            raise InvalidRequest(f"userId: {RULE}" if key == "userId" else f"{key} must be a string")
        chosen[names[key]] = text
    return chosen


def make_handle(session_id: str) -> str:
    """A name for a session that is no secret."""
    return hashlib.sha256(session_id.encode()).hexdigest()[:HANDLE_LENGTH]


class SessionAdmin:
    """Creates, lists and revokes sessions, in any store. Raises `StoreUnavailable` when it does not answer."""

    def __init__(self, sessions: ManagedSessions) -> None:
        self._sessions = sessions

    async def create(self, new: NewSession) -> dict[str, Any]:
        """Create a session; the only time that its id is shown."""
        session_id, expires_at = await self._sessions.create(new.user, new.max_age)
        return {"sessionID": session_id, "userId": new.user.id, "expiresAt": round(expires_at * 1000)}

    async def list(self, user_id: str | None = None, limit: int = 1_000) -> list[SessionSummary]:
        """The sessions that have not expired, of one user or of all."""
        found: list[SessionSummary] = []
        async for session in self._sessions.sessions():
            user = session.user
            if user_id is None or user.id == user_id:
                listed = SessionSummary(make_handle(session.id), user.id, user.tier, user.is_admin, session.expires_at)
                found.append(listed)
                if len(found) >= limit:
                    break
        return found

    async def revoke(
        self,
        *,
        session_id: str | None = None,
        handle: str | None = None,
        user_id: str | None = None,
        everything: bool = False,
    ) -> int:
        """Revoke sessions by id, by handle, all of a user, or all; how many there were."""
        if sum(value is not None for value in (session_id, handle, user_id)) + everything != 1:
            raise InvalidRequest("give one of sessionID, handle, userId, all")
        if everything:
            return await self._sessions.revoke_all()
        if session_id is not None:
            return await self._sessions.revoke([session_id])
        ids = [
            session.id
            async for session in self._sessions.sessions()
            if session.user.id == user_id or make_handle(session.id) == handle
        ]
        await self._sessions.note_revoked(user_id=user_id, handle=handle)
        return await self._sessions.revoke(ids) if ids else 0
