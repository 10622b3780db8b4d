"""What is answered to a request before it is a connection's: the rules of Engine.IO and of RFC 6455 §4.2. Pure."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
from collections.abc import Awaitable, Collection, Sequence
from http import HTTPStatus
from typing import Final, Literal, NamedTuple, Protocol

from tradecast.engine.http.request import Header, Request

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_JSON: Final = (b"content-type", b"application/json")


class Refusal(NamedTuple):
    """An answer that ends a request.

    Attributes:
        status: Of the answer.
        body: Its content.
        headers: Without the length.
    """

    status: int
    body: bytes
    headers: Sequence[Header] = (_JSON,)

    @classmethod
    def of(cls, status: int, content: object, *headers: Header) -> Refusal:
        """A refusal whose body is JSON."""
        return cls(status, json.dumps(content).encode(), (_JSON, *headers))

    @property
    def head(self) -> list[Header]:
        """All its headers."""
        return [*self.headers, (b"content-length", str(len(self.body)).encode())]

    def encode(self) -> bytes:
        """The whole answer as HTTP/1.1; the connection is closed behind it."""
        lines = [b"HTTP/1.1 %d %s" % (self.status, _find_phrase(self.status))]
        lines += [name + b": " + value for name, value in (*self.head, (b"connection", b"close"))]
        return b"\r\n".join([*lines, b"", self.body])


class RawClient(Protocol):
    """A connection whose WebSocket handshake has been read and is not answered yet.

    Attributes:
        transport: The connection.
    """

    transport: asyncio.Transport

    def take_early(self) -> bytes:
        """What the client has sent behind its handshake."""
        ...

    def answer(self, refusal: Refusal) -> None:
        """Refuse the WebSocket; the connection is closed."""
        ...

    def connection_lost(self, exc: Exception | None) -> None:
        """To be called at the end by whoever has given the transport another protocol."""
        ...


class Elsewhere(Protocol):
    """Serves a WebSocket that is not for this server's engine."""

    async def serve(self, client: RawClient) -> None:
        """Serve it until it ends, or refuse it."""
        ...


Verdict = Refusal | Elsewhere | None
"""What becomes of a handshake. None: the engine takes it."""


class Entrance(Protocol):
    """Decides about WebSocket handshakes before the engine sees them."""

    def admit(self, request: Request) -> Verdict | Awaitable[Verdict]:
        """Let it in (None), refuse it, or have it served elsewhere; at once, or after a while."""
        ...


# The answers of Node's engine.io, codes and texts (lib/server.ts).
UNKNOWN_TRANSPORT: Final = Refusal.of(400, {"code": 0, "message": "Transport unknown"})
# As that one, in words for whoever looks into the answer: a standard client would retry for ever.
POLLING_OFF: Final = Refusal.of(
    400,
    {"code": 0, "message": "Transport unknown: polling is off here; use io(url, {transports: ['websocket']})"},
)
WEBSOCKET_OFF: Final = Refusal.of(
    400, {"code": 0, "message": "Transport unknown: websocket is off here; use io(url, {transports: ['polling']})"}
)
POLLING_WAITS: Final = Refusal.of(
    400,
    {
        "code": 0,
        "message": "Transport unknown: polling is not offered until all servers pass requests on to each other; "
        "try again, or use io(url, {transports: ['websocket']})",
    },
)
TransportRefusal = Literal["polling_off", "websocket_off", "polling_waits"]
TRANSPORT_REFUSALS: Final[tuple[tuple[Refusal, TransportRefusal], ...]] = (
    (POLLING_OFF, "polling_off"),
    (WEBSOCKET_OFF, "websocket_off"),
    (POLLING_WAITS, "polling_waits"),
)
UNKNOWN_SESSION: Final = Refusal.of(400, {"code": 1, "message": "Session ID unknown"})
BAD_METHOD: Final = Refusal.of(400, {"code": 2, "message": "Bad handshake method"})
BAD_REQUEST: Final = Refusal.of(400, {"code": 3, "message": "Bad request"})
FORBIDDEN: Final = Refusal.of(400, {"code": 4, "message": "Forbidden"})
UNSUPPORTED: Final = Refusal.of(400, {"code": 5, "message": "Unsupported protocol version"})
TOO_LARGE: Final = Refusal.of(413, {"code": 3, "message": "Payload too large"})
NO_WEBSOCKET_VERSION: Final = Refusal.of(426, {"code": 3, "message": "Bad request"}, (b"sec-websocket-version", b"13"))


_OFF: Final = {"polling": POLLING_OFF, "websocket": WEBSOCKET_OFF}


def check_query(request: Request, transports: Collection[str]) -> Refusal | None:
    """Why a request cannot be one of Engine.IO v4; None if it can."""
    query = request.query
    transport = query.get("transport")
    if "j" in query:  # JSONP, which no client of v4 uses
        return UNKNOWN_TRANSPORT
    if transport not in transports:
        return _OFF.get(transport or "", UNKNOWN_TRANSPORT)
    if "sid" not in query and query.get("EIO") != "4":
        return UNSUPPORTED
    if (transport == "websocket") != request.websocket:
        return BAD_REQUEST
    return None


def check_websocket(request: Request) -> Refusal | None:
    """Why a request is no opening handshake (RFC 6455 §4.2.1); None if it is one."""
    if request.method != "GET":
        return BAD_METHOD
    if request.header(b"sec-websocket-version") != "13":
        return NO_WEBSOCKET_VERSION
    try:
        key = base64.b64decode(request.header(b"sec-websocket-key") or "", validate=True)
    except (binascii.Error, ValueError):
        return BAD_REQUEST
    return None if len(key) == 16 else BAD_REQUEST


def switching_protocols(request: Request, headers: Sequence[Header] = ()) -> bytes:
    """The answer that opens a WebSocket; the first sub-protocol that was offered is taken, as in Node."""
    key = (request.header(b"sec-websocket-key") or "").strip().encode("latin-1")
    accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    lines = [head + accept]
    if (protocol := read_subprotocol(request)) is not None:
        lines.append(b"Sec-WebSocket-Protocol: " + protocol.encode("latin-1"))
    lines += [name + b": " + value for name, value in headers]
    return b"\r\n".join([*lines, b"", b""])


def read_subprotocol(request: Request) -> str | None:
    """The first sub-protocol that the client offers."""
    offered = request.header(b"sec-websocket-protocol")
    return offered.split(",")[0].strip() or None if offered is not None else None


def _find_phrase(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""
