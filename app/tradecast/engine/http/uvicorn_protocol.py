"""uvicorn's HTTP protocol, which bounds what a request may send and hands WebSockets over with their raw transport.

uvicorn 0.54 reads a WebSocket's head a second time in another parser, which refuses lines over 8 kB, and runs an ASGI
application and its queues for each. Here the head that was parsed is used, and the engine reads the frames.

uvicorn's parser joins what comes in pieces before it tells of it, and keeps trailers with the headers, both without a
bound. So it gets a head's bytes counted, and never more than the head may have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Final, NoReturn, cast
from urllib.parse import unquote

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.utils import get_local_addr, get_remote_addr

from tradecast.engine.http.asgi import Engine
from tradecast.engine.http.guests import LINGER_BYTES, Guests, Line
from tradecast.engine.http.handshake import (
    BAD_REQUEST,
    Entrance,
    Refusal,
    Verdict,
    check_websocket,
    switching_protocols,
)
from tradecast.engine.http.request import Request
from tradecast.engine.transports.websocket import Registry, WebSocketTransport

# Bytes that a client may send behind its handshake before that is answered; beyond it the client is not read.
_EARLY: Final = 65_536
# What the parser gets in one piece.
_SLICE: Final = 16_384
# Bytes around each chunk of a body that are no extension: its size, in hexadecimal, and two line ends.
_PER_CHUNK: Final = 24
# With more chunks in one slice of a body, what follows waits for the next turn of the event loop: each costs as much as
# a small message. Whoever sends chunks of a sensible size has less.
CHUNKS_PER_TURN: Final = 256
NO_WEBSOCKETS: Final = Refusal.of(404, {"code": "NOT_FOUND", "message": "There are no WebSockets here"})
HEAD_TOO_LARGE: Final = Refusal.of(431, {"code": "HEAD_TOO_LARGE", "message": "The request's head is too large"})
QUERY_TOO_LONG: Final = Refusal.of(414, {"code": "QUERY_TOO_LONG", "message": "The request's query is too long"})
NO_REQUEST: Final = Refusal(400, b"Invalid HTTP request received.", ((b"content-type", b"text/plain; charset=utf-8"),))
TOO_SLOW: Final = Refusal.of(408, {"code": "TIMEOUT", "message": "The request did not come to its end in time"})


class _TooMuch(Exception):
    """Stops the parser, which is in the midst of a slice."""

    def __init__(self, reason: str, refusal: Refusal | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.refusal = refusal


class Upgrades:
    """Where a listener's WebSockets go.

    Args:
        engine: What serves them.
        entrance: What decides about them before.
    """

    def __init__(self, engine: Engine, entrance: Entrance) -> None:
        self.engine = engine
        self.entrance = entrance


class HttpProtocol(HttpToolsProtocol):
    """One HTTP connection of a listener, whose `upgrades` and `guests` a class is bound to by `bind_protocol`."""

    upgrades: Upgrades | None = None
    guests: Guests

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # uvicorn waits for these when it stops, and `Guests` counts them.
        self.guests.connections = self.connections
        self.line: Line | None = None
        # While a WebSocket's handshake is decided about: what has come behind it.
        self._early: bytes | None = None
        self._deciding: asyncio.Task[None] | None = None
        # What the parser reads now: a body (or what is around it), else a head.
        self._in_body = False
        # Bytes of that, from the first slice on that begins in it: a request that is sent behind another one may have
        # a slice more. They are counted before the parser has them, and it sets them to 0 at the end.
        self._counted = 0
        # Of the body: what the application gets of it, and what is around that.
        self._content = 0
        self._chunks = 0
        self._trailers = 0
        # Bytes of it that came after the answer.
        self._unwanted = 0
        # Why the parser was stopped.
        self._too_much: _TooMuch | None = None
        # While it waits for its turn: what is not read yet.
        self._rest: bytes | None = None
        # The request asks for a WebSocket.
        self._websocket = False
        # It was refused, or asked for another protocol: what comes is thrown away.
        self._deaf = False
        # The request that is being answered; uvicorn's `cycle` is the last one that came.
        self._answering: RequestResponseCycle | None = None

    # -- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        # Without what uvicorn asks the system here for each connection: only a plain request needs it (`_describe`).
        self.transport = transport
        if not self.guests.take(self):
            self._deaf = True
            transport.abort()
            return
        self.scheme = "https" if transport.get_extra_info("sslcontext") else "http"

    def data_received(self, data: bytes) -> None:
        if self._early is not None:
            self._early += data
            if len(self._early) > _EARLY:
                self.transport.pause_reading()
            return
        if self._deaf:
            self._counted += len(data)
            if self._counted > LINGER_BYTES:
                self.transport.abort()
            return
        if self._rest is not None:
            self._rest += data
            self.transport.pause_reading()
            return
        guests = self.guests
        if self.line is guests.idle:
            guests.stand(self, guests.heads)
        self._read(data)

    def _read(self, data: bytes) -> None:
        guests = self.guests
        start, size = 0, len(data)
        while start < size:
            end = start + _SLICE
            if not self._in_body:
                end = min(end, start + guests.limits.head_bytes - self._counted)
            before = self._chunks
            if not self._feed(data, start, min(end, size)):
                return
            start = end
            if self._in_body and self._chunks - before > CHUNKS_PER_TURN and not self.transport.is_closing():
                self._rest = data[start:]
                self.transport.pause_reading()
                guests.turns.wait(self)
                break
        if self._in_body and self.line is not guests.bodies:
            guests.stand(self, guests.bodies)

    def read_on(self) -> bool:
        """Read one more share of what has come (`Reading`)."""
        rest, self._rest = self._rest, None
        if self.transport.is_closing():
            return False
        if rest and not self._deaf:
            self._read(rest)
        flow: FlowControl | None = self.flow
        waits: bytes | None = self._rest
        if waits is None and not (flow is not None and flow.read_paused):
            self.transport.resume_reading()
        return False

    def _feed(self, data: bytes, start: int, end: int) -> bool:
        """Let the parser have a slice; whether it takes more."""
        size = end - start
        self._counted += size
        try:
            self.parser.feed_data(data if size == len(data) else data[start:end])
        except httptools.HttpParserUpgrade as upgrade:
            if self._websocket:
                self._open_websocket(data[start + upgrade.args[0] :])
            else:
                # To another protocol, such as h2c: ignored (RFC 9110 §7.8). The parser takes nothing behind it.
                self._deaf = True
                if self.cycle is not None:
                    self.cycle.keep_alive = False
            return False
        except httptools.HttpParserError:
            stopped = self._too_much
            if stopped is None:
                self._end(NO_REQUEST)
            else:
                self._refuse(stopped.reason, stopped.refusal)
            return False
        limits = self.guests.limits
        if not self._in_body:
            if self._counted < limits.head_bytes:
                return True
            self._refuse("head_bytes", HEAD_TOO_LARGE)
            return False
        if not self._counted:
            self._content = 0  # it began in this slice, whose other bytes are not counted either
        if self._counted - self._content - _PER_CHUNK * self._chunks > limits.head_bytes:
            self._refuse("chunks", HEAD_TOO_LARGE)
            return False
        return True

    def shutdown(self) -> None:
        # Uvicorn stops. A WebSocket that is decided about, or that passes through to another server, ends in time.
        if self._early is None:
            super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        self.guests.step_out(self)
        if self._deciding is not None:
            self._deciding.cancel()
        self._forget_requests()
        super().connection_lost(exc)

    # -- the parser

    def on_message_begin(self) -> None:
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_url(self, url: bytes) -> None:
        self.url += url
        if len(self.url) > self.guests.limits.query_bytes:
            self._check_query()

    def _check_query(self) -> None:
        if len(self.url.partition(b"?")[2]) > self.guests.limits.query_bytes:
            self._stop("query", QUERY_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_body:  # a trailer: nothing here has a use for it, and behind a head's headers it would be one
            self._trailers += 1
            if self._trailers > self.guests.limits.head_lines:
                self._stop("chunks", HEAD_TOO_LARGE)
            return
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        guests = self.guests
        if len(self.headers) > guests.limits.head_lines:
            self._stop("head_lines", HEAD_TOO_LARGE)
        cycle: RequestResponseCycle | None = self.cycle
        if len(self.pipeline) >= guests.limits.pipelined and cycle is not None and not cycle.response_complete:
            self._stop("pipelined")
        guests.step_out(self)
        self._websocket = self.parser.should_upgrade() and self._should_upgrade()
        if not self._websocket:
            self._describe()
            super().on_headers_complete()  # raises where the URL is none
        self._in_body = True
        self._counted = self._chunks = self._trailers = self._unwanted = 0

    def _describe(self) -> None:
        """Make what uvicorn needs for an ASGI request."""
        flow: FlowControl | None = self.flow
        if flow is None:
            self.flow = FlowControl(self.transport)
            self.server = get_local_addr(self.transport)
            self.client = get_remote_addr(self.transport)
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)

    def on_chunk_header(self) -> None:
        """A chunk of a body begins; httptools calls this."""
        self._chunks += 1
        if not self._websocket and self.cycle.response_complete:
            self._unwanted += _PER_CHUNK

    def on_body(self, body: bytes) -> None:
        self._content += len(body)
        if self._websocket:
            return
        if self.cycle.response_complete:
            self._unwanted += len(body)
            if self._unwanted > LINGER_BYTES:
                self._stop("unwanted_body")
            return
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_body = False
        self._counted = 0
        if self._websocket:
            return
        self.guests.step_out(self)
        if self.cycle.response_complete:
            if not self.transport.is_closing():
                self.guests.stand(self, self.guests.idle)
        else:
            super().on_message_complete()

    def _stop(self, reason: str, refusal: Refusal | None = None) -> NoReturn:
        self._too_much = _TooMuch(reason, refusal)
        raise self._too_much

    # -- answers

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        # As uvicorn's, whose timer for each idle connection `Guests` takes the place of.
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self._leave()
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif not self._in_body:
            self.guests.stand(self, self.guests.heads if self._counted else self.guests.idle)

    def _refuse(self, reason: str, refusal: Refusal | None) -> None:
        """End the connection for a bound, and count it."""
        self.guests.refused(reason)
        self._end(refusal)

    def _end(self, refusal: Refusal | None) -> None:
        """End the connection, with an answer if this is the answer's place and there is one."""
        cycle: RequestResponseCycle | None = self.cycle
        if self._in_body:
            in_place = cycle is not None and not cycle.response_started and not self.pipeline
        else:
            in_place = cycle is None or cycle.response_complete
        self._forget_requests()
        if self.transport.is_closing():
            return
        if refusal is None or not in_place:
            self.transport.abort()
            return
        self.transport.write(refusal.encode())
        if self.transport.can_write_eof():
            self.transport.write_eof()
            flow: FlowControl | None = self.flow
            if flow is not None:
                flow.resume_reading()
        else:
            self.transport.close()
        self._leave()

    def _forget_requests(self) -> None:
        """Nobody's answer goes out any more: applications are told that the client is gone."""
        self._deaf = True
        self._counted = 0
        cycle, self._answering = self._answering, None
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        self.pipeline.clear()

    def _leave(self) -> None:
        self.guests.stand(self, self.guests.leaving)

    # -- deadlines (`Guest`)

    @property
    def body_received(self) -> int | None:
        """See `Guest`."""
        flow: FlowControl | None = self.flow
        return None if flow is not None and flow.read_paused else self._counted

    @property
    def unsent(self) -> int:
        """See `Guest`."""
        return self.transport.get_write_buffer_size()

    def abort(self) -> None:
        """See `Guest`."""
        self.transport.abort()

    def head_overdue(self) -> None:
        """See `Guest`."""
        # Who has sent nothing gets no answer: it has asked nothing.
        self._refuse("head_timeout", TOO_SLOW if self._counted else None)

    def body_overdue(self) -> None:
        """See `Guest`."""
        self._refuse("body_timeout", TOO_SLOW)

    def idle_overdue(self) -> None:
        """See `Guest`."""
        self.transport.close()
        self._leave()

    # -- WebSockets

    def _should_upgrade_to_ws(self) -> bool:
        return True

    def _get_upgrade(self) -> bytes | None:
        # As uvicorn's, but several Connection headers are one list (RFC 9110 §5.3): it looks at the last one only.
        tokens: set[bytes] = set()
        upgrade = None
        for name, value in self.headers:
            if name == b"connection":
                tokens.update(token.strip() for token in value.lower().split(b","))
            elif name == b"upgrade":
                upgrade = value.lower()
        return upgrade if b"upgrade" in tokens else None

    def _open_websocket(self, rest: bytes) -> None:
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.keep_alive = False  # a WebSocket cannot follow a request that is not answered: closed behind that
            self._deaf = True
            return
        request = self._request()
        if self.upgrades is None:
            self.answer(NO_WEBSOCKETS)
            return
        if self.parser.get_http_version() != "1.1" or has_body(request):
            self.answer(BAD_REQUEST)
            return
        verdict = self.upgrades.entrance.admit(request)
        if verdict is None or isinstance(verdict, Refusal):
            self._settle(request, rest, verdict)
            return
        self._early = rest
        self._deciding = self.loop.create_task(self._decide(request, verdict))
        self.tasks.add(self._deciding)
        self._deciding.add_done_callback(self.tasks.discard)

    async def _decide(self, request: Request, verdict: Verdict | Awaitable[Verdict]) -> None:
        decided = await verdict if isinstance(verdict, Awaitable) else verdict
        self._deciding = None
        if self.transport.is_closing():
            return
        if decided is None or isinstance(decided, Refusal):
            self.transport.resume_reading()
            self._settle(request, self.take_early(), decided)
        else:
            await decided.serve(self)

    def take_early(self) -> bytes:
        """See `RawClient.take_early`."""
        early, self._early = self._early or b"", b""
        return early

    def _settle(self, request: Request, rest: bytes, verdict: Refusal | None) -> None:
        assert self.upgrades is not None  # noqa: S101 asked for a verdict
        if verdict is not None:
            self.answer(verdict)
            return
        refusal = accept_websocket(self.upgrades.engine, request, self.transport, rest, self.connections)
        if refusal is not None:
            self.answer(refusal)
            return
        self.let_go()

    def answer(self, refusal: Refusal) -> None:
        """Refuse the WebSocket that was asked for; the connection is closed."""
        self._early = b""
        self.transport.write(refusal.encode())
        self.transport.close()
        self._leave()

    def let_go(self) -> None:
        """Another protocol has the transport from now on."""
        self.connections.discard(self)
        # It refers to this object, which would wait for the garbage collector.
        self.parser = None  # type: ignore[assignment]

    def _request(self) -> Request:
        raw_path, _, query = self.url.partition(b"?")
        path = raw_path.decode("latin-1")
        return Request(
            method=self.parser.get_method().decode("latin-1"),
            path=unquote(path) if "%" in path else path,
            raw_path=raw_path,
            query_string=query.partition(b"#")[0],
            headers=self.headers,
            scheme="wss" if self.scheme == "https" else "ws",
            websocket=True,
            peer=find_peer(self.transport),
        )


def accept_websocket(
    engine: Engine, request: Request, transport: asyncio.Transport, rest: bytes, registry: Registry
) -> Refusal | None:
    """Open a WebSocket on a raw connection, or tell why not.

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
            engine.tell_refused(request, refusal)
            return refusal
    found = engine.find(request)
    if isinstance(found, Refusal):
        return found
    websocket = WebSocketTransport(engine, transport, registry)
    registry.add(websocket)
    transport.set_protocol(websocket)
    websocket.begin(switching_protocols(request))
    if found is None:
        websocket.receiver = engine.open(request, websocket)
    elif not engine.begin_upgrade(found, websocket):
        websocket.close()  # a WebSocket carries that connection already: accepted and closed, as in Node
    if rest:
        websocket.data_received(rest)
    return None


def find_peer(transport: asyncio.Transport) -> str | None:
    """The address at the other end of a connection; None for a connection that has none, such as a UNIX socket."""
    peer = transport.get_extra_info("peername")
    return peer[0] if isinstance(peer, tuple) else None


def has_body(request: Request) -> bool:
    """Whether a request announces a body, which a WebSocket's handshake has not."""
    return request.header(b"transfer-encoding") is not None or request.header(b"content-length") not in (None, "0")


def bind_protocol(upgrades: Upgrades | None, guests: Guests | None = None) -> type[asyncio.Protocol]:
    """A protocol class for one listener, to be given to uvicorn as `http`."""
    bound = type("BoundHttpProtocol", (HttpProtocol,), {"upgrades": upgrades, "guests": guests or Guests()})
    return cast(type[asyncio.Protocol], bound)
