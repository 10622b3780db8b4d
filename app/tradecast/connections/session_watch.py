"""Watches the sessions of this server's connections, from a session's first connection until its last."""

from __future__ import annotations

from typing import Protocol

from tradecast.connections.connection import Connection
from tradecast.connections.registry import ConnectionRegistry
from tradecast.sessions.models import Session


class ExpiryTimer(Protocol):
    """Ends sessions when they expire: `SessionExpiry`."""

    def watch(self, session_id: str, expires_at: float) -> None: ...
    def unwatch(self, session_id: str) -> None: ...


class ChangeWatcher(Protocol):
    """Notices sessions that change in the store: `RevocationWatcher`.

    Attributes:
        changes: How many changes it has noticed so far.
    """

    @property
    def changes(self) -> int: ...

    def recheck(self, session: Session, changes: int) -> None: ...


class SessionWatch:
    """Registers connections, and has their sessions watched.

    Args:
        registry: The connections of this server.
        expiry: Ends sessions when they expire.
        watcher: Notices sessions that change in the store.
    """

    def __init__(self, registry: ConnectionRegistry, expiry: ExpiryTimer, watcher: ChangeWatcher) -> None:
        self._registry = registry
        self._expiry = expiry
        self._watcher = watcher

    def prepare(self, connection: Connection) -> None:
        """Call this before the connection's session is looked up: later changes of the session are noticed then."""
        connection.changes_seen = self._watcher.changes

    def find(self, sid: str) -> Connection | None:
        """The connection of a client; None if there is none."""
        return self._registry.get(sid)

    def add(self, connection: Connection) -> None:
        """Register a connection, and watch its session."""
        self._registry.add(connection)
        session = connection.session
        if session is not None and connection.user is not None:
            self._expiry.watch(session.id, session.expires_at)
            self._watcher.recheck(session, connection.changes_seen)

    def remove(self, sid: str) -> Connection | None:
        """Remove the connection of a client, and mark it as closed; None if there is none.

        Its session is watched no longer, unless it has other connections here.
        """
        connection = self._registry.remove(sid)
        if connection is None:
            return None
        connection.closed = True
        session = connection.session
        if session is not None and not self._registry.of_session(session.id):
            self._expiry.unwatch(session.id)
        return connection
