"""Engine.IO sids that name the server that made them: random part, boot id, and an HMAC over both. No I/O.

The HMAC is there so that nobody can make a server talk to another one about ids that no server has given out. It is no
proof that a connection lives, nor of who has it: that the sid is secret is what protects a connection, as ever.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Iterable

from tradecast.tokens import any_token_matches

# Bytes, each a multiple of three: base64 without padding, and the parts can be cut out of the text.
RANDOM_BYTES, BOOT_BYTES, TAG_BYTES = 15, 9, 12
RANDOM, BOOT, TAG = (count * 4 // 3 for count in (RANDOM_BYTES, BOOT_BYTES, TAG_BYTES))
LENGTH = RANDOM + BOOT + TAG
_LABEL = b"tradecast sid 1\n"


def new_boot() -> str:
    """The name of one start of one server. Addresses are used again, and so is everything that outlives a container."""
    return secrets.token_urlsafe(BOOT_BYTES)


def make_sid(boot: str, key: bytes) -> str:
    """A new sid of the server that has this boot id."""
    head = secrets.token_urlsafe(RANDOM_BYTES) + boot
    return head + _tag(head, key)


def boot_of(sid: str, keys: Iterable[bytes]) -> str | None:
    """The boot id of the server that made this sid under one of these keys; None for any other text."""
    if len(sid) != LENGTH or not sid.isascii():
        return None
    head, tag = sid[:-TAG], sid[-TAG:]
    return head[RANDOM:] if any_token_matches(tag, (_tag(head, key) for key in keys)) else None


def _tag(head: str, key: bytes) -> str:
    digest = hmac.digest(key, _LABEL + head.encode("ascii"), "sha256")
    return base64.urlsafe_b64encode(digest[:TAG_BYTES]).decode("ascii")
