"""What the operator reads from a Secret: only fixed keys, and only if the Secret consents by a label. Pure.

A SocketFleet names Secrets which its author may not be permitted to read. So the Secret's own author has to consent.
This version reads Secrets without the label as well, and warns; the next one does not.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tradecast_operator.kube.client import Object
from tradecast_operator.model.spec import TOKEN_KEY

# Labels by which a Secret consents, with the value "true".
ADMIN_LABEL: Final = "tradecast.dev/admin-token"
REDIS_LABEL: Final = "tradecast.dev/redis-url"
LONGEST_TOKEN: Final = 4_096
# So many of a Secret's tokens are tried.
MOST_TOKENS: Final = 3
LONGEST_URL: Final = 8_192
LONGEST_CERTIFICATES: Final = 262_144


class SecretRefused(Exception):
    """Nothing is read from this Secret.

    Args:
        reason: The condition's reason.
        message: With a remedy, and without the Secret's content.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Token:
    """The token for the admin ports of a fleet.

    Attributes:
        values: The tokens that the servers accept; empty: there is none.
        consented: Whether the Secret has the label.
    """

    values: tuple[str, ...] = ()
    consented: bool = True


def read_token(secret: Object, name: str, key: str, *, strict: bool) -> Token:
    """The token in a Secret.

    Args:
        secret: The Secret.
        name: Its name.
        key: The key that the SocketFleet names.
        strict: Whether a Secret without the label is refused.

    Raises:
        SecretRefused: The token cannot be read.
    """
    if key != TOKEN_KEY:
        raise SecretRefused(
            "TokenKeyRefused",
            f"admin.tokenSecret.key must be {TOKEN_KEY}, or be omitted: no other key of a Secret is sent",
        )
    consented = check_consent(secret, name, ADMIN_LABEL, strict=strict)
    values = _read_tokens(value_of(secret, name, TOKEN_KEY, 4 * LONGEST_TOKEN))
    if not values:
        raise SecretRefused("SecretUnusable", f"Secret {name} has no token in {TOKEN_KEY}")
    if any(len(value) > LONGEST_TOKEN or not value.isprintable() for value in values):
        raise SecretRefused(
            "SecretUnusable",
            f"Secret {name}: {TOKEN_KEY} is longer than {LONGEST_TOKEN} characters, or has line breaks or other "
            "unprintable characters",
        )
    return Token(values, consented)


def check_consent(secret: Object, name: str, label: str, *, strict: bool) -> bool:
    """Whether a Secret has the label. Raises SecretRefused if it has not, and must."""
    labels: Mapping[str, Any] = secret.get("metadata", {}).get("labels") or {}
    consented = labels.get(label) == "true"
    if strict and not consented:
        raise SecretRefused("SecretNotLabelled", f"Secret {name} lacks the label {label}=true, so it is not read")
    return consented


def value_of(secret: Object, name: str, key: str, longest: int) -> str:
    """The text under a key; empty: there is no such key. Raises SecretRefused if it is no text, or too long."""
    coded = (secret.get("data") or {}).get(key) or ""
    try:
        value = base64.b64decode(coded, validate=True)
        if len(value) > longest:
            raise SecretRefused("SecretUnusable", f"Secret {name}: {key} has more than {longest} bytes")
        return value.decode().strip()
    except (binascii.Error, UnicodeDecodeError, ValueError, TypeError):
        raise SecretRefused("SecretUnusable", f"Secret {name}: {key} is not valid UTF-8") from None


def _read_tokens(text: str) -> tuple[str, ...]:
    """The first of the tokens that servers accept: `ADMIN_TOKEN` has several while one replaces another."""
    return tuple(word.strip() for word in text.split(",") if word.strip())[:MOST_TOKENS]
