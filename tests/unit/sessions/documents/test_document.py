"""What a stored session means, and that nothing in it can do more than be refused."""

from __future__ import annotations

import base64
import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest

from tradecast.config.settings import load_settings
from tradecast.sessions.documents.document import (
    MAX_TEXT,
    SessionFields,
    decode_data,
    find_unknown_tier,
    find_user,
    keep_used_fields,
    merge_user,
    read_session,
    write_session,
)
from tradecast.sessions.errors import AuthRefused
from tradecast.sessions.models import User
from tradecast.sessions.stores.base import SessionRecord

NOW = 1_800_000_000.0
DAY = 86_400.0
FIELDS = SessionFields()
ANN = {"id": "u1", "name": "Ann", "email": "ann@example.org", "isAdmin": True, "subscriptionTier": "premium"}


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def session(user: Any = ANN, **more: Any) -> dict[str, Any]:
    return {"cookie": {"originalMaxAge": DAY * 1000, "expires": iso(NOW + DAY)}, "passport": {"user": user}, **more}


def read(data: Any, end: float | None = NOW + DAY, fields: SessionFields = FIELDS) -> Any:
    return read_session(SessionRecord("sid", data, end), fields, NOW)


def refusal(data: Any, end: float | None = NOW + DAY, fields: SessionFields = FIELDS) -> str:
    with pytest.raises(AuthRefused) as refused:
        read(data, end, fields)
    return refused.value.code


def reason(data: Any, end: float | None = NOW + DAY, fields: SessionFields = FIELDS) -> str | None:
    with pytest.raises(AuthRefused) as refused:
        read(data, end, fields)
    return refused.value.reason


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
    found = read(data, NOW + DAY, fields)
    assert found.user == User("7", "N", "E", True, "enterprise")
    assert found.expires_at == NOW + 60


@pytest.mark.parametrize(
    ("bare", "user_id"), [("u1", "u1"), (17, "17"), (0, "0"), (5.0, "5"), ("507f1f77bcf86cd799439011",) * 2]
)
def test_bare_id(bare: object, user_id: str) -> None:
    assert read(session(bare)).user == User(user_id)


@pytest.mark.parametrize("value", ["gold", "", None, 1, True, ["premium"], {"premium": 1}, "x" * 10_000, "\ud83d"])
def test_unknown_tier_is_free(value: object) -> None:
    assert read(session({**ANN, "subscriptionTier": value})).user.tier == "free"


@pytest.mark.parametrize("value", ["premium", "PREMIUM", " Premium ", "pReMiUm"])
def test_tiers_in_any_case(value: str) -> None:
    assert read(session({**ANN, "subscriptionTier": value})).user.tier == "premium"


@pytest.mark.parametrize(
    ("value", "tier"), [("Gold", "premium"), (2, "enterprise"), (2.0, "enterprise"), ("2", "enterprise"), (3, "free")]
)
def test_other_values_of_tiers(value: object, tier: str) -> None:
    fields = SessionFields.from_settings(load_settings({"SESSION_TIERS": "gold=premium, 2=Enterprise"}))
    data = session({**ANN, "subscriptionTier": value})
    assert read(data, fields=fields).user.tier == tier
    unknown = find_unknown_tier(find_user(SessionRecord("sid", data, None), fields), fields)
    assert unknown == ("3" if tier == "free" else None)


@pytest.mark.parametrize(
    ("value", "unknown"),
    [("free", None), ("Gold ", "gold"), (None, None), ("", None), (7, "7"), ({"a": 1}, "dict"), (math.nan, "float")],
)
def test_which_tiers_are_reported_as_unknown(value: object, unknown: str | None) -> None:
    assert find_unknown_tier({"subscriptionTier": value}, FIELDS) == unknown


@pytest.mark.parametrize("value", [True, "true", "TRUE", 1, 1.0, "1", ["user", "true"]])
def test_admin(value: object) -> None:
    assert read(session({**ANN, "isAdmin": value})).user.is_admin is True


@pytest.mark.parametrize("value", [False, "yes", 0, 2, [True], [1], [["true"]], {"a": True}, None, math.nan, "", []])
def test_no_admin(value: object) -> None:
    assert read(session({**ANN, "isAdmin": value})).user.is_admin is False


@pytest.mark.parametrize(
    ("value", "is_admin"),
    [("Admin", True), (["user", "admin"], True), ("root", True), (True, False), (["user"], False)],
)
def test_other_values_of_admins(value: object, is_admin: bool) -> None:
    settings = load_settings({"SESSION_FIELD_ADMIN": "role", "SESSION_ADMIN_VALUES": "admin,ROOT"})
    fields = SessionFields.from_settings(settings)
    assert read(session({**ANN, "role": value}), fields=fields).user.is_admin is is_admin


def test_the_session_itself_is_the_user() -> None:
    settings = load_settings({"SESSION_USER_PATH": ".", "SESSION_FIELD_ID": "userId", "SESSION_FIELD_TIER": "plan"})
    fields = SessionFields.from_settings(settings)
    data = {"cookie": {"expires": iso(NOW + DAY)}, "userId": 7, "plan": "premium", "views": 3}
    assert read(data, fields=fields).user == User("7", tier="premium")


@pytest.mark.parametrize("name", ["Jane \ud83d", "\udc00", "a\ud800b"])
def test_a_name_with_half_an_emoji(name: str) -> None:
    data = decode_data(json.dumps(session({**ANN, "name": name})))
    user = read(data).user
    assert user.id == "u1"
    assert user.name == name.encode("utf-8", "replace").decode()


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
        {"id": "x" * 257},
        {"id": "a\nb"},
        {"id": "a\x00"},
        {"id": 10**30},
        {"id": math.nan},
        {"name": "no id"},
    ],
)
def test_unusable_user(user: object) -> None:
    assert refusal(session(user)) == "SESSION_NOT_FOUND"


@pytest.mark.parametrize(
    ("user", "expected"),
    [(None, "no_user"), ({}, "no_user"), ({"id": None}, "no_user"), ([], "bad_user_id"), (True, "bad_user_id")],
)
def test_why_a_user_cannot_be_used(user: object, expected: str) -> None:
    assert reason(session(user)) == expected


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
    ],
)
def test_unusable_data(data: object) -> None:
    assert refusal(data) == "SESSION_NOT_FOUND"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("", "unreadable"),
        ("[1]", "unreadable"),
        ("x" * (MAX_TEXT + 1), "too_large"),
        ({"hmac": "x", "ct": "x", "iv": "x", "at": "x", "salt": "x"}, "encrypted"),
        # What connect-mongo's `crypto` and `cryptoAdapter` write is a text of random bytes.
        (base64.b64encode(bytes(range(0x30, 0xFF))).decode(), "encrypted"),
        (base64.urlsafe_b64encode(bytes(range(0xD0, 0xFF))).decode().rstrip("="), "encrypted"),
        (bytes(range(0x30, 0xFF)).hex(), "encrypted"),
        (bytes(range(0x30, 0xFF)).hex().upper(), "encrypted"),
        ("a text of words that are long enough for it", "unreadable"),
        ("short", "unreadable"),
        ("null", "unreadable"),
        ("1" * 19, "unreadable"),
        (f"[{'1' * 60}]", "unreadable"),
        ("=" * 60, "unreadable"),
        ({"passport": None}, "no_user"),
    ],
)
def test_why_data_cannot_be_used(data: Any, expected: str) -> None:
    assert reason(data) == expected


USELESS: list[dict[str, Any]] = [
    session(cookie=5),
    session(cookie=[]),
    session(cookie="connect.sid"),
    session(cookie={"expires": "soon"}),
    session(cookie={"expires": "9" * 100}),
    session(cookie={"expires": {}}),
    session(cookie={"expires": True}),
    session(cookie={"expires": math.inf}),
    session(cookie={"expires": math.nan}),
    session(cookie={"expires": iso(NOW + DAY), "originalMaxAge": "1000"}),
    session(cookie={"expires": iso(NOW + DAY), "originalMaxAge": True}),
    session(cookie={"expires": iso(NOW + DAY), "originalMaxAge": {}}),
    session(createdAt="yesterday"),
    session(createdAt=[]),
    session(createdAt=10**40),
    session({**ANN, "name": 5, "email": ["x"], "subscriptionTier": {}, "isAdmin": {}}),
]


@pytest.mark.parametrize("data", USELESS)
def test_what_is_not_needed_is_passed_over(data: dict[str, Any]) -> None:
    found = read(data, NOW + 60)
    assert (found.user.id, found.expires_at) == ("u1", NOW + 60)


@pytest.mark.parametrize(
    "data",
    [
        session(cookie=None),
        session(cookie={}),
        session(cookie={"expires": None, "originalMaxAge": None}),
        session(cookie={"expires": False}),
        session(cookie={"expires": "soon"}),
        session(cookie={"originalMaxAge": 1000}),
        session(cookie=None, createdAt=NOW),
    ],
)
def test_without_any_end_it_is_refused(data: dict[str, Any]) -> None:
    assert (refusal(data, None), reason(data, None)) == ("SESSION_NOT_FOUND", "no_end")


@pytest.mark.parametrize("created", ["yesterday", [], {}, 10**40, "", True])
def test_a_start_that_cannot_be_read_does_not_start_again_at_each_look(created: object) -> None:
    cookie = {"expires": iso(NOW + 10 * DAY), "originalMaxAge": "2592000000"}
    known = SessionRecord("sid", session(createdAt=created, cookie=cookie), NOW + 400 * DAY)
    ends = [read_session(known, FIELDS, NOW + day * DAY).expires_at for day in (0, 5, 9)]
    assert ends == pytest.approx([NOW + 10 * DAY] * 3)
    unknown = session(createdAt=created, cookie={})
    assert reason(unknown, NOW + 400 * DAY) == "no_start"
    near = SessionRecord("sid", unknown, NOW + 20 * DAY)
    assert [read_session(near, FIELDS, NOW + day * DAY).expires_at for day in (0, 10)] == [NOW + 20 * DAY] * 2


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
        '{"a": Nan}',
        "\ud800",
    ],
)
def test_text_that_is_no_usable_json_stays_text(text: str) -> None:
    assert decode_data(text) == text
    assert refusal(decode_data(text)) == "SESSION_NOT_FOUND"


def test_byte_order_mark() -> None:
    text = "\ufeff" + json.dumps(session())
    assert decode_data(text) == decode_data(text.encode()) == session()


def test_bytes_that_are_no_text_make_a_name_unreadable_and_no_session() -> None:
    written = json.dumps(session({**ANN, "name": "J\u00e9r\u00f4me"}, flash="\u00e9"), ensure_ascii=False).encode(
        "latin-1"
    )
    user = read(decode_data(written)).user
    assert (user.id, user.name) == ("u1", "J?r?me")
    # but two ids must not become one
    assert (
        refusal(decode_data(json.dumps(session("j\u00e9"), ensure_ascii=False).encode("latin-1")))
        == "SESSION_NOT_FOUND"
    )


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
        # as JavaScript, HTTP and others write it
        (session(cookie={"expires": "Fri, 15 Jan 2027 08:01:00 GMT"}), None, NOW + 60),
        (session(cookie={"expires": "Fri Jan 15 2027 09:01:00 GMT+0100 (CET)"}), None, NOW + 60),
        (session(cookie={"expires": f" {NOW + 60:.0f}000 "}), None, NOW + 60),
        (session(cookie={"expires": {"$date": iso(NOW + 60)}}), None, NOW + 60),
        # the year 10000 and later
        (session(cookie={"expires": "+010000-01-01T00:00:00.000Z", "originalMaxAge": 9e15}), NOW + 60, NOW + 60),
        (session(cookie={"expires": "+010000-01-01T00:00:00.000Z"}), None, NOW + 30 * DAY),
        (session(cookie={"expires": iso(NOW + DAY), "originalMaxAge": "86400000"}), None, NOW + DAY),
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
        (session(createdAt="Wed Dec 16 2026 08:00:00 GMT+0000 (Coordinated Universal Time)"), NOW + DAY),
        (session(createdAt="Wed, 16 Dec 2026 08:00:00 GMT"), NOW + DAY),
        (session(createdAt=f"{(NOW - 30 * DAY) * 1000:.0f}"), NOW + DAY),
        (session(cookie={"expires": iso(NOW + DAY), "originalMaxAge": 31 * DAY * 1000}), NOW + DAY),
        (session(cookie={"expires": "0001-01-01T00:00:00+23:59"}), None),
    ],
)
def test_over(data: Any, end: float | None) -> None:
    assert refusal(data, end) == "SESSION_EXPIRED"


# -- the users collection, and new sessions


def test_users_collection_reports_tier_and_admin() -> None:
    user = User("u1", "Ann", "ann@example.org", True, "enterprise")
    assert merge_user(user, {}, FIELDS) == User("u1", "Ann", "ann@example.org", False, "free")
    told = {"name": "Bo", "email": "bo@example.org", "isAdmin": True, "subscriptionTier": "premium", "id": "u2"}
    assert merge_user(user, told, FIELDS) == User("u1", "Bo", "bo@example.org", True, "premium")


def test_what_is_kept_of_a_users_document_says_the_same() -> None:
    fields = SessionFields(admin="roles", tier="plan", tiers={"2": "premium"}, admin_values=frozenset(("admin",)))
    document = {"roles": ["user", "admin", 5], "plan": 2, "name": "N" * 500, "email": "\ud800", "other": "x" * 10_000}
    kept = keep_used_fields(document, fields)
    assert set(kept) == {"roles", "plan", "name", "email"}
    json.dumps(kept).encode()
    user = User("u1")
    assert merge_user(user, kept, fields) == merge_user(user, document, fields)
    assert merge_user(user, kept, fields).tier == "premium"


@pytest.mark.parametrize("path", ["passport.user", "user", "a.b.c", "."])
def test_new_session_reads_back(path: str) -> None:
    fields = SessionFields.from_settings(load_settings({"SESSION_USER_PATH": path, "SESSION_TIERS": "p=premium"}))
    user = User("u1", "Ann", "ann@example.org", True, "premium")
    data = write_session(user, fields, NOW, NOW + 60)
    assert data["cookie"] == {"originalMaxAge": 60_000, "expires": iso(NOW + 60), "httpOnly": True, "path": "/"}
    found = read(decode_data(json.dumps(data)), NOW + 60, fields)
    assert (found.user, found.expires_at) == (user, NOW + 60)
