"""What a stored session means, and that nothing in it can do more than be refused."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest

from tradecast.auth.document import (
    MAX_TEXT,
    SessionFields,
    decode_data,
    merge_user,
    read_session,
    read_user_id,
    write_session,
)
from tradecast.auth.errors import AuthRefused
from tradecast.auth.models import User
from tradecast.auth.store import StoredSession
from tradecast.settings import load_settings

NOW = 1_800_000_000.0
DAY = 86_400.0
FIELDS = SessionFields()
ANN = {"id": "u1", "name": "Ann", "email": "ann@example.org", "isAdmin": True, "subscriptionTier": "premium"}


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def session(user: Any = ANN, **more: Any) -> dict[str, Any]:
    return {"cookie": {"originalMaxAge": DAY * 1000, "expires": iso(NOW + DAY)}, "passport": {"user": user}, **more}


def read(data: Any, end: float | None = NOW + DAY, fields: SessionFields = FIELDS) -> Any:
    return read_session(StoredSession("sid", data, end), fields, NOW)


def refusal(data: Any, end: float | None = NOW + DAY, fields: SessionFields = FIELDS) -> str:
    with pytest.raises(AuthRefused) as refused:
        read(data, end, fields)
    return refused.value.code


# -- the user


def test_user() -> None:
    found = read(session())
    assert found.id == "sid"
    assert found.user == User("u1", "Ann", "ann@example.org", True, "premium")
    assert found.expires_at == NOW + DAY


def test_settings_name_the_fields() -> None:
    settings = load_settings(
        {
            "SESSION_USER_PATH": "a.b.c",
            "SESSION_FIELD_ID": "_id",
            "SESSION_FIELD_NAME": "n",
            "SESSION_FIELD_EMAIL": "e",
            "SESSION_FIELD_ADMIN": "root",
            "SESSION_FIELD_TIER": "plan",
            "SESSION_MAX_AGE": "60",
        }
    )
    fields = SessionFields.from_settings(settings)
    data = {"a": {"b": {"c": {"_id": "7", "n": "N", "e": "E", "root": True, "plan": "enterprise"}}}}
    found = read(data, None, fields)
    assert found.user == User("7", "N", "E", True, "enterprise")
    assert found.expires_at == NOW + 60


@pytest.mark.parametrize(("bare", "user_id"), [("u1", "u1"), (17, "17"), ("507f1f77bcf86cd799439011",) * 2])
def test_bare_id(bare: object, user_id: str) -> None:
    assert read(session(bare)).user == User(user_id)


@pytest.mark.parametrize("value", ["gold", "", None, 1, True, ["premium"], {"premium": 1}, "PREMIUM"])
def test_unknown_tier_is_free(value: object) -> None:
    assert read(session({**ANN, "subscriptionTier": value})).user.tier == "free"


@pytest.mark.parametrize("value", ["true", 1, "1", [True], {"a": True}, None, 1.0])
def test_admin_is_a_real_boolean(value: object) -> None:
    assert read(session({**ANN, "isAdmin": value})).user.is_admin is False


def test_name_and_email_of_wrong_type_are_left_out() -> None:
    user = read(session({**ANN, "name": {"first": "Ann"}, "email": 5})).user
    assert (user.name, user.email) == ("", "")


def test_huge_name_is_cut() -> None:
    assert len(read(session({**ANN, "name": "n" * 10_000})).user.name) == 256


@pytest.mark.parametrize(
    "user",
    [
        None,
        "",
        True,
        1.5,
        [],
        ["u1"],
        {},
        {"id": None},
        {"id": ""},
        {"id": {"$ne": None}},
        {"id": ["u1"]},
        {"id": True},
        {"id": "x" * 129},
        {"id": "a\nb"},
        {"id": "a\x00"},
        {"id": 10**30},
        {"id": math.nan},
        {"name": "no id"},
    ],
)
def test_unusable_user(user: object) -> None:
    assert refusal(session(user)) == "SESSION_NOT_FOUND"


def test_longest_user_id() -> None:
    assert read_user_id("x" * 128) == "x" * 128


# -- the data


@pytest.mark.parametrize(
    "data",
    [
        "",
        "not json",
        "[1]",
        {},
        {"passport": None},
        {"passport": "u1"},
        {"passport": ["user"]},
        {"passport": {}},
        session(cookie=5),
        session(cookie=[]),
        session(cookie={"expires": "soon"}),
        session(cookie={"expires": "9" * 100}),
        session(cookie={"expires": {}}),
        session(cookie={"expires": True}),
        session(cookie={"expires": math.inf}),
        session(cookie={"expires": math.nan}),
        session(cookie={"expires": iso(NOW + DAY), "originalMaxAge": "1000"}),
        session(cookie={"expires": iso(NOW + DAY), "originalMaxAge": True}),
        session(createdAt="yesterday"),
        session(createdAt=[]),
        session(createdAt=10**40),
    ],
)
def test_unusable_data(data: object) -> None:
    assert refusal(data) == "SESSION_NOT_FOUND"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "5",
        '"text"',
        "[]",
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 5_000 + "1" + "}" * 5_000,
        json.dumps({"passport": {"user": "x" * MAX_TEXT}}),
        '{"a": NaN}',
        '{"a": "\\ud800"}',
        "\ud800",
    ],
)
def test_text_that_is_no_usable_json_stays_text(text: str) -> None:
    assert decode_data(text) == text
    assert refusal(decode_data(text)) == "SESSION_NOT_FOUND"


def test_bytes_that_are_no_text() -> None:
    assert decode_data(b"\xff\xfe") == "\ufffd\ufffd"


def test_decoded() -> None:
    assert decode_data(json.dumps(session())) == session()
    assert decode_data(json.dumps(session()).encode()) == session()


# -- the end


@pytest.mark.parametrize(
    ("data", "end", "expires_at"),
    [
        (session(), NOW + 60, NOW + 60),
        # touched in the store, where the JSON stays as it was saved (connect-mongo, connect-redis)
        (session(cookie={"expires": iso(NOW + 50)}), NOW + 60, NOW + 60),
        (session(cookie={"expires": iso(NOW - 1)}), NOW + 60, NOW + 60),
        (session(cookie={"expires": iso(NOW - 1), "originalMaxAge": DAY * 1000}), NOW + 60, NOW + 60),
        (session(cookie={"expires": datetime.fromtimestamp(NOW + 50, UTC)}), None, NOW + 50),
        (session(cookie={"expires": datetime.fromtimestamp(NOW + 50, UTC).replace(tzinfo=None)}), None, NOW + 50),
        (session(cookie={"expires": (NOW + 50) * 1000}), None, NOW + 50),
        # the store knows of no end, and the cookie neither
        (session(cookie=None), None, NOW + 30 * DAY),
        (session(cookie={"expires": None, "originalMaxAge": None}), None, NOW + 30 * DAY),
        (session(cookie={"expires": False}), NOW + 90 * DAY, NOW + 30 * DAY),
        # at most 30 days from its start, which it tells
        (session(createdAt=NOW - 29 * DAY, cookie={}), NOW + 90 * DAY, NOW + DAY),
        (session(createdAt=(NOW - 29 * DAY) * 1000, cookie={}), NOW + 90 * DAY, NOW + DAY),
        (session(createdAt=iso(NOW - 29 * DAY), cookie={}), NOW + 90 * DAY, NOW + DAY),
        # or from what the cookie tells
        (
            session(cookie={"expires": iso(NOW + 40 * DAY), "originalMaxAge": 60 * DAY * 1000}),
            NOW + 90 * DAY,
            NOW + 10 * DAY,
        ),
        # a start in the future lengthens nothing
        (session(createdAt=NOW + 90 * DAY, cookie={}), NOW + 90 * DAY, NOW + 30 * DAY),
        (session(cookie={"expires": iso(NOW + 90 * DAY), "originalMaxAge": -1e15}), None, NOW + 30 * DAY),
    ],
)
def test_end(data: Any, end: float | None, expires_at: float) -> None:
    assert read(data, end).expires_at == pytest.approx(expires_at, abs=0.002)


@pytest.mark.parametrize(
    ("data", "end"),
    [
        (session(), NOW),
        (session(), NOW - 1),
        (session(), 0.0),
        (session(cookie={"expires": iso(NOW - 1)}), None),
        (session(createdAt=NOW - 30 * DAY), NOW + DAY),
        (session(createdAt=1), NOW + DAY),
        (session(cookie={"expires": iso(NOW + DAY), "originalMaxAge": 31 * DAY * 1000}), NOW + DAY),
        (session(cookie={"expires": "0001-01-01T00:00:00+23:59"}), None),
    ],
)
def test_over(data: Any, end: float | None) -> None:
    assert refusal(data, end) == "SESSION_EXPIRED"


# -- the users collection, and new sessions


def test_users_collection_tells_tier_and_admin() -> None:
    user = User("u1", "Ann", "ann@example.org", True, "enterprise")
    assert merge_user(user, {}, FIELDS) == User("u1", "Ann", "ann@example.org", False, "free")
    told = {"name": "Bo", "email": "bo@example.org", "isAdmin": True, "subscriptionTier": "premium", "id": "u2"}
    assert merge_user(user, told, FIELDS) == User("u1", "Bo", "bo@example.org", True, "premium")


@pytest.mark.parametrize("path", ["passport.user", "user", "a.b.c"])
def test_new_session_reads_back(path: str) -> None:
    fields = SessionFields(user_path=tuple(path.split(".")))
    user = User("u1", "Ann", "ann@example.org", True, "premium")
    data = write_session(user, fields, NOW, NOW + 60)
    assert data["cookie"] == {"originalMaxAge": 60_000, "expires": iso(NOW + 60), "httpOnly": True, "path": "/"}
    found = read(decode_data(json.dumps(data)), NOW + 60, fields)
    assert (found.user, found.expires_at) == (user, NOW + 60)
