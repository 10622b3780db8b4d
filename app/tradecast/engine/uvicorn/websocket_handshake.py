"""A WebSocket's handshake on a raw HTTP connection: decided about, then refused, served elsewhere, or the engine's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Final, Protocol

from tradecast.engine.compression.deflate import Deflater
from tradecast.engine.compression.offers import HEADER, BadOffers, answer_offers
from tradecast.engine.http.asgi import Engine
from tradecast.engine.http.handshake import (
    BAD_REQUEST,
    Entrance,
    RawClient,
    Refusal,
    Verdict,
    check_websocket,
    switching_protocols,
)
from tradecast.engine.http.request import Request
from tradecast.engine.transports.deflating_websocket import DeflatingWebSocketTransport
from tradecast.engine.transports.secured import WriteReadiness, secure_transport
from tradecast.engine.transports.websocket import Registry, WebSocketTransport

# Bytes that a client may send behind its handshake before that is answered; beyond it the client is not read.
EARLY_BYTES: Final = 65_536


class RawEngine(Engine, Protocol):
    """An engine that gets raw connections.

    Attributes:
        deflater: Compresses messages to clients that agree to it; None: nobody is asked.
        readiness: Knows when the system takes more of a connection over TLS.
    """

    deflater: Deflater | None
    readiness: WriteReadiness


class Upgrades:
    """Where a listener's WebSockets go.

    Args:
        engine: What serves them.
        entrance: What decides about them before.
    """

    def __init__(self, engine: RawEngine, entrance: Entrance) -> None:
        self.engine = engine
        self.entrance = entrance


class HandshakeConnection(RawClient, Protocol):
    """The HTTP connection that a handshake came on.

    Attributes:
        loop: The event loop.
        tasks: Keeps tasks, and the HTTP server waits for them when it stops.
        connections: Where the HTTP server keeps the protocols of open connections.
        early: While the handshake is decided about, what the client has sent behind it; else None.
        deciding: Decides about the handshake, where that takes a while.
    """

    loop: asyncio.AbstractEventLoop
    tasks: set[asyncio.Task[Any]]
    connections: set[Any]
    early: bytes | None
    deciding: asyncio.Task[None] | None

    def release_transport(self) -> None:
        """Another protocol has the transport from now on."""
        ...


def open_websocket(connection: HandshakeConnection, upgrades: Upgrades, request: Request, rest: bytes) -> None:
    """Decide about a handshake, at once or in a task.

    Args:
        connection: What it came on.
        upgrades: Where it goes.
        request: The handshake.
        rest: What the client has sent behind it.
    """
    verdict = upgrades.entrance.admit(request)
    if verdict is None or isinstance(verdict, Refusal):
        _settle_handshake(connection, upgrades, request, rest, verdict)
        return
    connection.early = rest
    connection.deciding = connection.loop.create_task(_await_verdict(connection, upgrades, request, verdict))
    connection.tasks.add(connection.deciding)
    connection.deciding.add_done_callback(connection.tasks.discard)


async def _await_verdict(
    connection: HandshakeConnection, upgrades: Upgrades, request: Request, verdict: Verdict | Awaitable[Verdict]
) -> None:
    decided = await verdict if isinstance(verdict, Awaitable) else verdict
    connection.deciding = None
    if connection.transport.is_closing():
        return
    if decided is None or isinstance(decided, Refusal):
        connection.transport.resume_reading()
        _settle_handshake(connection, upgrades, request, connection.take_early(), decided)
    else:
        await decided.serve(connection)


def _settle_handshake(
    connection: HandshakeConnection, upgrades: Upgrades, request: Request, rest: bytes, verdict: Refusal | None
) -> None:
    refusal = verdict
    if refusal is None:
        refusal = accept_websocket(upgrades.engine, request, connection.transport, rest, connection.connections)
    if refusal is None:
        connection.release_transport()
    else:
        connection.answer(refusal)


def accept_websocket(
    engine: RawEngine, request: Request, transport: asyncio.Transport, rest: bytes, registry: Registry
) -> Refusal | None:
    """Open a WebSocket on a raw connection; the refusal, where it cannot be opened.

    Args:
        engine: What serves it.
        request: Its handshake.
        transport: The connection.
        rest: What the client has sent behind the head.
        registry: Where it is kept as long as it is open.
    """
    if not request.checked:
        refusal = engine.check(request) or check_websocket(request)
        if refusal is not None:
            engine.report_refusal(request, refusal)
            return refusal
    found = engine.find(request)
    if isinstance(found, Refusal):
        return found
    deflater = engine.deflater
    transport = secure_transport(transport, engine.readiness, engine.limits.unsent)
    try:
        agreed = None if deflater is None else _negotiate_compression(request)
    except BadOffers:
        return BAD_REQUEST
    if deflater is None or agreed is None:
        websocket = WebSocketTransport(engine, transport, registry)
    else:
        websocket = DeflatingWebSocketTransport(engine, transport, registry, deflater)
        engine.observer.compression_agreed()
    registry.add(websocket)
    transport.set_protocol(websocket)
    websocket.begin(switching_protocols(request, () if agreed is None else ((HEADER, agreed),)))
    if found is None:
        websocket.receiver = engine.open(request, websocket)
    elif not engine.begin_upgrade(found, websocket):
        websocket.close()  # a WebSocket carries that connection already: accepted and closed, as in Node
    if rest:
        websocket.data_received(rest)
    return None


def _negotiate_compression(request: Request) -> bytes | None:
    offers = request.joined(HEADER)
    return None if offers is None else answer_offers(offers)


def find_peer(transport: asyncio.Transport) -> str | None:
    """The address at the other end of a connection; None for a connection that has none, such as a UNIX socket."""
    peer = transport.get_extra_info("peername")
    return peer[0] if isinstance(peer, tuple) else None


def has_body(request: Request) -> bool:
    """Whether a request announces a body, which a WebSocket's handshake has not."""
    return request.header(b"transfer-encoding") is not None or request.header(b"content-length") not in (None, "0")
