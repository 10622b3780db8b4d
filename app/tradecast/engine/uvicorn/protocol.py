"""uvicorn's HTTP protocol, which bounds what a request may send and hands WebSockets over with their raw transport.

uvicorn 0.54 reads a WebSocket's head a second time in another parser, which refuses lines over 8 kB, and runs an ASGI
application and its queues for each. Here the head that was parsed is used, and the engine reads the frames.

uvicorn's parser joins what comes in pieces before it reports it, and keeps trailers with the headers, both without a
bound. So it gets a head's bytes counted, and never more than the head may have.
"""

from __future__ import annotations

import asyncio
from typing import Final, NoReturn, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.protocols.utils import get_local_addr, get_remote_addr

from tradecast.engine.http.connection_bounds import LINGER_BYTES, ConnectionBounds, RefusalReason
from tradecast.engine.http.handshake import BAD_REQUEST, Refusal
from tradecast.engine.http.request import Request
from tradecast.engine.uvicorn.answers import BoundExceeded, HttpAnswers
from tradecast.engine.uvicorn.websocket_handshake import (
    EARLY_BYTES,
    Upgrades,
    find_peer,
    has_body,
    open_websocket,
)

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


class HttpProtocol(HttpAnswers):
    """One HTTP connection of a listener, whose `upgrades` and `bounds` a class is bound to by `bind_protocol`."""

    # -- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        # Without what uvicorn asks the system here for each connection: only a plain request needs it (`_describe`).
        self.transport = transport
        if not self.bounds.admit(self):
            self._discarding = True
            transport.abort()
            return
        self.scheme = "https" if transport.get_extra_info("sslcontext") else "http"

    def data_received(self, data: bytes) -> None:
        if self.early is not None:
            self.early += data
            if len(self.early) > EARLY_BYTES:
                self.transport.pause_reading()
            return
        if self._discarding:
            self._counted += len(data)
            if self._counted > LINGER_BYTES:
                self.transport.abort()
            return
        if self._rest is not None:
            self._rest += data
            self.transport.pause_reading()
            return
        bounds = self.bounds
        if self.phase is bounds.idle:
            bounds.enter_phase(self, bounds.reading_head)
        self._read(data)

    def _read(self, data: bytes) -> None:
        bounds = self.bounds
        start, size = 0, len(data)
        while start < size:
            end = start + _SLICE
            if not self._in_body:
                end = min(end, start + bounds.limits.head_bytes - self._counted)
            before = self._chunks
            if not self._feed(data, start, min(end, size)):
                return
            start = end
            if self._in_body and self._chunks - before > CHUNKS_PER_TURN and not self.transport.is_closing():
                self._rest = data[start:]
                self.transport.pause_reading()
                bounds.turns.wait(self)
                break
        if self._in_body and self.phase is not bounds.reading_body:
            bounds.enter_phase(self, bounds.reading_body)

    def read_on(self) -> bool:
        """Read one more share of what has come (`Reading`)."""
        rest, self._rest = self._rest, None
        if self.transport.is_closing():
            return False
        if rest and not self._discarding:
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
                self._discarding = True
                if self.cycle is not None:
                    self.cycle.keep_alive = False
            return False
        except httptools.HttpParserError:
            stopped = self._exceeded
            if stopped is None:
                self._end(NO_REQUEST)
            else:
                self._refuse(stopped.reason, stopped.refusal)
            return False
        limits = self.bounds.limits
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
        # Uvicorn stops. A WebSocket that is decided about, or relayed to another server, ends in time.
        if self.early is None:
            super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        self.bounds.leave_phase(self)
        if self.deciding is not None:
            self.deciding.cancel()
        self._forget_requests()
        super().connection_lost(exc)

    # -- the parser

    def on_message_begin(self) -> None:
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_url(self, url: bytes) -> None:
        self.url += url
        if len(self.url) > self.bounds.limits.query_bytes:
            self._check_query()

    def _check_query(self) -> None:
        if len(self.url.partition(b"?")[2]) > self.bounds.limits.query_bytes:
            self._stop("query", QUERY_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_body:  # a trailer: nothing here has a use for it, and behind a head's headers it would be one
            self._trailers += 1
            if self._trailers > self.bounds.limits.head_lines:
                self._stop("chunks", HEAD_TOO_LARGE)
            return
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        bounds = self.bounds
        if len(self.headers) > bounds.limits.head_lines:
            self._stop("head_lines", HEAD_TOO_LARGE)
        cycle: RequestResponseCycle | None = self.cycle
        if len(self.pipeline) >= bounds.limits.pipelined and cycle is not None and not cycle.response_complete:
            self._stop("pipelined")
        bounds.leave_phase(self)
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
        self.bounds.leave_phase(self)
        if self.cycle.response_complete:
            if not self.transport.is_closing():
                self.bounds.enter_phase(self, self.bounds.idle)
        else:
            super().on_message_complete()

    def _stop(self, reason: RefusalReason, refusal: Refusal | None = None) -> NoReturn:
        self._exceeded = BoundExceeded(reason, refusal)
        raise self._exceeded

    # -- WebSockets

    def _should_upgrade_to_ws(self) -> bool:
        return True

    def _get_upgrade(self) -> bytes | None:
        # As uvicorn's, but several Connection headers are one list (RFC 9110 §5.3): uvicorn reads the last one only.
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
            self._discarding = True
            return
        request = self._request()
        if self.upgrades is None:
            self.answer(NO_WEBSOCKETS)
        elif self.parser.get_http_version() != "1.1" or has_body(request):
            self.answer(BAD_REQUEST)
        else:
            open_websocket(self, self.upgrades, request, rest)

    def take_early(self) -> bytes:
        """See `RawClient.take_early`."""
        early, self.early = self.early or b"", b""
        return early

    def answer(self, refusal: Refusal) -> None:
        """Refuse the WebSocket that was asked for; the connection is closed."""
        self.early = b""
        self.transport.write(refusal.encode())
        self.transport.close()
        self._leave()

    def release_transport(self) -> None:
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


def bind_protocol(upgrades: Upgrades | None, bounds: ConnectionBounds | None = None) -> type[asyncio.Protocol]:
    """A protocol class for one listener, to be given to uvicorn as `http`."""
    bound = type("BoundHttpProtocol", (HttpProtocol,), {"upgrades": upgrades, "bounds": bounds or ConnectionBounds()})
    return cast(type[asyncio.Protocol], bound)
