"""The connections of this server, by sid, by user and by session."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from tradecast.connections.connection import Connection
from tradecast.sessions.models import Session


class SidIndex:
    """Sids by a key. Most keys have one, which is kept without a set around it: 200 bytes a connection less."""

    __slots__ = ("_sids",)

    def __init__(self) -> None:
        self._sids: dict[str, str | set[str]] = {}

    def __len__(self) -> int:
        return len(self._sids)

    def __iter__(self) -> Iterator[str]:
        return iter(self._sids)

    def get(self, key: str) -> Collection[str]:
        """The sids of a key."""
        found = self._sids.get(key, ())
        return (found,) if isinstance(found, str) else found

    def add(self, key: str, sid: str) -> None:
        """Note a sid under a key."""
        found = self._sids.get(key)
        if found is None or found == sid:
            self._sids[key] = sid
        elif isinstance(found, str):
            self._sids[key] = {found, sid}
        else:
            found.add(sid)

    def discard(self, key: str, sid: str) -> None:
        """Forget a sid under a key; nothing happens if it is not there."""
        found = self._sids.get(key)
        if found == sid:
            del self._sids[key]
        elif isinstance(found, set):
            found.discard(sid)
            if len(found) == 1:
                self._sids[key] = found.pop()


class ConnectionRegistry:
    """Which connections are open here, and whose they are."""

    def __init__(self) -> None:
        self._by_sid: dict[str, Connection] = {}
        self._by_user = SidIndex()
        self._by_session = SidIndex()

    def __len__(self) -> int:
        return len(self._by_sid)

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._by_sid.values()))

    def add(self, connection: Connection) -> None:
        self._by_sid[connection.sid] = connection
        if connection.session is not None:
            self._index(connection.sid, connection.session)

    def remove(self, sid: str) -> Connection | None:
        """Forget a connection and return it; None if it was not here."""
        connection = self._by_sid.pop(sid, None)
        if connection is not None and connection.session is not None:
            self._unindex(sid, connection.session)
        return connection

    def rebind(self, connection: Connection, session: Session) -> None:
        """Give a connection another session (of the same user, or the first)."""
        if connection.session is not None:
            self._unindex(connection.sid, connection.session)
        connection.attach(session)
        if connection.sid in self._by_sid:
            self._index(connection.sid, session)

    def get(self, sid: str) -> Connection | None:
        return self._by_sid.get(sid)

    def of_user(self, user_id: str) -> list[Connection]:
        return self._pick(self._by_user.get(user_id))

    def of_session(self, session_id: str) -> list[Connection]:
        return self._pick(self._by_session.get(session_id))

    def session_ids(self) -> list[str]:
        """The sessions that have a connection here."""
        return list(self._by_session)

    @property
    def users(self) -> int:
        """How many different users are connected here."""
        return len(self._by_user)

    def _pick(self, sids: Iterable[str]) -> list[Connection]:
        return [self._by_sid[sid] for sid in sids]

    def _index(self, sid: str, session: Session) -> None:
        self._by_user.add(session.user.id, sid)
        self._by_session.add(session.id, sid)

    def _unindex(self, sid: str, session: Session) -> None:
        self._by_user.discard(session.user.id, sid)
        self._by_session.discard(session.id, sid)
