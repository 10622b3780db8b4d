"""What the operator takes from a Secret: only what the Secret itself says that it may, by a label. Pure.

A SocketFleet names Secrets, and its author need not be one who may read them. So the Secret's own author consents, and
the keys are fixed. This version takes from Secrets without the label as well, and warns; the next one does not.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tradecast_operator.kube.client import Object
from tradecast_operator.model.spec import TOKEN_KEY

# What a Secret is labelled with, to the value "true".
ADMIN_LABEL: Final = "tradecast.dev/admin-token"
REDIS_LABEL: Final = "tradecast.dev/redis-url"
LONGEST_TOKEN: Final = 4_096
LONGEST_URL: Final = 8_192
LONGEST_CERTIFICATES: Final = 262_144


class SecretRefused(Exception):
    """Nothing is taken from this Secret.

    Args:
        reason: In one word, for conditions.
        message: With the remedy; nothing of what is in the Secret.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Token:
    """What opens the admin ports of a fleet.

    Attributes:
        value: The first of the tokens that the servers take; empty: there is none.
        consented: Whether the Secret has the label.
    """

    value: str = ""
    consented: bool = True


def read_token(secret: Object, name: str, key: str, *, strict: bool) -> Token:
    """The token in a Secret.

    Args:
        secret: It.
        name: Its name.
        key: The key that the SocketFleet names.
        strict: Whether a Secret without the label is refused.

    Raises:
        SecretRefused: It is not to be had.
    """
    if key != TOKEN_KEY:
        raise SecretRefused(
            "TokenKeyRefused", f"admin.tokenSecret.key is {TOKEN_KEY} or not there: another key of a Secret is not sent"
        )
    consented = consents(secret, name, ADMIN_LABEL, strict=strict)
    value = _first_word(value_of(secret, name, TOKEN_KEY, 4 * LONGEST_TOKEN))
    if not value:
        raise SecretRefused("SecretUnusable", f"Secret {name} has no token in {TOKEN_KEY}")
    if len(value) > LONGEST_TOKEN or not value.isprintable():
        raise SecretRefused(
            "SecretUnusable",
            f"Secret {name}: {TOKEN_KEY} is longer than {LONGEST_TOKEN} characters, or has line breaks or others that "
            "cannot be printed",
        )
    return Token(value, consented)


def consents(secret: Object, name: str, label: str, *, strict: bool) -> bool:
    """Whether a Secret has the label. Raises SecretRefused where it has not, and must."""
    labels: Mapping[str, Any] = secret.get("metadata", {}).get("labels") or {}
    consented = labels.get(label) == "true"
    if strict and not consented:
        raise SecretRefused("SecretNotLabelled", f"Secret {name} lacks the label {label}=true, and is not read")
    return consented


def value_of(secret: Object, name: str, key: str, longest: int) -> str:
    """The text under a key; empty where it is not there. Raises SecretRefused for what is no text, or too long."""
    coded = (secret.get("data") or {}).get(key) or ""
    try:
        value = base64.b64decode(coded, validate=True)
        if len(value) > longest:
            raise SecretRefused("SecretUnusable", f"Secret {name}: {key} has more than {longest} bytes")
        return value.decode().strip()
    except (binascii.Error, UnicodeDecodeError, ValueError, TypeError):
        raise SecretRefused("SecretUnusable", f"Secret {name}: {key} is no text in UTF-8") from None


def _first_word(text: str) -> str:
    """Of the tokens that servers take (`ADMIN_TOKEN`, several while one replaces another), the first."""
    return next((word.strip() for word in text.split(",") if word.strip()), "")
