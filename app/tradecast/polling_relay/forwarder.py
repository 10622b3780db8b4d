"""ASGI middleware before the engine: relays requests of another server's connections to that server, their owner."""

from __future__ import annotations

import time
from collections.abc import Container
from typing import Literal, Protocol

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tradecast.engine.http.asgi import send_refusal
from tradecast.engine.http.handshake import UNKNOWN_SESSION, Elsewhere, RawClient, Refusal
from tradecast.engine.http.request import Request
from tradecast.polling_relay.owner.polling import PollingRelay
from tradecast.polling_relay.owner.routes import Owners
from tradecast.polling_relay.owner.websockets import WebSocketRelays
from tradecast.polling_relay.refusals import OWNER_FAILURES, RelayFailed, Result

Carrier = Literal["polling", "websocket"]
# Seconds between two log lines about owners that cannot be reached.
LOG_EVERY = 10.0
log = structlog.stdlib.get_logger("tradecast.adapter")


class ForwardObserver(Protocol):
    """Counts requests of other servers' connections."""

    def forwarded(self, transport: Carrier, result: Result) -> None:
        """A request was relayed, or could not be."""
        ...


class Forwarder:
    """Relays requests, each once, to the servers that own their connections.

    Args:
        app: The engine of this server. It also answers for sids that no server knows.
        own_sids: The sids of this server's connections.
        owners: The other servers.
        observer: Counts.
        patience: Seconds that an owner may take to answer; more than a poll lasts.
        max_body: Bytes of the largest body that is relayed.
        most: Requests, and apart from them WebSockets, that may be under way.

    Attributes:
        relays: WebSockets that are relayed now.
    """

    def __init__(
        self,
        app: ASGIApp,
        own_sids: Container[str],
        owners: Owners,
        observer: ForwardObserver,
        *,
        patience: float,
        max_body: int,
        most: int,
    ) -> None:
        self._app = app
        self._own_sids = own_sids
        self._owners = owners
        self._observer = observer
        self._polling = PollingRelay(owners, patience=patience, max_body=max_body, most=most)
        self._logged = -LOG_EVERY
        self.relays = WebSocketRelays(owners, most, patience)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request of the Engine.IO path; a WebSocket of another server only as `admit` says."""
        request = Request.of_scope(scope)
        boot = self._find_owner(request)
        if boot is None:
            await self._app(scope, receive, send)
            return
        try:
            if request.websocket:
                # Under ASGI there are no bytes to relay, and the client stays with polling.
                raise RelayFailed("invalid", 501, "NO_UPGRADE", "Stay with polling")
            result = await self._polling.forward(boot, request, receive, send)
        except RelayFailed as failed:
            refusal = self._note_failure("websocket" if request.websocket else "polling", failed)
            await send_refusal(send, refusal, websocket=request.websocket)
            return
        self._observer.forwarded("polling", result)
        if result == "unknown":
            await self._app(scope, _without_body(receive), send)

    def admit(self, request: Request) -> Elsewhere | None:
        """Who serves a WebSocket of another server's connection (`Entrance`); None: this server's engine."""
        boot = self._find_owner(request)
        return None if boot is None else _OwnedElsewhere(self, boot, request)

    async def relay_websocket(self, boot: str, request: Request, client: RawClient) -> None:
        """Relay a WebSocket to its owner until it ends, or refuse it."""
        try:
            relay = await self.relays.open(boot, request, client)
        except RelayFailed as failed:
            client.answer(self._note_failure("websocket", failed))
            return
        self._observer.forwarded("websocket", "answered" if relay is not None else "unknown")
        if relay is None:
            client.answer(UNKNOWN_SESSION)
        else:
            await relay.wait_closed()

    def close(self) -> None:
        """Close idle connections to other servers."""
        self._polling.close()

    def _find_owner(self, request: Request) -> str | None:
        """The boot id of the other server that owns the request's connection; None: this server answers."""
        sid = request.query.get("sid")
        if sid is None or request.method not in ("GET", "POST") or sid in self._own_sids:
            return None
        return self._owners.find_boot(sid)

    def _note_failure(self, transport: Carrier, failed: RelayFailed) -> Refusal:
        self._observer.forwarded(transport, failed.result)
        now = time.monotonic()
        if failed.result in OWNER_FAILURES and now - self._logged >= LOG_EVERY:
            self._logged = now
            why = {} if failed.why is None else {"why": failed.why}
            log.warning("request not relayed to the server that owns its connection", result=failed.result, **why)
        return failed.refusal


class _OwnedElsewhere:
    """A WebSocket whose connection another server owns (`Elsewhere`)."""

    __slots__ = ("_boot", "_forwarder", "_request")

    def __init__(self, forwarder: Forwarder, boot: str, request: Request) -> None:
        self._forwarder = forwarder
        self._boot = boot
        self._request = request

    async def serve(self, client: RawClient) -> None:
        await self._forwarder.relay_websocket(self._boot, self._request, client)


def _without_body(receive: Receive) -> Receive:
    """For an app that answers without a body, when the body may have been read."""
    first = True

    async def next_message() -> Message:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": b"", "more_body": False}
        return await receive()

    return next_message
