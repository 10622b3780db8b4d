"""The internal port: takes requests that other servers of the fleet relay, and hands them to the engine."""

from __future__ import annotations

from typing import Literal, Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from tradecast.engine.http.asgi import send_refusal
from tradecast.engine.http.handshake import Refusal
from tradecast.engine.http.request import Request
from tradecast.polling_relay.addresses import ServerAddresses
from tradecast.polling_relay.owner.http_heads import REFUSED
from tradecast.polling_relay.refusals import make_refusal
from tradecast.polling_relay.signatures import HEADER, signed_for

Reason = Literal["signature", "boot", "request"]
_ANSWERS: dict[Reason, tuple[int, str]] = {
    "signature": (403, "This port is for the servers of the fleet"),
    "boot": (410, "The server that this was for is not here any more"),
    "request": (400, "This is not what servers pass on"),
}


class InboxObserver(Protocol):
    """Counts requests of other servers that are refused."""

    def internal_refused(self, reason: Reason) -> None:
        """A request was not taken."""
        ...


class Inbox:
    """ASGI app. What it takes goes to the engine and no further: there is no second hop, and no new connection.

    Args:
        app: The engine.
        addresses: Has the keys, the time, and this server's boot id.
        observer: Counts refusals.
    """

    def __init__(self, app: ASGIApp, addresses: ServerAddresses, observer: InboxObserver) -> None:
        self._app = app
        self._addresses = addresses
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket."""
        # What the client speaks, the other server says in X-Forwarded-Proto; TLS here is between the two servers.
        scope = {**scope, "scheme": "ws" if scope["type"] == "websocket" else "http"}
        refusal = self.admit(Request.of_scope(scope))
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await send_refusal(send, refusal, websocket=scope["type"] == "websocket")

    def admit(self, request: Request) -> Refusal | None:
        """Why a request is not taken; None if it is (`Entrance`)."""
        request.scheme = "ws" if request.websocket else "http"
        reason = self._find_reason(request)
        if reason is None:
            return None
        self._observer.internal_refused(reason)
        status, message = _ANSWERS[reason]
        return make_refusal(status, "REFUSED", message, (REFUSED, reason.encode()))

    def _find_reason(self, request: Request) -> Reason | None:
        values = [value for name, value in request.headers if name == HEADER]
        if len(values) != 1:
            return "signature"
        known = self._addresses
        boot = signed_for(values[0], known.keys, request.method, request.target, known.now())
        if boot is None:
            return "signature"
        if boot != known.boot:
            return "boot"
        return None if request.method in ("GET", "POST") and "sid" in request.query else "request"
