"""What a cause becomes once it is known what answers at the address."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal

from tradecast.causes.cause import Cause
from tradecast.causes.codes import Code
from tradecast.causes.places import MONGODB, REDIS, SERVER

Peer = Literal["redis", "full redis", "mongodb", "http", "tls", "silent"]
"""What answers at an address, as `probe_peer` found."""
_AMBIGUOUS: Final = (Code.TIMED_OUT, Code.CLOSED, Code.TLS_FAILED, Code.TLS_UNEXPECTED, Code.UNREACHABLE)
_NAMES: Final[dict[Peer, str]] = {"redis": REDIS, "full redis": REDIS, "mongodb": MONGODB}


def is_ambiguous(cause: Cause) -> bool:
    """Whether probing the address (`refine_cause`) may show more."""
    return cause.code in _AMBIGUOUS


def refine_cause(cause: Cause, peer: Peer) -> Cause:
    """Make a cause more precise by what answers at the address."""
    place = cause.place
    if peer == "tls":
        if not place.tls:
            return replace(cause, code=Code.TLS_EXPECTED)
        if cause.code == Code.CLOSED and not place.certified:
            return replace(cause, code=Code.TLS_CLIENT_CERTIFICATE)
        return cause
    if peer == "http" and place.service == SERVER:
        return replace(cause, code=Code.TLS_UNEXPECTED) if place.tls else cause
    if peer == "http":
        return replace(cause, code=Code.SPEAKS_HTTP)
    if peer == "full redis" and place.service == REDIS:
        return replace(cause, code=Code.TOO_MANY_CLIENTS)
    if peer in _NAMES:
        if _NAMES[peer] != place.service:
            return replace(cause, code=Code.OTHER_SERVICE, detail=_NAMES[peer])
        if place.tls:
            return replace(cause, code=Code.TLS_UNEXPECTED)
        if cause.code == Code.UNREACHABLE:  # it answers, and had closed the connection that the driver lost
            return replace(cause, code=Code.CLOSED)
    return cause
