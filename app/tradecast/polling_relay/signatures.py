"""The header by which a server proves to another one that a request comes from a server of the fleet. No I/O.

It covers method, path and query, the boot id of the server that it is meant for, and the time. Not the body: whoever
can read and replay the traffic between servers has the sid, and can do the same with it at the public port.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable

from tradecast.tokens import any_token_matches

HEADER = b"x-tradecast-forward"
# Seconds, either way. All servers use Redis' clock (`ServerAddresses.now`): the nodes' own clocks need not agree. When
# Redis' clock jumps, by a failover to one with another clock, they agree again after their next refresh.
SKEW = 60
_LABEL = b"tradecast forward 1"
_VALUE = re.compile(rb"1 ([A-Za-z0-9_-]{12}) (\d{1,12}) ([0-9a-f]{64})")


def sign_request(key: bytes, method: str, target: bytes, boot: str, now: float) -> bytes:
    """The header's value for a request to the server of this boot id.

    Args:
        key: The fleet's.
        method: As it is sent.
        target: Path and query as they are sent.
        boot: The owner's boot id.
        now: Seconds since 1970 by the fleet's clock.
    """
    boot_bytes, seconds = boot.encode("ascii"), str(int(now)).encode()
    return b" ".join((b"1", boot_bytes, seconds, _make_digest(key, method, target, boot_bytes, seconds)))


def signed_for(value: bytes, keys: Iterable[bytes], method: str, target: bytes, now: float) -> str | None:
    """The boot id that a request is meant for; None if it was not signed under one of these keys, or not just now."""
    found = _VALUE.fullmatch(value)
    if found is None:
        return None
    boot, seconds, digest = found.groups()
    genuine = any_token_matches(digest, (_make_digest(key, method, target, boot, seconds) for key in keys))
    return boot.decode("ascii") if genuine and abs(now - int(seconds)) <= SKEW else None


def _make_digest(key: bytes, method: str, target: bytes, boot: bytes, seconds: bytes) -> bytes:
    text = b"\n".join((_LABEL, method.encode("latin-1"), target, boot, seconds))
    return hmac.digest(key, text, "sha256").hex().encode()
