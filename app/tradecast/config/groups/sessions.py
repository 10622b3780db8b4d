"""Sessions: where they are, and how they are read."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from tradecast.config.groups.base import Group
from tradecast.config.types import (
    DAY,
    Positive,
    SecretTexts,
    Texts,
    Tier,
    lower_text,
    split_list,
)


def _split_tiers(value: Any) -> Any:
    """`gold=premium,2=enterprise` as pairs."""
    if not isinstance(value, str):
        return value
    pairs = (word.rpartition("=") for word in split_list(value))
    return tuple((value.strip(), tier.strip().lower()) for value, _, tier in pairs)


Tiers = Annotated[tuple[tuple[str, Tier], ...], BeforeValidator(_split_tiers)]


class SessionSettings(Group):
    """Sessions and users."""

    auth_required: bool = Field(
        True, description="Refuse clients without a session; if false they get market:status only"
    )
    session_store: Annotated[Literal["auto", "memory", "redis", "mongodb"], BeforeValidator(lower_text)] = Field(
        "auto",
        description="Where sessions live; auto: mongodb if MONGODB_URI is set, else redis if REDIS_URL is, else memory",
    )
    session_collection: str = Field(
        "sessions", min_length=1, description="MongoDB collection of the sessions (connect-mongo)"
    )
    session_key_prefix: str = Field("sess:", description="Prefix of session keys in Redis (connect-redis)")
    session_secrets: SecretTexts = Field(
        (),
        description="Secrets that sign session ids (express-session), comma-separated, any of them is accepted; a JSON "
        "list where one has a comma or outer spaces",
    )
    session_require_signed: bool | None = Field(
        None,
        description="Refuse session ids that are not signed. Absent: they are accepted with a warning where there are "
        "SESSION_SECRETS; from the next version on they are refused then, unless this is `false`",
    )
    session_cookie_name: str | None = Field(
        None,
        pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$",
        description="Cookie of the session's id (express-session: `connect.sid`), which the handshake's Cookie header "
        "has: for pages that cannot read it. Taken where the client's `auth` has no sessionID or an empty one; needs a "
        "CORS_ORIGIN other than `*`",
    )
    session_user_path: str = Field(
        "passport.user",
        min_length=1,
        description="Where the user is in the session's JSON; `.`: it is the session itself",
    )
    session_field_id: str = Field("id", min_length=1, description="Field of the user's id")
    session_field_name: str = Field("name", description="Field of the user's name")
    session_field_email: str = Field("email", description="Field of the user's e-mail address")
    session_field_admin: str = Field(
        "isAdmin",
        description="Field that makes an admin, when its value, or one in its list, is in SESSION_ADMIN_VALUES",
    )
    session_admin_values: Texts = Field(
        ("true", "1"),
        description="Those values, comma-separated, in any case; `true` is JSON's too, and `1` the number",
    )
    session_field_tier: str = Field(
        "subscriptionTier", description="Field of the tier: free, premium or enterprise, in any case"
    )
    session_tiers: Tiers = Field(
        (),
        description="What other values of that field mean, comma-separated: `gold=premium,2=enterprise`; what is "
        "neither here nor a tier's name counts as free",
    )
    users_collection: str | None = Field(
        None,
        description="MongoDB collection that tells tier and admin flag (and name, e-mail) instead of the session",
    )
    users_id_field: str = Field("_id", min_length=1, description="Field of that collection that holds the user's id")
    session_max_age: Positive = Field(
        30 * DAY,
        le=3650 * DAY,
        description="Longest time a session is honoured, from its start on, however often it is renewed; more than "
        "30 days are allowed with a warning",
    )
    session_cache_ttl: float = Field(
        30,
        ge=0,
        le=300,
        description="Seconds a session read from the store is remembered, in memory and in Redis; 0: never",
    )
    revocation_poll_interval: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="Seconds between looks for deleted sessions where the store has no change stream"
    )

    @field_validator("session_user_path")
    @classmethod
    def _check_user_path(cls, path: str) -> str:
        if path != "." and not all(key.strip() for key in path.split(".")):
            raise ValueError("is keys with a dot between them, as passport.user, or `.` alone")
        return path
