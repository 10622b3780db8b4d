"""The door before the Engine.IO handshake: who is told to come back later, in the way that clients do come back.

A 503 at the handshake makes a stock client try again by itself; CONNECT_ERROR would keep it away for good.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Literal
from urllib.parse import parse_qs

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from tradecast.lifecycle.admission import Admission

Closed = Literal["SERVER_BUSY", "SERVER_DRAINING", "SERVER_SUPERSEDED"]
RETRY_AFTER_SECONDS = 2


class Gate:
    """ASGI middleware for the Engine.IO path.

    Args:
        app: What is behind the door.
        is_full: Whether the server has all the connections it takes.
        on_refused: Told the code of each refusal.
        admission: How fast handshakes are let in; None: as they come.
        is_superseded: Whether new clients should go to servers of a newer revision.

    Attributes:
        draining: Whether the door is closed for good.
        held: Handshakes that wait for their turn.
    """

    def __init__(
        self,
        app: ASGIApp,
        is_full: Callable[[], bool],
        on_refused: Callable[[Closed], None],
        admission: Admission | None = None,
        is_superseded: Callable[[], bool] = lambda: False,
    ) -> None:
        self._app = app
        self._is_full = is_full
        self._on_refused = on_refused
        self._admission = admission
        self._is_superseded = is_superseded
        self.draining = False
        self.held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 503 if it is a handshake and the door is closed."""
        code = await self._knock() if _is_handshake(scope) else None
        if code is None:
            await self._app(scope, receive, send)
            return
        self._on_refused(code)
        await refuse(
            scope, send, 503, {"code": code, "message": "Try again in a moment"}, retry_after=RETRY_AFTER_SECONDS
        )

    async def _knock(self) -> Closed | None:
        code = self._closed()
        if code is not None or self._admission is None:
            return code
        wait = self._admission.reserve(time.monotonic())
        if wait is None:
            return "SERVER_BUSY"
        if wait:
            self.held += 1
            try:
                await asyncio.sleep(wait)
            finally:
                self.held -= 1
            return self._closed()  # perhaps it was closed in the meantime
        return None

    def _closed(self) -> Closed | None:
        if self.draining:
            return "SERVER_DRAINING"
        if self._is_superseded():
            return "SERVER_SUPERSEDED"
        return "SERVER_BUSY" if self._is_full() else None


def _is_handshake(scope: Scope) -> bool:
    if scope.get("method") == "OPTIONS":
        return False
    return "sid" not in parse_qs(scope.get("query_string", b"").decode("latin-1"))  # of bytes it would take ASCII only


async def refuse(scope: Scope, send: Send, status: int, body: object, *, retry_after: int | None = None) -> None:
    """Answer an HTTP request or a WebSocket handshake with a status and a JSON body."""
    kind = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
    content = orjson.dumps(body)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    if retry_after is not None:
        headers.append((b"retry-after", str(retry_after).encode()))
    await send({"type": f"{kind}.start", "status": status, "headers": headers})
    await send({"type": f"{kind}.body", "body": content})
