"""What a session's end or change does to the connections that use it."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any, cast

import pytest

from tradecast.connections.connection import Connection
from tradecast.connections.registry import ConnectionRegistry
from tradecast.connections.session_sync import SessionSync
from tradecast.sessions.errors import MESSAGES, AuthRefused, RefusalCode, StoreUnavailable
from tradecast.sessions.models import Session, User
from tradecast.sessions.service import Sessions
from unit.connections.connecting import Recorder


class Clients:
    """Notes which clients are ended, and whose transport is closed."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.closed: list[str] = []

    async def end(self, sid: str, namespace: str) -> None:
        self.ended.append(sid)

    def close_transport(self, sid: str, namespace: str) -> None:
        self.closed.append(sid)


class Permissions:
    """Notes whose rooms are looked through."""

    def __init__(self) -> None:
        self.checked: list[tuple[str, str]] = []

    async def leave_unpermitted(self, connection: Connection) -> None:
        assert connection.user is not None
        self.checked.append((connection.sid, connection.user.tier))


class Ended:
    """Counts what becomes of sessions."""

    def __init__(self) -> None:
        self.codes: list[str] = []

    def session_ended(self, code: str) -> None:
        self.codes.append(code)


class Book:
    """Sessions as a test wants them."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Session | RefusalCode] = {}
        self.away = self.revoked = False

    async def check(self, session_ids: Collection[str]) -> dict[str, Session | RefusalCode]:
        if self.away:
            raise StoreUnavailable
        return {one: self.outcomes[one] for one in session_ids}

    async def authenticate(self, raw_id: object, user_id: object) -> Session:
        assert isinstance(raw_id, str)
        return Session(raw_id, User(str(user_id), tier="premium"), time.time() + 60)

    def is_revoked_since(self, session_id: str, since: float) -> bool:
        return self.revoked


class World:
    """A server's connections."""

    def __init__(self) -> None:
        self.book, self.registry = Book(), ConnectionRegistry()
        self.clients, self.permissions, self.observer = Clients(), Permissions(), Ended()
        sessions = cast("Sessions", self.book)
        self.sync = SessionSync(sessions, self.registry, self.clients, self.permissions, self.observer)

    def connect(self, sid: str, session_id: str, user_id: str = "u1") -> Connection:
        made = Connection(sid, sid, Recorder(), claims=None, connected_at=0.0)
        made.attach(Session(session_id, User(user_id), time.time() + 60))
        self.registry.add(made)
        return made


@pytest.fixture
async def world() -> World:
    return World()


def sent(connection: Connection) -> list[Any]:
    channel = connection._channel
    assert isinstance(channel, Recorder)
    return [call[2:] for call in channel.calls]


async def test_all_connections_of_a_session_end_with_the_reason(world: World) -> None:
    first, second, other = world.connect("a", "s1"), world.connect("b", "s1"), world.connect("c", "s2")
    await world.sync.end_connections(["s1"], "SESSION_EXPIRED")
    assert sorted(world.clients.ended) == ["a", "b"]
    assert world.observer.codes == ["SESSION_EXPIRED"] * 2
    message = ("error", {"code": "SESSION_EXPIRED", "message": MESSAGES["SESSION_EXPIRED"]})
    assert (sent(first), sent(second), sent(other)) == ([message], [message], [])


async def test_a_session_that_was_extended_stays_and_one_that_is_gone_has_expired(world: World) -> None:
    kept = world.connect("a", "s1")
    world.connect("b", "s2")
    world.connect("c", "s3")
    extended = Session("s1", User("u1", tier="enterprise"), time.time() + 600)
    world.book.outcomes = {"s1": extended, "s2": "SESSION_NOT_FOUND", "s3": "USER_MISMATCH"}
    await world.sync.check_expired(["s1", "s2", "s3"])
    assert kept.session is extended
    assert world.permissions.checked == [("a", "enterprise")]
    assert sorted(world.clients.ended) == ["b", "c"]
    assert sorted(world.observer.codes) == ["SESSION_EXPIRED", "USER_MISMATCH"]


async def test_while_the_store_is_away_clients_reconnect(world: World) -> None:
    world.connect("a", "s1")
    world.book.away = True
    await world.sync.check_expired(["s1"])
    assert (world.clients.closed, world.clients.ended) == (["a"], [])


async def test_a_session_of_another_user_ends_its_connections(world: World) -> None:
    world.connect("a", "s1")
    changed = Session("s1", User("u2"), time.time() + 60)
    assert not world.sync.is_applied(changed)
    await world.sync.apply_change(changed)
    assert (world.clients.ended, world.observer.codes) == (["a"], ["USER_MISMATCH"])
    assert world.permissions.checked == []


async def test_a_connection_moves_to_a_refreshed_session(world: World) -> None:
    connection = world.connect("a", "s1")
    session = await world.sync.refresh(connection, "s2")
    assert connection.session is session
    assert world.sync.session_ids() == ["s2"]
    assert world.permissions.checked == [("a", "premium")]
    world.book.revoked = True
    with pytest.raises(AuthRefused):
        await world.sync.refresh(connection, "s3")
    assert connection.session is session


async def test_a_connection_that_has_ended_meanwhile_stays_as_it_is(world: World) -> None:
    connection = world.connect("a", "s1")
    before, connection.closed = connection.session, True
    await world.sync.rebind(connection, Session("s2", User("u1"), time.time() + 60))
    assert connection.session is before
    assert world.permissions.checked == []
