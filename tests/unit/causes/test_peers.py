"""What answers at an address tells more than the error."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tradecast.causes import (
    SERVER,
    Cause,
    Code,
    Peer,
    Place,
    is_ambiguous,
    refine_cause,
)
from unit.causes.errors import HERE, THERE


@pytest.mark.parametrize(
    ("code", "place", "peer", "refined"),
    [
        (Code.CLOSED, HERE, "tls", Code.TLS_EXPECTED),
        (Code.TIMED_OUT, THERE, "tls", Code.TLS_EXPECTED),
        (Code.CLOSED, replace(HERE, tls=True), "tls", Code.TLS_CLIENT_CERTIFICATE),
        (Code.CLOSED, replace(HERE, tls=True, certified=True), "tls", Code.CLOSED),
        (Code.TIMED_OUT, replace(HERE, tls=True), "redis", Code.TLS_UNEXPECTED),
        (Code.TIMED_OUT, replace(THERE, tls=True), "mongodb", Code.TLS_UNEXPECTED),
        (Code.TIMED_OUT, HERE, "redis", Code.TIMED_OUT),
        (Code.TIMED_OUT, HERE, "mongodb", Code.OTHER_SERVICE),
        (Code.TIMED_OUT, THERE, "redis", Code.OTHER_SERVICE),
        (Code.CLOSED, HERE, "full redis", Code.TOO_MANY_CLIENTS),
        (Code.UNREACHABLE, HERE, "redis", Code.CLOSED),
        (Code.UNREACHABLE, THERE, "full redis", Code.OTHER_SERVICE),
        (Code.CLOSED, HERE, "http", Code.SPEAKS_HTTP),
        (Code.TIMED_OUT, HERE, "silent", Code.TIMED_OUT),
        (Code.TIMED_OUT, Place(SERVER, "h:1"), "http", Code.TIMED_OUT),
        (Code.TLS_UNEXPECTED, Place(SERVER, "h:1", tls=True), "http", Code.TLS_UNEXPECTED),
    ],
)
def test_what_answers_there_explains_more(code: Code, place: Place, peer: Peer, refined: Code) -> None:
    cause = Cause(code, place)
    assert is_ambiguous(cause)
    assert refine_cause(cause, peer).code == refined
