"""What a stored session means: whose it is and when it ends. Pure: no store, no clock.

The session is express-session's JSON, as connect-mongo and connect-redis keep it. It was written by another
application, so everything in it is checked, and what cannot be used counts as no session.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

import orjson

from tradecast.auth.errors import AuthRefused
from tradecast.auth.models import TIERS, Session, Tier, User
from tradecast.auth.store import StoredSession
from tradecast.settings import Settings

MAX_TEXT = 256 * 1024
MAX_USER_ID = 128
MAX_NAME = 256
MILLISECONDS_FROM = 1e11  # as seconds that is the year 5138, as milliseconds 1973


@dataclass(frozen=True, slots=True)
class SessionFields:
    """Where things are in the session's JSON, and for how long a session is honoured.

    Attributes:
        user_path: The keys that lead to the user.
        id, name, email, admin, tier: The user's fields.
        max_age: Seconds.
    """

    user_path: tuple[str, ...] = ("passport", "user")
    id: str = "id"
    name: str = "name"
    email: str = "email"
    admin: str = "isAdmin"
    tier: str = "subscriptionTier"
    max_age: float = 30 * 86_400.0

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The fields that the SESSION_ settings name."""
        return cls(
            user_path=tuple(settings.session_user_path.split(".")),
            id=settings.session_field_id,
            name=settings.session_field_name,
            email=settings.session_field_email,
            admin=settings.session_field_admin,
            tier=settings.session_field_tier,
            max_age=settings.session_max_age,
        )


def decode_data(text: str | bytes) -> Mapping[str, Any] | str:
    """A session's JSON if it is an object; the text itself if it is not, or has over `MAX_TEXT` characters."""
    if len(text) <= MAX_TEXT:
        try:
            data = orjson.loads(text)  # gives up beyond 1,024 levels instead of exhausting the stack
        except (orjson.JSONDecodeError, UnicodeEncodeError):
            data = None
        if isinstance(data, dict):
            return data
    return text if isinstance(text, str) else text.decode("utf-8", "replace")


def read_session(stored: StoredSession, fields: SessionFields, now: float) -> Session:
    """Read a stored session.

    Its end is the store's (the document's `expires`, the key's TTL), or the cookie's `expires` where the store has
    none; and never later than its start plus `fields.max_age`. The start is the session's `createdAt` (Unix seconds or
    milliseconds, or ISO 8601) where it has one; else the cookie's `expires` less its `originalMaxAge`, which is when
    the session was last saved; else `now`, which bounds how long one look-up is good for and no more.

    The user is an object, or only its id (passport serialises as the application likes): then it has no name and the
    tier `free`, unless the users collection tells more.

    Args:
        stored: As it came from the store.
        fields: Where things are.
        now: Unix time in seconds.

    Raises:
        AuthRefused: SESSION_NOT_FOUND if it cannot be used, SESSION_EXPIRED if it is over.
    """
    data = stored.data
    if not isinstance(data, Mapping):
        raise AuthRefused("SESSION_NOT_FOUND")
    user = _read_user(_walk(data, fields.user_path), fields)
    expires_at = _read_end(data, stored.expires_at, fields.max_age, now)
    if expires_at <= now:
        raise AuthRefused("SESSION_EXPIRED")
    return Session(stored.id, user, expires_at)


def merge_user(user: User, document: Mapping[str, Any], fields: SessionFields) -> User:
    """The user with a document's tier and admin flag, and with its name and e-mail where it has them."""
    return _user(user.id, document, fields, name=user.name, email=user.email)


def _user(user_id: str, source: Mapping[str, Any], fields: SessionFields, *, name: str, email: str) -> User:
    return User(
        user_id,
        name=_text(source.get(fields.name)) or name,
        email=_text(source.get(fields.email)) or email,
        is_admin=source.get(fields.admin) is True,
        tier=_tier(source.get(fields.tier)),
    )


def write_session(user: User, fields: SessionFields, now: float, expires_at: float) -> dict[str, Any]:
    """The JSON of a new session, in express-session's shape plus `createdAt` (Unix seconds)."""
    data: dict[str, Any] = {
        "cookie": {
            "originalMaxAge": round((expires_at - now) * 1000),
            "expires": datetime.fromtimestamp(expires_at, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "httpOnly": True,
            "path": "/",
        },
        "createdAt": now,
    }
    place = data
    for key in fields.user_path[:-1]:
        place = place.setdefault(key, {})
    place[fields.user_path[-1]] = {
        fields.id: user.id,
        fields.name: user.name,
        fields.email: user.email,
        fields.admin: user.is_admin,
        fields.tier: user.tier,
    }
    return data


def read_user_id(value: object) -> str | None:
    """A user's id as text: 1 to 128 printable characters, or a whole number; None for anything else."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)  # as Node stores whole numbers from 2**31 on
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18:
        return str(value)
    if isinstance(value, str) and 0 < len(value) <= MAX_USER_ID and value.isprintable():
        return value
    return None


def _read_user(value: object, fields: SessionFields) -> User:
    source = value if isinstance(value, Mapping) else {fields.id: value}
    user_id = read_user_id(source.get(fields.id))
    if user_id is None:
        raise AuthRefused("SESSION_NOT_FOUND")
    return _user(user_id, source, fields, name="", email="")


def _read_end(data: Mapping[str, Any], stored_end: float | None, max_age: float, now: float) -> float:
    cookie = data.get("cookie")
    if cookie is None:
        cookie = {}
    if not isinstance(cookie, Mapping):
        raise AuthRefused("SESSION_NOT_FOUND")
    cookie_end = _instant(cookie.get("expires"))
    start = _instant(data.get("createdAt"))
    if start is None and cookie_end is not None:
        original = cookie.get("originalMaxAge")
        if original is not None:
            start = cookie_end - _number(original) / 1000
    # A start in the future must not lengthen the session.
    longest = min(now if start is None else start, now) + max_age
    # The touch of connect-mongo and connect-redis moves the store's end, and leaves the JSON with its cookie as it was.
    end = cookie_end if stored_end is None else stored_end
    return longest if end is None else min(longest, end)


def _instant(value: object) -> float | None:
    """Unix seconds; None where there is no value (express-session also writes `false`)."""
    if value is None or value is False:
        return None
    if isinstance(value, str) and len(value) <= 64:
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise AuthRefused("SESSION_NOT_FOUND") from None
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    number = _number(value)
    return number / 1000 if abs(number) >= MILLISECONDS_FROM else number


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e18 < value < 1e18:
        raise AuthRefused("SESSION_NOT_FOUND")
    return float(value)


def _walk(data: Mapping[str, Any], path: tuple[str, ...]) -> object:
    value: object = data
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _text(value: object) -> str:
    return value[:MAX_NAME] if isinstance(value, str) else ""


def _tier(value: object) -> Tier:
    return _TIERS.get(value, "free") if isinstance(value, str) else "free"


_TIERS: dict[str, Tier] = {tier: tier for tier in TIERS}
