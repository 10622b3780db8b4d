"""The connections of a server, and how they are found."""

from __future__ import annotations

from typing import Any

from tradecast.connections.connection import Connection
from tradecast.connections.registry import ConnectionRegistry
from tradecast.sessions.models import Session, User


class NoChannel:
    """These connections send nothing."""

    def send(self, sid: str, event: str, data: Any) -> None:
        raise AssertionError

    async def join(self, sid: str, *rooms: str, recent: int = 0) -> None:
        raise AssertionError

    async def read_recent(self, room: str, count: int) -> None:
        raise AssertionError

    async def leave(self, sid: str, room: str) -> None:
        raise AssertionError

    def rooms(self, sid: str) -> set[str]:
        raise AssertionError

    def is_in(self, sid: str, room: str) -> bool:
        raise AssertionError


def session(user_id: str, session_id: str = "") -> Session:
    return Session(session_id or f"session of {user_id}", User(user_id), 1.0)


def connection(sid: str, of: Session | None = None) -> Connection:
    made = Connection(sid, f"log-{sid}", NoChannel(), claims=None, connected_at=0.0)
    if of is not None:
        made.attach(of)
    return made


def test_empty() -> None:
    registry = ConnectionRegistry()
    assert len(registry) == 0
    assert list(registry) == []
    assert registry.get("a") is None
    assert registry.remove("a") is None
    assert [registry.of_user("u"), registry.of_session("s"), registry.session_ids()] == [[], [], []]
    assert registry.users == 0


def test_found_by_sid_user_and_session() -> None:
    registry = ConnectionRegistry()
    one, two, three = (connection(sid, session(user)) for sid, user in (("1", "u"), ("2", "u"), ("3", "v")))
    for each in (one, two, three):
        registry.add(each)
    assert len(registry) == 3
    assert registry.users == 2
    assert registry.get("2") is two
    assert {each.sid for each in registry.of_user("u")} == {"1", "2"}
    assert registry.of_session("session of v") == [three]
    assert sorted(registry.session_ids()) == ["session of u", "session of v"]


def test_one_user_with_several_sessions() -> None:
    registry = ConnectionRegistry()
    registry.add(connection("1", session("u", "s1")))
    registry.add(connection("2", session("u", "s2")))
    assert registry.users == 1
    assert [each.sid for each in registry.of_session("s1")] == ["1"]
    registry.remove("1")
    assert registry.of_session("s1") == []
    assert [each.sid for each in registry.of_user("u")] == ["2"]


def test_nothing_is_left_of_what_is_removed() -> None:
    registry = ConnectionRegistry()
    one = connection("1", session("u"))
    registry.add(one)
    assert registry.remove("1") is one
    assert registry.remove("1") is None
    assert len(registry) == registry.users == 0
    assert [registry.of_user("u"), registry.session_ids()] == [[], []]
    assert not registry._by_user
    assert not registry._by_session


def test_anonymous_is_nobodys() -> None:
    registry = ConnectionRegistry()
    registry.add(connection("1"))
    assert len(registry) == 1
    assert registry.users == 0
    assert registry.session_ids() == []
    assert registry.remove("1") is not None


def test_rebinding_moves_to_the_other_session() -> None:
    registry = ConnectionRegistry()
    one, other = connection("1", session("u", "old")), connection("2", session("u", "old"))
    registry.add(one)
    registry.add(other)
    registry.rebind(one, session("u", "new"))
    assert one.session is not None
    assert one.session.id == "new"
    assert registry.of_session("old") == [other]
    assert registry.of_session("new") == [one]
    assert {each.sid for each in registry.of_user("u")} == {"1", "2"}
    registry.rebind(other, session("u", "new"))
    assert registry.session_ids() == ["new"]


def test_rebinding_to_the_same_session_takes_over_the_user() -> None:
    registry = ConnectionRegistry()
    one = connection("1", session("u"))
    registry.add(one)
    registry.rebind(one, Session("session of u", User("u", tier="enterprise"), 2.0))
    assert one.user is not None
    assert one.user.tier == "enterprise"
    assert registry.of_session("session of u") == [one]


def test_anonymous_may_become_somebody() -> None:
    registry = ConnectionRegistry()
    one = connection("1")
    registry.add(one)
    registry.rebind(one, session("u"))
    assert registry.of_user("u") == [one]


def test_rebinding_what_is_gone_registers_nothing() -> None:
    """A look-up may end after its client has left."""
    registry = ConnectionRegistry()
    one = connection("1", session("u", "old"))
    registry.add(one)
    registry.remove("1")
    registry.rebind(one, session("u", "new"))
    assert [registry.of_user("u"), registry.session_ids()] == [[], []]
    assert registry.users == 0


def test_may_change_while_it_is_gone_through() -> None:
    registry = ConnectionRegistry()
    for sid in ("1", "2", "3"):
        registry.add(connection(sid, session("u")))
    for each in registry:
        registry.remove(each.sid)
    assert len(registry) == 0
