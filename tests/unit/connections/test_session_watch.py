"""The sessions of connections are watched from the first connection until the last."""

from __future__ import annotations

import pytest

from tradecast.connections.connection import Connection
from tradecast.connections.registry import ConnectionRegistry
from tradecast.connections.session_watch import SessionWatch
from tradecast.sessions.models import Session
from unit.connections.connecting import USER, Recorder


class Watchers:
    """Both watchers, as a list of what they are asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, object]] = []
        self.changes = 7

    def watch(self, session_id: str, expires_at: float) -> None:
        self.calls.append(("watch", expires_at))

    def unwatch(self, session_id: str) -> None:
        self.calls.append(("unwatch", session_id))

    def recheck(self, session: Session, changes: int) -> None:
        self.calls.append(("recheck", changes))


@pytest.fixture
def watchers() -> Watchers:
    return Watchers()


@pytest.fixture
def connections(watchers: Watchers) -> SessionWatch:
    return SessionWatch(ConnectionRegistry(), watchers, watchers)


def make_connection(sid: str, *, authenticated: bool = True) -> Connection:
    made = Connection(sid, sid, Recorder(), claims=None, connected_at=0.0)
    if authenticated:
        made.attach(Session("s", USER, 9.0))
    return made


def test_changes_since_the_session_was_looked_up_are_noticed(connections: SessionWatch, watchers: Watchers) -> None:
    connection = make_connection("a")
    connections.prepare(connection)
    watchers.changes += 1
    connections.add(connection)
    assert watchers.calls == [("watch", 9.0), ("recheck", 7)]
    assert connections.find("a") is connection


def test_a_session_is_watched_until_its_last_connection_is_gone(connections: SessionWatch, watchers: Watchers) -> None:
    first, second = make_connection("a"), make_connection("b")
    connections.add(first)
    connections.add(second)
    watchers.calls.clear()
    assert connections.remove("a") is first
    assert first.closed
    assert watchers.calls == []
    assert connections.remove("b") is second
    assert watchers.calls == [("unwatch", "s")]
    assert connections.remove("b") is None
    assert connections.find("b") is None


def test_clients_without_a_session_have_nothing_to_watch(connections: SessionWatch, watchers: Watchers) -> None:
    connection = make_connection("a", authenticated=False)
    connections.add(connection)
    assert connections.remove("a") is connection
    assert watchers.calls == []
