"""Connections over ASGI: polling everywhere, and WebSockets under servers that do not hand over their transport."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from tradecast.engine.compression.gzip import SMALLEST, GzipAnswers, accepts_gzip
from tradecast.engine.connection import CLIENT_DISCONNECT, PING_TIMEOUT, TRANSPORT_ERROR, Connection
from tradecast.engine.http.handshake import (
    BAD_METHOD,
    BAD_REQUEST,
    TOO_LARGE,
    UNKNOWN_SESSION,
    Refusal,
    read_subprotocol,
)
from tradecast.engine.http.origins import OriginPolicy
from tradecast.engine.http.request import Header, Request
from tradecast.engine.packets import Malformed, split_payload
from tradecast.engine.timers import TimerWheel
from tradecast.engine.transports.asgi_websocket import AsgiWebSocket, Receive, Send
from tradecast.engine.transports.base import Host, Transport
from tradecast.engine.transports.polling import PollingTransport, PollOverlap
from tradecast.engine.transports.upgrade import Upgradable
from tradecast.engine.turns import PACKETS_PER_TURN

_TEXT: Final[Header] = (b"content-type", b"text/plain; charset=UTF-8")
# As in Node: with text/plain some old browsers offer a download.
_HTML: Final[Header] = (b"content-type", b"text/html")
_NO_STORE: Final[Header] = (b"cache-control", b"no-store")
_VARY: Final[Header] = (b"vary", b"Accept-Encoding")
_GZIPPED: Final[Header] = (b"content-encoding", b"gzip")


class Engine(Host, Protocol):
    """What requests need of the server.

    Attributes:
        gzip: Compresses the answers to polls; None: they are not.
        origins: Whose pages may connect.
        wheel: Calls connections when a heartbeat is due.
    """

    gzip: GzipAnswers | None
    origins: OriginPolicy
    wheel: TimerWheel

    def take_final_payload(self, request: Request) -> bytes | None:
        """What waits for a polling client whose transport was closed, once."""
        ...

    def check(self, request: Request) -> Refusal | None:
        """Why a request cannot be served, whatever it is for; None if it can."""
        ...

    def report_refusal(self, request: Request, refusal: Refusal) -> None:
        """Report a refusal that an operator may have to act on. To be called once, by whoever answers the request."""
        ...

    def find(self, request: Request) -> Connection | Refusal | None:
        """The connection that a request is for; None: it asks for a new one."""
        ...

    def open(self, request: Request, transport: Transport) -> Connection:
        """Begin a connection on a transport: send the handshake, then call the connect handler."""
        ...

    def begin_upgrade(self, connection: Connection, websocket: Upgradable) -> bool:
        """Let a WebSocket take over a connection that polls; whether it may try."""
        ...


async def send_refusal(
    send: Send, refusal: Refusal, headers: Sequence[Header] = (), *, websocket: bool = False
) -> None:
    """Answer a request, or a WebSocket's handshake, with a refusal."""
    kind = "websocket.http.response" if websocket else "http.response"
    await send({"type": f"{kind}.start", "status": refusal.status, "headers": [*refusal.head, *headers]})
    await send({"type": f"{kind}.body", "body": refusal.body})


# -- polling


async def serve_polling(engine: Engine, request: Request, receive: Receive, send: Send) -> None:
    """Serve one request of a polling client, or its preflight."""
    if not engine.origins.accepts(request):
        refusal = engine.check(request) or BAD_REQUEST
        engine.report_refusal(request, refusal)
        await send_refusal(send, refusal)
        return
    cors = engine.origins.headers(request)
    if request.method == "OPTIONS":
        await send({"type": "http.response.start", "status": 204, "headers": cors})
        await send({"type": "http.response.body", "body": b""})
        return
    answer = engine.check(request)
    found = engine.find(request)
    if answer is not None:
        engine.report_refusal(request, answer)
    elif isinstance(found, Refusal):
        payload = engine.take_final_payload(request) if request.method == "GET" else None
        answer = found if payload is None else _answer_poll(engine, request, payload)
    elif request.method == "GET":
        answer = await _serve_poll(engine, request, found, receive)
    elif request.method == "POST" and found is not None:
        answer = await _serve_post(engine, found, receive)
    else:
        answer = BAD_METHOD
    if answer is not None:
        await send_refusal(send, answer, [*cors, _NO_STORE])


async def _serve_poll(
    engine: Engine, request: Request, connection: Connection | None, receive: Receive
) -> Refusal | None:
    if connection is None:
        transport = PollingTransport(engine)
        transport.connection = connection = engine.open(request, transport)
    elif connection.overdue and not engine.wheel.is_behind:
        connection.abort(PING_TIMEOUT)
        return UNKNOWN_SESSION
    elif not isinstance(connection.transport, PollingTransport):
        return BAD_REQUEST  # a WebSocket carries it by now
    else:
        transport = connection.transport
    try:
        answered = transport.poll()
    except PollOverlap:
        connection.abort(TRANSPORT_ERROR)
        return BAD_REQUEST
    if not answered.done():
        # A poll that is aborted ends the connection, as in Node: what is taken for it would be lost without a word.
        watching = asyncio.ensure_future(_end_with_poll(connection, receive))
        try:
            await answered
        finally:
            watching.cancel()
    return _answer_poll(engine, request, answered.result())


def _answer_poll(engine: Engine, request: Request, payload: bytes) -> Refusal:
    if engine.gzip is None or len(payload) < SMALLEST:
        return Refusal(200, payload, (_TEXT,))
    compressed = engine.gzip.compress(payload) if accepts_gzip(request.joined(b"accept-encoding")) else None
    if compressed is None:
        return Refusal(200, payload, (_TEXT, _VARY))
    return Refusal(200, compressed, (_TEXT, _VARY, _GZIPPED))


async def _end_with_poll(connection: Connection, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    connection.abort(TRANSPORT_ERROR)


async def _serve_post(engine: Engine, connection: Connection, receive: Receive) -> Refusal:
    transport = connection.transport
    if not isinstance(transport, PollingTransport):
        return BAD_REQUEST
    if transport.posting:  # as in Node: of two bodies at the same time nobody knows the order
        connection.end(TRANSPORT_ERROR)
        return BAD_REQUEST
    transport.posting = True
    try:
        body = await _read_body(connection.message_limit, receive)
        if isinstance(body, Refusal):
            connection.end(TRANSPORT_ERROR)
            return body
        try:
            for number, packet in enumerate(split_payload(body), 1):
                connection.receive(packet)
                if not number % PACKETS_PER_TURN:  # clients send all at once that they buffered while offline
                    await asyncio.sleep(0)
        except Malformed:
            engine.observer.packet_malformed()
            connection.end(TRANSPORT_ERROR)
            return BAD_REQUEST
        # Answered before its handlers are done, as in Node: a client sends one POST at a time, and the answer to a
        # heartbeat may be in the next one. One that floods waits here.
        await connection.until_it_may_send()
    finally:
        transport.posting = False
    if connection.reason not in (None, CLIENT_DISCONNECT):  # ended by what it sent, for one
        return BAD_REQUEST
    return Refusal(200, b"ok", (_HTML,))


async def _read_body(limit: int, receive: Receive) -> bytes | Refusal:
    chunks: list[bytes] = []
    size = 0
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            return BAD_REQUEST
        chunks.append(event.get("body", b""))
        size += len(chunks[-1])
        if size > limit:
            return TOO_LARGE
        if not event.get("more_body"):
            return b"".join(chunks)


# -- WebSocket


async def serve_websocket(engine: Engine, request: Request, receive: Receive, send: Send) -> None:
    """Serve a WebSocket whose frames the HTTP server reads and writes: slower, but under any of them."""
    found = engine.find(request)
    refusal = engine.check(request)
    if refusal is None and isinstance(found, Refusal):
        refusal = found
    if refusal is not None:
        engine.report_refusal(request, refusal)
        await send_refusal(send, refusal, websocket=True)
        return
    assert not isinstance(found, Refusal)  # noqa: S101 the branch before
    await receive()  # websocket.connect
    await send({"type": "websocket.accept", "subprotocol": read_subprotocol(request)})
    transport = AsgiWebSocket(engine)
    if found is None:
        transport.receiver = engine.open(request, transport)
    elif not engine.begin_upgrade(found, transport):
        transport.close()
    await transport.run(receive, send)
