"""Engine.IO sids that name the server that made them: random part, boot id, and an HMAC over both. No I/O.

The HMAC keeps clients from making a server ask another one about ids that no server has issued. It proves neither that
a connection is alive nor who has it: a connection is protected by its sid being secret, as in any Socket.IO server.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Iterable, Sequence
from typing import Protocol

from tradecast.tokens import any_token_matches

# Bytes, each a multiple of three: base64 without padding, and the parts can be cut out of the text.
RANDOM_BYTES, BOOT_BYTES, TAG_BYTES = 15, 9, 12
RANDOM, BOOT, TAG = (count * 4 // 3 for count in (RANDOM_BYTES, BOOT_BYTES, TAG_BYTES))
LENGTH = RANDOM + BOOT + TAG
_LABEL = b"tradecast sid 1\n"


class Keyring(Protocol):
    """Who has the fleet's keys.

    Attributes:
        boot: This server's boot id.
        keys: The fleet's key, and those that it had before; empty while it is not known.
    """

    @property
    def boot(self) -> str: ...
    @property
    def keys(self) -> Sequence[bytes]: ...


class SignedSids:
    """Makes the sids of a server's connections (`SidMaker`).

    Args:
        keyring: Has the key; while it is not known, sids are plain ones, and work on this server only.
    """

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def make_sid(self) -> str | None:
        """A new sid; None while the fleet's key is not known."""
        keys = self._keyring.keys
        return make_sid(self._keyring.boot, keys[0]) if keys else None


def new_boot() -> str:
    """A boot id: the name of one start of one server. Addresses, and all that outlives a container, are used again."""
    return secrets.token_urlsafe(BOOT_BYTES)


def make_sid(boot: str, key: bytes) -> str:
    """A new sid of the server that has this boot id."""
    head = secrets.token_urlsafe(RANDOM_BYTES) + boot
    return head + _make_tag(head, key)


def boot_of(sid: str, keys: Iterable[bytes]) -> str | None:
    """The boot id of the server that made this sid under one of these keys; None for any other text."""
    if len(sid) != LENGTH or not sid.isascii():
        return None
    head, tag = sid[:-TAG], sid[-TAG:]
    return head[RANDOM:] if any_token_matches(tag, (_make_tag(head, key) for key in keys)) else None


def _make_tag(head: str, key: bytes) -> str:
    digest = hmac.digest(key, _LABEL + head.encode("ascii"), "sha256")
    return base64.urlsafe_b64encode(digest[:TAG_BYTES]).decode("ascii")
