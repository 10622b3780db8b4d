"""What a session's end or change does to the connections that use it."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Protocol

import structlog

from tradecast.connections.connection import Connection
from tradecast.connections.registry import ConnectionRegistry
from tradecast.sessions.errors import MESSAGES, AuthRefused, RefusalCode, StoreUnavailable
from tradecast.sessions.expiry import SessionExpiry
from tradecast.sessions.models import Session
from tradecast.sessions.service import Sessions

log = structlog.stdlib.get_logger("tradecast.server")


class ClientTransport(Protocol):
    """Ends clients' connections."""

    async def end(self, sid: str, namespace: str) -> None:
        """Disconnect a client: a standard client does not reconnect."""
        ...

    def close_transport(self, sid: str, namespace: str) -> None:
        """Close a client's transport: a standard client reconnects automatically."""
        ...


class RoomPermissions(Protocol):
    """Keeps connections out of rooms that their users may not be in."""

    async def leave_unpermitted(self, connection: Connection) -> None: ...


class SessionObserver(Protocol):
    """Counts what becomes of sessions."""

    def session_ended(self, code: str) -> None: ...


class SessionSync:
    """Keeps live connections in step with their sessions.

    Args:
        sessions: Where they are looked up.
        registry: The live connections.
        clients: Ends them.
        permissions: What a changed tier permits.
        observer: Counts connections that end with their session.

    Attributes:
        expiry: The timer of the sessions' ends.
    """

    def __init__(
        self,
        sessions: Sessions,
        registry: ConnectionRegistry,
        clients: ClientTransport,
        permissions: RoomPermissions,
        observer: SessionObserver,
    ) -> None:
        self._sessions = sessions
        self._registry = registry
        self._clients = clients
        self._permissions = permissions
        self._observer = observer
        self.expiry = SessionExpiry(self)

    async def refresh(self, connection: Connection, raw_session_id: object) -> Session:
        """Put a live connection on another session of the same user.

        Raises:
            AuthRefused: The session cannot be used; the connection stays on its own.
            StoreUnavailable: Nothing is known now.
        """
        user = connection.user
        started = time.time()
        session = await self._sessions.authenticate(raw_session_id, user.id if user else None)
        if self._sessions.is_revoked_since(session.id, started):
            raise AuthRefused("SESSION_NOT_FOUND", "revoked")
        await self.rebind(connection, session)
        return session

    def session_ids(self) -> list[str]:
        """The sessions that have a connection here."""
        return self._registry.session_ids()

    def find_session(self, session_id: str) -> Session | None:
        """The copy of a session that a connection here has."""
        return next((one.session for one in self._registry.of_session(session_id)), None)

    async def end_connections(self, session_ids: Collection[str], code: RefusalCode) -> None:
        """End all connections of sessions that have ended; each client receives the reason."""
        for session_id in session_ids:
            self.expiry.unwatch(session_id)
            for connection in self._registry.of_session(session_id):
                log.info("session ended", connection_id=connection.id, code=code)
                self._observer.session_ended(code)
                connection.send("error", {"code": code, "message": MESSAGES[code]})
                await self._clients.end(connection.sid, connection.namespace)

    async def check_expired(self, session_ids: Collection[str]) -> None:
        """Look up sessions again that have reached their end: the store may have extended them."""
        try:
            outcomes = await self._sessions.check(session_ids)
        except StoreUnavailable:
            # They may have been extended: their clients reconnect automatically, and are looked up again then.
            for session_id in session_ids:
                for connection in self._registry.of_session(session_id):
                    self._clients.close_transport(connection.sid, connection.namespace)
            return
        over: dict[RefusalCode, list[str]] = {}
        for session_id, outcome in outcomes.items():
            if isinstance(outcome, Session):
                await self.apply_change(outcome)
            else:
                # A store that deletes expired sessions (TTL) may have been quicker.
                code: RefusalCode = "SESSION_EXPIRED" if outcome == "SESSION_NOT_FOUND" else outcome
                over.setdefault(code, []).append(session_id)
        for code, ids in over.items():
            await self.end_connections(ids, code)

    def is_applied(self, session: Session) -> bool:
        """Whether all connections of a session have its user as it is now."""
        sessions = (connection.session for connection in self._registry.of_session(session.id))
        return all(one is not None and one.user == session.user for one in sessions)

    async def apply_change(self, session: Session) -> None:
        """Give a changed session to its connections; those of another user end."""
        for connection in self._registry.of_session(session.id):
            if connection.user is not None and connection.user.id != session.user.id:
                await self.end_connections([session.id], "USER_MISMATCH")
                return
            await self.rebind(connection, session)

    async def rebind(self, connection: Connection, session: Session) -> None:
        """Put a connection on a session; it leaves the rooms that its user may no longer be in."""
        if connection.closed:
            return
        before = connection.session
        self._registry.rebind(connection, session)
        if before is not None and before.id != session.id and not self._registry.of_session(before.id):
            self.expiry.unwatch(before.id)
        self.expiry.watch(session.id, session.expires_at)
        await self._permissions.leave_unpermitted(connection)
