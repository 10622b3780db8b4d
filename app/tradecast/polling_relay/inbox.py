"""The internal port: takes requests that other servers of the fleet pass on, and hands them to the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from starlette.types import ASGIApp, Receive, Scope, Send

from tradecast.engine.http.handshake import Refusal
from tradecast.engine.http.request import Request
from tradecast.polling_relay.answers import refusal_of_error, refuse
from tradecast.polling_relay.directory import Directory
from tradecast.polling_relay.http_heads import REFUSED
from tradecast.polling_relay.signatures import HEADER, signed_for

Reason = Literal["signature", "boot", "request"]
_ANSWERS: dict[Reason, tuple[int, str]] = {
    "signature": (403, "This port is for the servers of the fleet"),
    "boot": (410, "The server that this was for is not here any more"),
    "request": (400, "This is not what servers pass on"),
}


class Inbox:
    """ASGI app. What it takes goes to the engine and no further: there is no second hop, and no new connection.

    Args:
        app: The engine.
        directory: Has the keys, and the time.
        boot: This server's boot id.
        on_refused: Told why a request was not taken.
    """

    def __init__(
        self,
        app: ASGIApp,
        directory: Directory,
        boot: str,
        on_refused: Callable[[Reason], None],
    ) -> None:
        self._app = app
        self._directory = directory
        self._boot = boot
        self._on_refused = on_refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket."""
        # What clients speak, another server says in X-Forwarded-Proto; TLS here is between the two servers.
        scope = {**scope, "scheme": "ws" if scope["type"] == "websocket" else "http"}
        refusal = self.admit(Request.of_scope(scope))
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await refuse(scope, send, refusal)

    def admit(self, request: Request) -> Refusal | None:
        """Why a request is not taken; None if it is (`Entrance`)."""
        request.scheme = "ws" if request.websocket else "http"
        reason = self._why_not(request)
        if reason is None:
            return None
        self._on_refused(reason)
        status, message = _ANSWERS[reason]
        return refusal_of_error(status, "REFUSED", message, (REFUSED, reason.encode()))

    def _why_not(self, request: Request) -> Reason | None:
        values = [value for name, value in request.headers if name == HEADER]
        if len(values) != 1:
            return "signature"
        boot = signed_for(values[0], self._directory.keys, request.method, request.target, self._directory.now())
        if boot is None:
            return "signature"
        if boot != self._boot:
            return "boot"
        return None if request.method in ("GET", "POST") and "sid" in request.query else "request"
