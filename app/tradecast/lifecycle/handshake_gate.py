"""The door before the Engine.IO handshake: who is told to come back later, in the way that clients do come back.

A 503 at the handshake makes a stock client try again by itself; CONNECT_ERROR would keep it away for good.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Literal, Protocol, get_args

from starlette.types import ASGIApp, Receive, Scope, Send

from tradecast.engine.http.addresses import Network
from tradecast.engine.http.asgi import send_refusal
from tradecast.engine.http.handshake import Refusal
from tradecast.engine.http.request import Request
from tradecast.lifecycle.admission import Admission

Closed = Literal["SERVER_BUSY", "SERVER_DRAINING", "SERVER_SUPERSEDED", "ADDRESS_BUSY"]
RETRY_AFTER_SECONDS = 2


class PerAddress(Protocol):
    """Bounds what one client address may open."""

    def find_network(self, request: Request) -> Network | None:
        """Where a handshake comes from; None: it is not counted."""
        ...

    def has_room_for(self, network: Network) -> bool:
        """Whether an address may open one more transport; one of its own that may go is closed for that."""
        ...

    def hold(self, network: Network) -> None:
        """A handshake from there waits for its turn."""
        ...

    def release(self, network: Network) -> None:
        """It waits no more."""
        ...


class HandshakeGate:
    """ASGI middleware for the Engine.IO path.

    Args:
        app: What is behind the door.
        is_full: Whether the server has all the connections it takes.
        on_refused: Told the code of each refusal.
        admission: How fast handshakes are let in; None: as they come.
        is_superseded: Whether new clients should go to servers of a newer revision.
        check: Why a request is no handshake that could succeed; those take nobody's place.
        addresses: Bounds what one client address may open; None: nothing does.

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
        check: Callable[[Request], Refusal | None] = lambda request: None,
        addresses: PerAddress | None = None,
    ) -> None:
        self._app = app
        self._is_full = is_full
        self._on_refused = on_refused
        self._admission = admission
        self._is_superseded = is_superseded
        self._check = check
        self._addresses = addresses
        self.draining = False
        self.held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 503 if it is a handshake and the door is closed."""
        websocket = scope["type"] == "websocket"
        refusal = self.admit(Request.of_scope(scope))
        if isinstance(refusal, Awaitable):
            waiting = asyncio.ensure_future(refusal)
            # A handshake has no body: all that can come is that the client is gone.
            watching = None if websocket else asyncio.ensure_future(_until_gone(receive, waiting))
            try:
                refusal = await waiting
            except asyncio.CancelledError:
                if watching is not None and watching.done():
                    return
                waiting.cancel()
                raise
            finally:
                if watching is not None:
                    watching.cancel()
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await send_refusal(send, refusal, websocket=websocket)

    def admit(self, request: Request) -> Refusal | Awaitable[Refusal | None] | None:
        """Let a handshake in (None), refuse it, or do either after a while. What is no handshake passes."""
        if request.method != "GET" or "sid" in request.query or self._check(request) is not None:
            return None  # the engine says what it thinks of it
        network = None if self._addresses is None else self._addresses.find_network(request)
        code = self._closed(network)
        if code is None and self._admission is not None:
            wait = self._admission.reserve(time.monotonic())
            if wait:
                if network is not None and self._addresses is not None:
                    self._addresses.hold(network)
                return self._hold(wait, network)
            code = "SERVER_BUSY" if wait is None else None
        return None if code is None else self._refuse(code)

    async def _hold(self, wait: float, network: Network | None) -> Refusal | None:
        self.held += 1
        try:
            await asyncio.sleep(wait)
        except asyncio.CancelledError:
            if self._admission is not None:
                self._admission.give_back()
            raise
        finally:
            self.held -= 1
            if network is not None and self._addresses is not None:
                self._addresses.release(network)
        code = self._closed()  # perhaps it was closed in the meantime
        return None if code is None else self._refuse(code)

    def _refuse(self, code: Closed) -> Refusal:
        self._on_refused(code)
        return _REFUSALS[code]

    def _closed(self, network: Network | None = None) -> Closed | None:
        if self.draining:
            return "SERVER_DRAINING"
        if self._is_superseded():
            return "SERVER_SUPERSEDED"
        # Before the server's own room, which is made by closing somebody else's transport.
        if network is not None and self._addresses is not None and not self._addresses.has_room_for(network):
            return "ADDRESS_BUSY"
        return "SERVER_BUSY" if self._is_full() else None


async def _until_gone(receive: Receive, waiting: asyncio.Future[Refusal | None]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    waiting.cancel()


_REFUSALS: dict[Closed, Refusal] = {
    code: Refusal.of(
        503, {"code": code, "message": "Try again in a moment"}, (b"retry-after", b"%d" % RETRY_AFTER_SECONDS)
    )
    for code in get_args(Closed)
}
