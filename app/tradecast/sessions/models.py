"""Who is connected: the user and the session that proves it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Tier = Literal["free", "premium", "enterprise"]
TIERS: tuple[Tier, ...] = get_args(Tier)


@dataclass(frozen=True, slots=True)
class User:
    """One user, as the session or the users collection describes it. Name and e-mail never go to a log."""

    id: str
    name: str = ""
    email: str = ""
    is_admin: bool = False
    tier: Tier = "free"


@dataclass(frozen=True, slots=True)
class Session:
    """A log-in: a session that was found and parsed, and has not expired.

    Attributes:
        id: The bare session id (a secret: never logged, never sent).
        user: Whose it is.
        expires_at: Unix time in seconds at which it ends, SESSION_MAX_AGE already applied.
    """

    id: str
    user: User
    expires_at: float
