"""What a session record means: whose it is and when it ends. Pure: no store, no clock.

The session is express-session's JSON, as connect-mongo and connect-redis keep it. It was written by another
application. What is needed decides: an id, and an end. What is not needed and cannot be read is ignored.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, Self

import orjson

from tradecast.config.settings import Settings
from tradecast.iso_time import format_time
from tradecast.sessions.documents.instants import read_instant, read_number
from tradecast.sessions.errors import AuthRefused, Reason
from tradecast.sessions.models import TIERS, Session, Tier, User
from tradecast.sessions.stores.base import SessionRecord
from tradecast.user_id import read_user_id

MAX_TEXT: Final = 256 * 1024
MAX_NAME: Final = 256
# Characters of a value that means a tier or an admin, and how many roles a user may have.
MAX_VALUE: Final = 64
MAX_ROLES: Final = 50
# What encrypts a session writes no JSON but the base64 or the hex digits of random bytes: connect-mongo's `crypto` and
# `cryptoAdapter`, with a nonce and a tag of 28 bytes at least.
_ENCRYPTED: Final = re.compile(r"(?:[A-Za-z0-9+/]{38,}|[A-Za-z0-9_-]{38,})={0,2}", re.ASCII)
# The path of a session that is its user itself.
ROOT: Final = "."


@dataclass(frozen=True, slots=True)
class SessionFields:
    """Where things are in the session's JSON, what they mean, and for how long a session is honoured.

    Attributes:
        user_path: The keys that lead to the user; none: it is the session itself.
        id, name, email, admin, tier: The user's fields.
        tiers: The tier for each value of that field, in lower case.
        admin_values: The values that make an admin, in lower case.
        max_age: Seconds.
    """

    user_path: tuple[str, ...] = ("passport", "user")
    id: str = "id"
    name: str = "name"
    email: str = "email"
    admin: str = "isAdmin"
    tier: str = "subscriptionTier"
    tiers: Mapping[str, Tier] = field(default_factory=lambda: {tier: tier for tier in TIERS})
    admin_values: frozenset[str] = frozenset(("true", "1"))
    max_age: float = 30 * 86_400.0

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The fields that the SESSION_ settings name."""
        path = settings.session_user_path
        return cls(
            user_path=() if path == ROOT else tuple(path.split(".")),
            id=settings.session_field_id,
            name=settings.session_field_name,
            email=settings.session_field_email,
            admin=settings.session_field_admin,
            tier=settings.session_field_tier,
            tiers={**{tier: tier for tier in TIERS}, **{name.lower(): tier for name, tier in settings.session_tiers}},
            admin_values=frozenset(value.lower() for value in settings.session_admin_values),
            max_age=settings.session_max_age,
        )


def decode_data(text: str | bytes) -> Mapping[str, Any] | str:
    """A session's JSON if it is an object; the text itself if it is not, or has over `MAX_TEXT` characters."""
    if len(text) <= MAX_TEXT:
        try:
            data = orjson.loads(text)  # gives up beyond 1,024 levels instead of exhausting the stack
        except (orjson.JSONDecodeError, UnicodeEncodeError):
            data = _decode_leniently(text)
        if isinstance(data, dict):
            return data
    return text if isinstance(text, str) else text.decode("utf-8", "replace")


def _decode_leniently(text: str | bytes) -> object:
    # JavaScript writes halves of emojis that were cut in the middle, which are no Unicode; and some write a BOM, or a
    # name in another encoding. What is no text then is halves too: no id has them, so that two cannot become one.
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8", "surrogateescape")
        return json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        return None


def read_session(record: SessionRecord, fields: SessionFields, now: float) -> Session:
    """Read a session record.

    Its end is the store's (the document's `expires`, the key's TTL), or the cookie's `expires` where the store has
    none; where neither has one, it is refused. It is never later than its start plus `fields.max_age`. The start is the
    session's `createdAt` where it can be read (`read_instant`); else the cookie's `expires` less its
    `originalMaxAge`, which is when the session was last saved; else `now`, which bounds how long one look-up is good
    for and no more. A `createdAt` that cannot be read, with nothing else that gives a start, must not count from
    each look-up: such a session is refused while its end is more than `fields.max_age` away.

    The user is an object, or only its id (passport serialises as the application likes): then it has no name and the
    tier `free`, unless the users collection adds more.

    Args:
        record: As it came from the store.
        fields: Where things are.
        now: Unix time in seconds.

    Raises:
        AuthRefused: SESSION_NOT_FOUND if it cannot be used, SESSION_EXPIRED if it has expired; with the reason.
    """
    data = record.data
    if not isinstance(data, Mapping):
        _refuse_session(_explain_text(data))
    if "ct" in data and "iv" in data and "cookie" not in data:  # the same before it wrote ASN.1
        _refuse_session("encrypted")
    user = _read_user(_find_value(data, fields.user_path), fields)
    expires_at = _read_end(data, record.expires_at, fields.max_age, now)
    if expires_at <= now:
        raise AuthRefused("SESSION_EXPIRED", "expired")
    return Session(record.id, user, expires_at)


def merge_user(user: User, document: Mapping[str, Any], fields: SessionFields) -> User:
    """The user with a document's tier and admin flag, and with its name and e-mail where it has them."""
    return _make_user(user.id, document, fields, name=user.name, email=user.email)


def find_unknown_tier(source: Mapping[str, Any], fields: SessionFields) -> str | None:
    """What a user's tier says, in lower case, where it means nothing here; None where it does, or there is none."""
    value = source.get(fields.tier)
    if value is None or value == "":
        return None
    text = _format_scalar(value)
    return None if text in fields.tiers else text or type(value).__name__


def find_user(record: SessionRecord, fields: SessionFields) -> Mapping[str, Any]:
    """The user's object in a session record; nothing where there is none."""
    user = _find_value(record.data, fields.user_path) if isinstance(record.data, Mapping) else None
    return user if isinstance(user, Mapping) else {}


def keep_used_fields(document: Mapping[str, Any], fields: SessionFields) -> dict[str, object]:
    """What `merge_user` takes of a document, and so all of it that is worth keeping."""
    used: dict[str, object] = {}
    for name in (fields.name, fields.email, fields.admin, fields.tier):
        value = document.get(name)
        if isinstance(value, str):
            used[name] = clean_name(value)
        elif isinstance(value, bool | int | float):
            used[name] = value if math.isfinite(value) and abs(value) < 2**53 else None
        elif isinstance(value, list):
            used[name] = [item[:MAX_VALUE] for item in value[:MAX_ROLES] if isinstance(item, str)]
    return used


def _make_user(user_id: str, source: Mapping[str, Any], fields: SessionFields, *, name: str, email: str) -> User:
    return User(
        user_id,
        name=_read_text(source.get(fields.name)) or name,
        email=_read_text(source.get(fields.email)) or email,
        is_admin=_is_admin(source.get(fields.admin), fields),
        tier=fields.tiers.get(_format_scalar(source.get(fields.tier)), "free"),
    )


def write_session(user: User, fields: SessionFields, now: float, expires_at: float) -> dict[str, Any]:
    """The JSON of a new session, in express-session's shape plus `createdAt` (Unix seconds)."""
    data: dict[str, Any] = {
        "cookie": {
            "originalMaxAge": round((expires_at - now) * 1000),
            "expires": format_time(expires_at),
            "httpOnly": True,
            "path": "/",
        },
        "createdAt": now,
    }
    place = data
    for key in fields.user_path:
        place = place.setdefault(key, {})
    place[fields.id] = user.id
    place[fields.name] = user.name
    place[fields.email] = user.email
    place[fields.admin] = _admin_value(fields) if user.is_admin else False
    place[fields.tier] = user.tier if fields.tiers.get(user.tier) == user.tier else _tier_value(user.tier, fields)
    return data


def clean_name(text: str) -> str:
    """A name as it can be stored and sent: cut, and halves of characters replaced."""
    return text[:MAX_NAME].encode("utf-8", "replace").decode()


def _explain_text(text: str) -> Reason:
    if len(text) > MAX_TEXT:
        return "too_large"
    return "encrypted" if _ENCRYPTED.fullmatch(text) else "unreadable"


def _refuse_session(reason: Reason) -> NoReturn:
    raise AuthRefused("SESSION_NOT_FOUND", reason)


def _read_user(value: object, fields: SessionFields) -> User:
    if value is None:
        _refuse_session("no_user")
    source = value if isinstance(value, Mapping) else {fields.id: value}
    given = source.get(fields.id)
    user_id = read_user_id(given)
    if user_id is None:
        _refuse_session("no_user" if given is None else "bad_user_id")
    return _make_user(user_id, source, fields, name="", email="")


def _read_end(data: Mapping[str, Any], stored_end: float | None, max_age: float, now: float) -> float:
    cookie = data.get("cookie")
    if not isinstance(cookie, Mapping):
        cookie = {}
    cookie_end = read_instant(cookie.get("expires"))
    # The touch of connect-mongo and connect-redis moves the store's end, and leaves the JSON with its cookie as it was.
    end = cookie_end if stored_end is None else stored_end
    if end is None:
        _refuse_session("no_end")
    created = data.get("createdAt")
    start = read_instant(created)
    if start is None or not math.isfinite(start):
        original = read_number(cookie.get("originalMaxAge"))
        start = None if cookie_end is None or original is None else cookie_end - original / 1000
    if start is None or not math.isfinite(start):
        if created is not None and end > now + max_age:
            _refuse_session("no_start")
        start = now
    # A start in the future must not lengthen the session.
    return min(end, min(start, now) + max_age)


def _find_value(data: Mapping[str, Any], path: tuple[str, ...]) -> object:
    value: object = data
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _read_text(value: object) -> str:
    return clean_name(value) if isinstance(value, str) else ""


def _format_scalar(value: object) -> str:
    """A value as it stands in a setting: text in lower case; empty for what is none."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        value = int(value) if value.is_integer() and abs(value) < 2**53 else None
    if isinstance(value, int):
        return str(value) if abs(value) < 2**53 else ""
    return value.strip().lower() if isinstance(value, str) and len(value) <= MAX_VALUE else ""


def _is_admin(value: object, fields: SessionFields) -> bool:
    if isinstance(value, list):  # roles
        return any(isinstance(item, str) and _format_scalar(item) in fields.admin_values for item in value[:MAX_ROLES])
    return _format_scalar(value) in fields.admin_values


def _admin_value(fields: SessionFields) -> object:
    return True if "true" in fields.admin_values else min(fields.admin_values, default=True)


def _tier_value(tier: Tier, fields: SessionFields) -> str:
    """A value that means a tier whose own name means another one here."""
    return next((value for value, meant in fields.tiers.items() if meant == tier), tier)
