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
        True, description="Refuse clients without a session; if false, they receive market:status only"
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
        description="Secrets that sign session ids (express-session), comma-separated; any of them is accepted. A "
        "JSON list if one has a comma or outer spaces",
    )
    session_require_signed: bool | None = Field(
        None,
        description="Refuse session ids that are not signed. Absent: they are accepted with a warning if there are "
        "SESSION_SECRETS; the next version will refuse them then, unless this is `false`",
    )
    session_cookie_name: str | None = Field(
        None,
        pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$",
        description="Cookie with the session's id (express-session: `connect.sid`) in the handshake's Cookie "
        "header, for pages that cannot read it. Used if the client's `auth` has no sessionID or an "
        "empty one; needs a CORS_ORIGIN other than `*`",
    )
    session_user_path: str = Field(
        "passport.user",
        min_length=1,
        description="Where the user is in the session's JSON; `.`: the session itself",
    )
    session_field_id: str = Field("id", min_length=1, description="Field of the user's id")
    session_field_name: str = Field("name", description="Field of the user's name")
    session_field_email: str = Field("email", description="Field of the user's e-mail address")
    session_field_admin: str = Field(
        "isAdmin",
        description="Field that makes an admin, if its value, or one in its list, is in SESSION_ADMIN_VALUES",
    )
    session_admin_values: Texts = Field(
        ("true", "1"),
        description="Those values, comma-separated, in any case; `true` also stands for JSON's true, and `1` for "
        "the number",
    )
    session_field_tier: str = Field(
        "subscriptionTier", description="Field of the tier: free, premium or enterprise, in any case"
    )
    session_tiers: Tiers = Field(
        (),
        description="What other values of that field mean, comma-separated: `gold=premium,2=enterprise`; a value "
        "that is neither here nor a tier's name counts as free",
    )
    users_collection: str | None = Field(
        None,
        description="MongoDB collection from which tier and admin flag (and name, e-mail) are read instead of from "
        "the session",
    )
    users_id_field: str = Field("_id", min_length=1, description="Field of that collection that holds the user's id")
    session_max_age: Positive = Field(
        30 * DAY,
        le=3650 * DAY,
        description="Longest time that a session is accepted, counted from its start, however often it is renewed; "
        "more than 30 days are allowed with a warning",
    )
    session_cache_ttl: float = Field(
        30,
        ge=0,
        le=300,
        description="Seconds for which a session read from the store is cached, in memory and in Redis; 0: never",
    )
    revocation_poll_interval: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="Seconds between polls for deleted sessions if the store has no change stream"
    )

    @field_validator("session_user_path")
    @classmethod
    def _check_user_path(cls, path: str) -> str:
        if path != "." and not all(key.strip() for key in path.split(".")):
            raise ValueError("must be keys separated by dots, such as passport.user, or a single `.`")
        return path
