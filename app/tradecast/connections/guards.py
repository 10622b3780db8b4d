"""Who may connect, and who may send which event."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Protocol

from tradecast.connections.connection import Connection, EventGuard
from tradecast.delivery.errors import EventRefused
from tradecast.sessions.errors import AuthRefused
from tradecast.sessions.models import Session, Tier


class Authenticator(Protocol):
    """Looks up the session of a connecting client."""

    async def authenticate(self, raw_id: object, claimed_user_id: object, *, by_cookie: bool = False) -> Session:
        """The session that a client says it has. See `Sessions.authenticate`."""
        ...


class AuthMiddleware:
    """Finds the session that a client claims in its handshake, and attaches its user to the connection.

    Args:
        sessions: Where sessions are looked up.
        required: Whether a client without a session is refused; if not, it stays anonymous.
    """

    def __init__(self, sessions: Authenticator, *, required: bool = True) -> None:
        self._sessions = sessions
        self._required = required

    async def __call__(self, connection: Connection) -> None:
        """Authenticate one connection.

        Raises:
            AuthRefused: The client is refused finally.
            StoreUnavailable: Nothing is known; the client should try again.
        """
        claims = connection.claims if isinstance(connection.claims, dict) else {}
        raw_id, user_id = claims.get("sessionID"), claims.get("userId")
        # A page that cannot read the cookie may send an empty text in place of the id.
        if (raw_id is None or raw_id == "") and connection.cookie is not None:
            user_id = None if user_id == "" else user_id
            connection.attach(await self._sessions.authenticate(connection.cookie, user_id, by_cookie=True))
            connection.by_cookie = True
            return
        if raw_id is None and user_id is None:
            if self._required:
                raise AuthRefused("AUTH_REQUIRED", "no_claim")
            return
        connection.attach(await self._sessions.authenticate(raw_id, user_id))


@dataclass(frozen=True, slots=True)
class AuthMiddlewareFactory:
    """Makes the middleware once the server has its sessions, when it is initialized.

    Attributes:
        required: Whether a client without a session is refused; if not, it stays anonymous.
        session_collection: The MongoDB collection of the sessions; None: as the settings say.
    """

    required: bool = True
    session_collection: str | None = None

    def create(self, sessions: Authenticator) -> AuthMiddleware:
        """The middleware over these sessions."""
        return AuthMiddleware(sessions, required=self.required)


def create_auth_middleware(*, required: bool = True, session_collection: str | None = None) -> AuthMiddlewareFactory:
    """Authentication by sessions, for `WebSocketServer.set_auth_middleware`.

    Args:
        required: Whether a client without a session is refused; if not, it stays anonymous.
        session_collection: The MongoDB collection of the sessions; None: as the settings say.
    """
    return AuthMiddlewareFactory(required, session_collection)


def require_user() -> EventGuard:
    """A guard that refuses the events of anonymous clients with AUTH_REQUIRED."""

    def guard(connection: Connection, event: str, data: Any) -> None:
        if connection.user is None:
            raise EventRefused("AUTH_REQUIRED", "Log in to use this event")

    return guard


def require_admin() -> EventGuard:
    """A guard that refuses everybody but admins with ADMIN_REQUIRED."""

    def guard(connection: Connection, event: str, data: Any) -> None:
        if connection.user is None or not connection.user.is_admin:
            raise EventRefused("ADMIN_REQUIRED", "Admin access is required")

    return guard


def require_subscription_tier(tiers: Collection[Tier]) -> EventGuard:
    """A guard that refuses users of other tiers with TIER_REQUIRED."""
    allowed = frozenset(tiers)
    names = " or ".join(tiers)

    def guard(connection: Connection, event: str, data: Any) -> None:
        if connection.user is None or connection.user.tier not in allowed:
            raise EventRefused("TIER_REQUIRED", f"A {names} subscription is required")

    return guard
