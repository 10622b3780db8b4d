"""Sessions that another application has written, with anything in them: read, or refused and nothing worse."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from kit.parsing.checks import NOW, check_session
from kit.parsing.properties import JSON, TEXTS, damaged
from tradecast.sessions.documents.document import SessionFields, decode_data, read_session, write_session
from tradecast.sessions.errors import AuthRefused
from tradecast.sessions.models import TIERS, User
from tradecast.sessions.stores.base import SessionRecord
from tradecast.user_id import LONGEST, is_plain, read_user_id

TIMES = st.one_of(
    st.datetimes(timezones=st.none() | st.timezones()).map(lambda one: one.isoformat()),
    st.sampled_from(["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "9999-12-31", "2027-W01-1", "x"]),
    st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    JSON,
)
COOKIES = st.fixed_dictionaries({}, optional={"expires": TIMES, "originalMaxAge": st.integers() | JSON})
USERS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.integers() | TEXTS | JSON,
        **dict.fromkeys(["name", "email"], TEXTS | JSON),
        "isAdmin": st.booleans() | JSON,
        "subscriptionTier": st.sampled_from(TIERS) | JSON,
    },
)
SESSIONS = st.fixed_dictionaries(
    {"passport": st.fixed_dictionaries({"user": USERS | JSON}) | JSON},
    optional={"cookie": COOKIES | JSON, "createdAt": TIMES},
)


def written(session: Any) -> bytes:
    """As another application's JSON says it, or nothing where this cannot."""
    try:
        return orjson.dumps(session)
    except TypeError:
        return b""


@given(SESSIONS.map(written) | damaged(SESSIONS.map(written), [b'"', b"null", b"-", b"1e400"]) | st.binary(max_size=60))
@example(b'{"cookie":{"expires":"0001-01-01T00:00:00+23:59"},"passport":{"user":1}}')
@example(b'{"cookie":{"expires":"9999-12-31T23:59:59-23:59"},"passport":{"user":1}}')
def test_any_json_is_a_session_or_refused(text: bytes) -> None:
    check_session(text)


MOMENTS = st.datetimes(timezones=st.none() | st.timezones()) | st.floats() | st.floats(NOW - 90, NOW + 90)


@given(MOMENTS, MOMENTS | st.none(), st.none() | st.floats(NOW - 10, NOW + 10))
@example(NOW + 60, math.nan, None)
@example(math.nan, None, None)
@example(math.inf, -math.inf, NOW + 1)
def test_times_as_mongodb_has_them_never_lengthen_a_session(
    expires: datetime | float, created: datetime | float | None, end: float | None
) -> None:
    """NaN and infinities among them, which no JSON has."""
    data = {"cookie": {"expires": expires}, "createdAt": created, "passport": {"user": 1}}
    try:
        session = read_session(SessionRecord("sid", data, end), SessionFields(), NOW)
    except AuthRefused:
        return
    assert NOW < session.expires_at <= NOW + SessionFields().max_age
    assert end is None or session.expires_at <= end


@given(TIMES, st.sampled_from(["createdAt", "expires", "originalMaxAge"]))
def test_a_session_with_one_odd_time(odd: Any, name: str) -> None:
    cookie: dict[str, Any] = {"originalMaxAge": 60_000, "expires": "2027-01-15T08:00:30.000Z"}
    data: dict[str, Any] = {"cookie": cookie, "passport": {"user": 17}}
    (data if name == "createdAt" else cookie)[name] = odd
    check_session(written(data))


NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)
PEOPLE = st.builds(User, NAMES, NAMES, NAMES, st.booleans(), st.sampled_from(TIERS))


@given(PEOPLE, st.floats(1, 86_400))
def test_what_is_written_can_be_read(user: User, lasts: float) -> None:
    ends = NOW + lasts
    data = decode_data(orjson.dumps(write_session(user, SessionFields(), NOW, ends)))
    session = read_session(SessionRecord("sid", data, ends), SessionFields(), NOW)
    assert (session.user, session.expires_at) == (user, ends)
    cookie = read_session(SessionRecord("sid", data, None), SessionFields(), NOW)
    assert abs(cookie.expires_at - ends) < 0.002


@given(JSON | st.integers() | st.floats() | TEXTS | st.integers(254, 259).map("x".__mul__))
def test_ids_of_users_are_short_texts(value: object) -> None:
    found = read_user_id(value)
    assert found is None or (is_plain(found, LONGEST) and read_user_id(found) == found)
