"""uvicorn's HTTP protocol, which hands WebSockets over to the engine with their raw transport.

uvicorn 0.54 reads a WebSocket's head a second time in another parser, which refuses lines over 8 kB, and runs an ASGI
application and its queues for each. Here the head that was parsed is used, and the engine reads the frames.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Final, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.utils import get_local_addr, get_remote_addr

from tradecast.engine.http.asgi import Engine
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
NO_WEBSOCKETS: Final = Refusal.of(404, {"code": "NOT_FOUND", "message": "There are no WebSockets here"})


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
    """One HTTP connection of a listener. A class is bound to the listener's `upgrades` by `bind_protocol`."""

    upgrades: Upgrades | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # While a WebSocket's handshake is decided about: what has come behind it.
        self._early: bytes | None = None
        self._deciding: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        # Without what uvicorn asks the system here for each connection: only a plain request needs it (`_describe`).
        self.connections.add(self)
        self.transport = transport
        self.scheme = "https" if transport.get_extra_info("sslcontext") else "http"

    def on_message_begin(self) -> None:
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_headers_complete(self) -> None:
        if not (self.parser.should_upgrade() and self._should_upgrade()):
            self._describe()
            super().on_headers_complete()

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

    def data_received(self, data: bytes) -> None:
        if self._early is not None:
            self._early += data
            if len(self._early) > _EARLY:
                self.transport.pause_reading()
            return
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._should_upgrade():
                self._open_websocket(data[upgrade.args[0] :])
            elif self.cycle is not None:
                # To another protocol, such as h2c: ignored (RFC 9110 §7.8). The parser takes nothing behind it.
                self.cycle.keep_alive = False
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")

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

    def shutdown(self) -> None:
        # Uvicorn stops. A WebSocket that is decided about, or that passes through to another server, ends in time.
        if self._early is None:
            super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deciding is not None:
            self._deciding.cancel()
        super().connection_lost(exc)

    # -- WebSockets

    def _open_websocket(self, rest: bytes) -> None:
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.keep_alive = False  # a WebSocket cannot follow a request that is not answered: closed behind that
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
    refusal = engine.check(request) or check_websocket(request)
    if refusal is not None:
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


def has_body(request: Request) -> bool:
    """Whether a request announces a body, which a WebSocket's handshake has not."""
    return request.header(b"transfer-encoding") is not None or request.header(b"content-length") not in (None, "0")


def bind_protocol(upgrades: Upgrades | None) -> type[asyncio.Protocol]:
    """A protocol class for one listener, to be given to uvicorn as `http`."""
    return cast(type[asyncio.Protocol], type("BoundHttpProtocol", (HttpProtocol,), {"upgrades": upgrades}))
