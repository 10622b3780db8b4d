"""Heads of HTTP messages: the headers that are relayed from the client to the owner, and back. No I/O.

Host, Origin, Forwarded and X-Forwarded-* are relayed unchanged, since the owner checks a page's origin by them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tradecast.engine.http.request import Header, Request
from tradecast.polling_relay.signatures import HEADER

INTERNAL = b"x-tradecast-"
REFUSED = b"x-tradecast-refused"
"""Marks an answer of the internal port itself: the engine was not asked."""
HOP_BY_HOP = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection"),
        *(b"te", b"trailer", b"trailers", b"transfer-encoding", b"upgrade"),
    }
)
# The engine does not read these, and nobody else may: connections between servers need not be encrypted.
_PRIVATE = frozenset({b"cookie", b"authorization"})
_REPLACED = frozenset({b"content-length", b"expect"})
_KEPT = (b"host", b"origin", b"x-forwarded-", b"forwarded")
_WRITTEN_HERE = frozenset({b"content-length", b"date", b"server"})


class BadHead(ValueError):
    """A header cannot be written into a head."""


def request_head(request: Request, signature: bytes, body_size: int = 0) -> bytes:
    """The head of the request to the owner.

    Raises:
        BadHead: A server in front of us let something through that would end a line.
    """
    headers = _for_owner(request.headers)
    if request.scheme in ("https", "wss") and not any(name == b"x-forwarded-proto" for name, _ in headers):
        headers.append((b"x-forwarded-proto", b"https"))  # TLS ended here
    if request.websocket:
        headers += [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")]
    if request.method == "POST":
        headers.append((b"content-length", str(body_size).encode()))
    headers.append((HEADER, signature))
    lines = [b" ".join((request.method.encode("latin-1"), request.target, b"HTTP/1.1"))]
    lines += [name + b": " + value for name, value in headers]
    if any(b"\r" in line or b"\n" in line for line in lines) or lines[0].count(b" ") != 2:
        raise BadHead
    return b"\r\n".join([*lines, b"", b""])


def answer_headers(headers: Iterable[Header]) -> list[Header]:
    """The headers of the owner's answer that the client gets."""
    dropped = HOP_BY_HOP | _WRITTEN_HERE
    return [(name, value) for name, value in headers if name not in dropped and not name.startswith(INTERNAL)]


def read_refusal(headers: Iterable[Header]) -> str | None:
    """Why the internal port refused; None if it is the engine that answers."""
    return next((value.decode("latin-1") for name, value in headers if name == REFUSED), None)


def _for_owner(headers: Sequence[Header]) -> list[Header]:
    named = {
        name.strip().lower()
        for header, value in headers
        if header.lower() == b"connection"
        for name in value.split(b",")
        if not name.strip().lower().startswith(_KEPT)  # else a client could take the owner's checks away
    }
    dropped = HOP_BY_HOP | _PRIVATE | _REPLACED | named
    lowered = ((name.lower(), value) for name, value in headers)
    return [(name, value) for name, value in lowered if name not in dropped and not name.startswith(INTERNAL)]
