"""Records read as sessions, and what the users collection adds."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from tradecast.sessions.documents.document import SessionFields
from tradecast.sessions.errors import AuthRefused
from tradecast.sessions.models import Session, User
from tradecast.sessions.reader import MOST_UNKNOWN_TIERS, SessionReader
from tradecast.sessions.stores.base import SessionRecord

NOW = 1_000.0


def record(tier: str | None = None, session_id: str = "s", expires_at: float = NOW + 60) -> SessionRecord:
    user: dict[str, Any] = {"id": "u1"} if tier is None else {"id": "u1", "subscriptionTier": tier}
    return SessionRecord(session_id, {"passport": {"user": user}}, expires_at)


def reader(*, has_users: bool = False) -> SessionReader:
    return SessionReader(SessionFields(), has_users=has_users, clock=lambda: NOW)


def test_a_record_is_a_session_of_its_user() -> None:
    assert reader().read(record("premium")) == Session("s", User("u1", tier="premium"), NOW + 60)


@pytest.mark.parametrize(
    ("found", "code", "reason"),
    [
        (None, "SESSION_NOT_FOUND", "not_in_store"),
        (record(expires_at=NOW), "SESSION_EXPIRED", "expired"),
        (SessionRecord("s", "not JSON", NOW + 60), "SESSION_NOT_FOUND", "unreadable"),
    ],
)
def test_what_cannot_be_used_is_refused(found: SessionRecord | None, code: str, reason: str) -> None:
    with pytest.raises(AuthRefused) as refused:
        reader().read(found)
    assert (refused.value.code, refused.value.reason) == (code, reason)


def test_users_add_tier_and_name() -> None:
    own = reader(has_users=True)
    session = own.read(record())
    assert own.merge(session, None) == session
    merged = own.merge(session, {"u1": {"subscriptionTier": "enterprise", "name": "Ann"}})
    assert merged.user == User("u1", "Ann", tier="enterprise")
    with pytest.raises(AuthRefused) as refused:
        own.merge(session, {"u2": {}})
    assert (refused.value.code, refused.value.reason) == ("SESSION_NOT_FOUND", "not_in_users")
    assert own.merge_all([session], {"u2": {}}) == []
    assert own.merge_all([session], None) == [session]


def test_each_unknown_tier_is_logged_once_and_not_without_bound() -> None:
    own = reader()
    with capture_logs() as lines:
        for tier in ("gold", "gold", *(f"tier{n}" for n in range(2 * MOST_UNKNOWN_TIERS))):
            assert own.read(record(tier)).user.tier == "free"
        own.read(record("premium"))
        own.read(record())
    assert [line["tier"] for line in lines][:2] == ["gold", "tier0"]
    assert len(lines) == MOST_UNKNOWN_TIERS


def test_tiers_of_sessions_are_not_logged_where_users_have_them() -> None:
    own = reader(has_users=True)
    with capture_logs() as lines:
        session = own.read(record("gold"))
        own.merge(session, {"u1": {"subscriptionTier": "silver"}})
    assert [line["tier"] for line in lines] == ["silver"]
