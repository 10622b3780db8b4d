"""What an administrator does with sessions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from tradecast.sessions.admin import (
    DEFAULT_MAX_AGE,
    InvalidRequest,
    NewSession,
    SessionAdmin,
    make_handle,
    read_selection,
)
from tradecast.sessions.models import Session, User

LONGEST = 1_000_000.0


class Book:
    """Sessions in a list."""

    def __init__(self, *sessions: Session) -> None:
        self.found = list(sessions)
        self.created: list[tuple[User, float]] = []
        self.noted: list[tuple[str | None, str | None]] = []

    async def create(self, user: User, max_age: float) -> tuple[str, float]:
        self.created.append((user, max_age))
        return "new-id", 1234.5678

    async def revoke(self, ids: Sequence[str]) -> int:
        before = len(self.found)
        self.found = [session for session in self.found if session.id not in ids]
        return before - len(self.found)

    async def revoke_all(self) -> int:
        return await self.revoke([session.id for session in self.found])

    async def note_revoked(self, *, user_id: str | None = None, handle: str | None = None) -> None:
        self.noted.append((user_id, handle))

    async def sessions(self) -> AsyncIterator[Session]:
        for session in list(self.found):
            yield session


@pytest.fixture
def book() -> Book:
    return Book(
        Session("a1", User("a", "Ann", "ann@example.com", tier="premium"), 10.0004),
        Session("a2", User("a"), 20.0),
        Session("b1", User("b", is_admin=True), 30.0),
    )


# -- parsing


def test_defaults() -> None:
    new = NewSession.parse({"userId": "u"}, LONGEST)
    assert new.user == User("u", "", "", is_admin=False, tier="free")
    assert new.max_age == DEFAULT_MAX_AGE


@pytest.mark.parametrize("user_id", [5, 5.0, "5"])
def test_an_id_is_a_string_or_an_integer(user_id: object) -> None:
    assert NewSession.parse({"userId": user_id}, LONGEST).user.id == "5"
    assert read_selection({"userId": user_id}) == {"user_id": "5"}


def test_everything_given() -> None:
    body = {"userId": "u", "name": "N", "email": "e@x", "tier": "enterprise", "isAdmin": True, "maxAge": 5}
    new = NewSession.parse(body, LONGEST)
    assert new == NewSession(User("u", "N", "e@x", is_admin=True, tier="enterprise"), 5.0)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"userId": ""}, "userId"),
        ({"userId": None}, "userId"),
        *(({"userId": value}, "userId") for value in (True, 1.5, ["u"], {"$ne": 1}, "x" * 257)),
        ({"userId": "a\nb"}, "userId"),
        ({"userId": "\x00"}, "userId"),
        ({"name": 5}, "name"),
        ({"email": None}, "email"),
        ({"tier": "gold"}, "tier"),
        ({"tier": ["free"]}, "tier"),
        ({"tier": {}}, "tier"),
        ({"isAdmin": 1}, "isAdmin"),
        ({"isAdmin": "true"}, "isAdmin"),
        ({"maxAge": 0}, "maxAge"),
        ({"maxAge": -1}, "maxAge"),
        ({"maxAge": True}, "maxAge"),
        ({"maxAge": "60"}, "maxAge"),
        ({"maxAge": float("nan")}, "maxAge"),
        ({"maxAge": float("inf")}, "maxAge"),
        ({"maxAge": LONGEST + 1}, "maxAge"),
        ({"role": "x"}, "role"),
    ],
)
def test_nonsense_is_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRequest, match=named):
        NewSession.parse({"userId": "u", **change}, LONGEST)


@pytest.mark.parametrize("body", [None, [], "text", 5])
def test_body_is_an_object(body: Any) -> None:
    with pytest.raises(InvalidRequest):
        NewSession.parse(body, LONGEST)


def test_unknown_names_are_cut_short() -> None:
    with pytest.raises(InvalidRequest) as caught:
        NewSession.parse({"userId": "u", "x" * 10_000: 1}, LONGEST)
    assert len(str(caught.value)) < 200


def test_longest_is_allowed() -> None:
    assert NewSession.parse({"userId": "u", "maxAge": LONGEST}, LONGEST).max_age == LONGEST


# -- acting


async def test_id_is_shown_when_it_is_made(book: Book) -> None:
    made = await SessionAdmin(book).create(NewSession(User("u"), 60.0))
    assert made == {"sessionID": "new-id", "userId": "u", "expiresAt": 1_234_568}
    assert book.created == [(User("u"), 60.0)]


async def test_list_shows_no_secret(book: Book) -> None:
    listed = [session.as_dict() for session in await SessionAdmin(book).list()]
    assert listed[0] == {
        "handle": make_handle("a1"),
        "userId": "a",
        "tier": "premium",
        "isAdmin": False,
        "expiresAt": 10_000,
    }
    text = repr(listed)
    assert "'a1'" not in text
    assert "Ann" not in text
    assert "ann@" not in text


async def test_list_of_one_user(book: Book) -> None:
    admin = SessionAdmin(book)
    assert [session.user_id for session in await admin.list("b")] == ["b"]
    assert await admin.list("nobody") == []
    assert len(await admin.list(limit=2)) == 2


async def test_handles_differ_and_do_not_tell_the_id() -> None:
    handles = {make_handle(f"session-{n}") for n in range(1000)}
    assert len(handles) == 1000
    assert all(len(handle) == 12 for handle in handles)
    assert "a1" not in make_handle("a1") or make_handle("a1") != "a1"


async def test_revoke_by_id(book: Book) -> None:
    admin = SessionAdmin(book)
    assert await admin.revoke(session_id="a1") == 1
    assert await admin.revoke(session_id="a1") == 0
    assert [session.id for session in book.found] == ["a2", "b1"]


async def test_revoke_by_handle(book: Book) -> None:
    assert await SessionAdmin(book).revoke(handle=make_handle("a2")) == 1
    assert [session.id for session in book.found] == ["a1", "b1"]
    assert await SessionAdmin(book).revoke(handle="no such") == 0


async def test_revoke_of_a_user(book: Book) -> None:
    assert await SessionAdmin(book).revoke(user_id="a") == 2
    assert [session.id for session in book.found] == ["b1"]
    assert await SessionAdmin(book).revoke(user_id="nobody") == 0


@pytest.mark.parametrize("which", [{"all": True}, {"handle": "x"}, {"userId": "u"}, {"sessionID": "s"}])
def test_selections(which: dict[str, Any]) -> None:
    assert len(read_selection(which)) == 1


@pytest.mark.parametrize(
    "which", [{"all": False}, {"all": 1}, {"all": "true"}, {"all": True, "userId": "u"}, {"all": None}, [], "all", None]
)
def test_nothing_else_selects_all(which: Any) -> None:
    with pytest.raises(InvalidRequest):
        read_selection(which)


async def test_revoke_of_all(book: Book) -> None:
    assert await SessionAdmin(book).revoke(**read_selection({"all": True})) == 3
    assert book.found == []


async def test_revocations_are_reported_where_the_store_has_nothing(book: Book) -> None:
    await SessionAdmin(book).revoke(user_id="nobody")
    await SessionAdmin(book).revoke(handle="0123456789ab")
    assert book.noted == [("nobody", None), (None, "0123456789ab")]


@pytest.mark.parametrize("which", [{}, {"session_id": "a1", "user_id": "a"}, {"handle": "x", "user_id": "a"}])
async def test_revoke_takes_one(book: Book, which: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        await SessionAdmin(book).revoke(**which)
    assert len(book.found) == 3
