"""The internal port: takes requests that other servers of the fleet pass on, and hands them to the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Receive, Scope, Send

from tradecast.adapter.forwarding.answers import refuse
from tradecast.adapter.forwarding.directory import Directory
from tradecast.adapter.forwarding.heads import REFUSED, target_of
from tradecast.adapter.forwarding.signatures import HEADER, signed_for

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
        reason = self._why_not(scope)
        if reason is None:
            await self._app(scope, receive, send)
            return
        self._on_refused(reason)
        status, message = _ANSWERS[reason]
        await refuse(scope, send, status, "REFUSED", message, [(REFUSED, reason.encode())])

    def _why_not(self, scope: Scope) -> Reason | None:
        values = [value for name, value in scope["headers"] if name.lower() == HEADER]
        if len(values) != 1:
            return "signature"
        method = scope.get("method", "GET")
        boot = signed_for(values[0], self._directory.keys, method, target_of(scope), self._directory.now())
        if boot is None:
            return "signature"
        if boot != self._boot:
            return "boot"
        query = parse_qs(scope["query_string"].decode("latin-1"))
        return None if method in ("GET", "POST") and "sid" in query else "request"
