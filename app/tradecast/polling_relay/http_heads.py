"""Heads of HTTP messages: what of a client's goes to the owner, and what of the owner's goes to the client. No I/O.

Host, Origin, Forwarded and X-Forwarded-* go along as they are, since the owner checks a page's origin by them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tradecast.engine.http.request import Request
from tradecast.polling_relay.signatures import HEADER

Header = tuple[bytes, bytes]
INTERNAL = b"x-tradecast-"
REFUSED = b"x-tradecast-refused"
"""How the internal port marks an answer of its own: the engine was not asked."""
HOP_BY_HOP = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection"),
        *(b"te", b"trailer", b"trailers", b"transfer-encoding", b"upgrade"),
    }
)
# What the engine does not read and nobody else is to: connections between servers need not be encrypted.
_PRIVATE = frozenset({b"cookie", b"authorization"})
_REPLACED = frozenset({b"content-length", b"expect", b"sec-websocket-extensions"})
_KEPT = (b"host", b"origin", b"x-forwarded-", b"forwarded")
_MADE_ANEW = frozenset({b"content-length", b"date", b"server"})


class BadHead(ValueError):
    """What came cannot be said in a head."""


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
    """What of the owner's headers goes to the client."""
    dropped = HOP_BY_HOP | _MADE_ANEW
    return [(name, value) for name, value in headers if name not in dropped and not name.startswith(INTERNAL)]


def refusal_of(headers: Iterable[Header]) -> str | None:
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
