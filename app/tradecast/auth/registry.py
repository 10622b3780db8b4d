"""The connections of this server, by sid, by user and by session."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tradecast.auth.connection import Connection
from tradecast.auth.models import Session


class ConnectionRegistry:
    """Which connections are open here, and whose they are."""

    def __init__(self) -> None:
        self._by_sid: dict[str, Connection] = {}
        self._by_user: dict[str, set[str]] = {}
        self._by_session: dict[str, set[str]] = {}

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
        return self._pick(self._by_user.get(user_id, ()))

    def of_session(self, session_id: str) -> list[Connection]:
        return self._pick(self._by_session.get(session_id, ()))

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
        self._by_user.setdefault(session.user.id, set()).add(sid)
        self._by_session.setdefault(session.id, set()).add(sid)

    def _unindex(self, sid: str, session: Session) -> None:
        for index, key in ((self._by_user, session.user.id), (self._by_session, session.id)):
            sids = index.get(key)
            if sids is not None:
                sids.discard(sid)
                if not sids:
                    del index[key]
