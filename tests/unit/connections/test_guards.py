"""Who may connect, who may send which event, and what is attached to a connection."""

from __future__ import annotations

from typing import Any

import pytest

from tradecast.connections.connection import Connection, EventGuard
from tradecast.connections.guards import (
    AuthMiddleware,
    create_auth_middleware,
    require_admin,
    require_subscription_tier,
    require_user,
)
from tradecast.delivery.errors import EventRefused
from tradecast.sessions.errors import AuthRefused, StoreUnavailable
from tradecast.sessions.models import TIERS, Session, Tier, User
from unit.connections.connecting import USER, connection


class Book:
    """Sessions of which there is one, or an error."""

    def __init__(self, outcome: Session | Exception) -> None:
        self.outcome = outcome
        self.asked: list[tuple[object, object]] = []

    async def authenticate(self, raw_id: object, claimed_user_id: object, *, by_cookie: bool = False) -> Session:
        self.asked.append((raw_id, claimed_user_id))
        self.by_cookie = by_cookie
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


def bound(book: Book, **options: Any) -> AuthMiddleware:
    return create_auth_middleware(**options).create(book)


# -- connecting


async def test_session_is_attached() -> None:
    book = Book(Session("s", USER, 1.0))
    who = connection({"sessionID": "raw", "userId": "u1", "more": 1})
    await bound(book)(who)
    assert book.asked == [("raw", "u1")]
    assert who.user is USER
    # the requirements' "User Data Attached"
    assert who.handshake_auth == {
        "userId": "u1",
        "userName": "Name",
        "userEmail": "name@example.com",
        "isAdmin": True,
        "authenticated": True,
    }


@pytest.mark.parametrize("claims", [None, {}, [], "x", 5, {"other": 1}, {"sessionID": None, "userId": None}])
async def test_without_a_session(claims: Any) -> None:
    book = Book(Session("s", USER, 1.0))
    with pytest.raises(AuthRefused) as caught:
        await bound(book)(connection(claims))
    assert caught.value.code == "AUTH_REQUIRED"
    anonymous = connection(claims)
    await bound(book, required=False)(anonymous)
    assert anonymous.user is None
    assert anonymous.handshake_auth == {"authenticated": False}
    assert book.asked == []


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("error", [AuthRefused("SESSION_EXPIRED"), StoreUnavailable()])
async def test_bad_session_is_refused_even_where_none_is_needed(required: bool, error: Exception) -> None:
    who = connection({"sessionID": "raw", "userId": "u1"})
    with pytest.raises(type(error)):
        await bound(Book(error), required=required)(who)
    assert who.user is None


@pytest.mark.parametrize("claims", [{"sessionID": "raw"}, {"userId": "u1"}, {"sessionID": 5, "userId": ["u1"]}])
async def test_half_a_claim_is_looked_at_as_it_is(claims: Any) -> None:
    book = Book(AuthRefused("AUTH_REQUIRED"))
    with pytest.raises(AuthRefused):
        await bound(book, required=False)(connection(claims))
    assert book.asked == [(claims.get("sessionID"), claims.get("userId"))]


async def test_the_cookie_counts_where_the_client_names_no_session() -> None:
    book = Book(Session("s", USER, 1.0))
    who = connection({"userId": "u1"})
    who.cookie = "signed"
    await bound(book)(who)
    assert [*book.asked[-1], book.by_cookie, who.by_cookie] == ["signed", "u1", True, True]
    who = connection(None)
    who.cookie = "signed"
    await bound(book)(who)
    assert book.asked[-1] == ("signed", None)
    who = connection({"sessionID": "own", "userId": "u1"})
    who.cookie = "signed"
    await bound(book)(who)
    assert [*book.asked[-1], book.by_cookie, who.by_cookie] == ["own", "u1", False, False]


async def test_an_empty_text_names_no_session() -> None:
    # what a page has in its hands that cannot read the cookie: `auth: {sessionID: readCookie("connect.sid") || ""}`
    book = Book(Session("s", USER, 1.0))
    for claims, claimed in (({"sessionID": "", "userId": ""}, None), ({"sessionID": "", "userId": 5}, 5)):
        who = connection(claims)
        who.cookie = "signed"
        await bound(book)(who)
        assert [*book.asked[-1], book.by_cookie] == ["signed", claimed, True]
    await bound(book)(connection({"sessionID": "", "userId": ""}))
    assert [*book.asked[-1], book.by_cookie] == ["", "", False]


def test_options_of_the_requirements() -> None:
    assert create_auth_middleware().required is True
    assert create_auth_middleware().session_collection is None
    chosen = create_auth_middleware(required=False, session_collection="other")
    assert (chosen.required, chosen.session_collection) == (False, "other")


# -- events


async def refused(guard: EventGuard, who: Connection) -> str | None:
    """The reason why a guard refuses an event of this connection; None if it passes."""
    try:
        pending = guard(who, "any:event", {"userId": "u1", "isAdmin": True, "subscriptionTier": "enterprise"})
        if pending is not None:
            await pending
    except EventRefused as error:
        return error.reason if error.message else "a refusal without a message"
    return None


async def test_require_user() -> None:
    assert await refused(require_user(), connection()) == "AUTH_REQUIRED"
    assert await refused(require_user(), connection(user=User("u1"))) is None


async def test_require_admin() -> None:
    assert await refused(require_admin(), connection()) == "ADMIN_REQUIRED"
    assert await refused(require_admin(), connection(user=User("u1", tier="enterprise"))) == "ADMIN_REQUIRED"
    assert await refused(require_admin(), connection(user=User("u1", is_admin=True))) is None
    assert await refused(require_admin(), connection({"isAdmin": True, "userId": "u1"})) == "ADMIN_REQUIRED"


@pytest.mark.parametrize("tier", TIERS)
async def test_require_subscription_tier(tier: Tier) -> None:
    guard = require_subscription_tier(["premium", "enterprise"])
    expected = "TIER_REQUIRED" if tier == "free" else None
    assert await refused(guard, connection(user=User("u1", tier=tier))) == expected


async def test_admin_is_no_tier() -> None:
    guard = require_subscription_tier(["premium"])
    assert await refused(guard, connection(user=User("u1", is_admin=True))) == "TIER_REQUIRED"
    assert await refused(guard, connection()) == "TIER_REQUIRED"


async def test_refusal_names_the_tiers() -> None:
    with pytest.raises(EventRefused, match="premium or enterprise"):
        require_subscription_tier(["premium", "enterprise"])(connection(), "e", None)
