"""Accepts Engine.IO handshakes, at once or after a wait, or refuses them so that clients retry.

A standard Socket.IO client retries after a 503 at the handshake; after a CONNECT_ERROR it does not.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Literal, Protocol, get_args

from starlette.types import ASGIApp, Receive, Scope, Send

from tradecast.engine.http.addresses import Network
from tradecast.engine.http.asgi import send_refusal
from tradecast.engine.http.handshake import Refusal
from tradecast.engine.http.request import Request
from tradecast.lifecycle.admission import Admission
from tradecast.lifecycle.rollout import Rollout

RefusalCode = Literal["SERVER_BUSY", "SERVER_DRAINING", "SERVER_SUPERSEDED", "ADDRESS_BUSY"]
RETRY_AFTER_SECONDS = 2


class PerAddress(Protocol):
    """Limits the transports of one client address."""

    def find_network(self, request: Request) -> Network | None:
        """The network that a handshake comes from; None if it is not counted."""
        ...

    def has_room_for(self, network: Network) -> bool:
        """Whether a network may open one more transport; if need be, an unauthenticated one of its own is closed."""
        ...

    def add_waiting(self, network: Network) -> None:
        """A handshake from this network waits for its turn."""
        ...

    def remove_waiting(self, network: Network) -> None:
        """A handshake from this network waits no longer."""
        ...


class Capacity(Protocol):
    """Limits the connections of this server."""

    def is_full(self) -> bool:
        """Whether the server can accept no more; if need be, an unauthenticated connection is closed to make room."""
        ...


class RefusalObserver(Protocol):
    """Is notified of refusals: the metrics."""

    def refused(self, code: str) -> None:
        """A handshake was refused with this code, a `RefusalCode`."""
        ...


class HandshakeCheck(Protocol):
    """Checks handshakes: the engine."""

    def check_handshake(self, request: Request) -> Refusal | None:
        """The refusal of a request that cannot succeed as a handshake; None if it can."""
        ...


class HandshakeGate:
    """ASGI middleware for the Engine.IO path.

    Args:
        app: Gets the requests that are accepted.
        capacity: Limits the connections of this server.
        observer: Is notified of refusals.
        admission: Limits the rate at which handshakes are accepted; None: no limit.
        rollout: Knows whether new clients should go to servers of a newer revision; None: they never do.
        check: Finds requests that cannot succeed, so that they take no slot of `admission`; None: no check.
        addresses: Limits the transports of one client address; None: no limit.

    Attributes:
        accepting: Whether new clients are accepted.
        waiting: The number of handshakes that wait for their turn.
    """

    def __init__(
        self,
        app: ASGIApp,
        capacity: Capacity,
        observer: RefusalObserver,
        *,
        admission: Admission | None = None,
        rollout: Rollout | None = None,
        check: HandshakeCheck | None = None,
        addresses: PerAddress | None = None,
    ) -> None:
        self._app = app
        self._capacity = capacity
        self._observer = observer
        self._admission = admission
        self._rollout = rollout
        self._check = check
        self._addresses = addresses
        self.accepting = True
        self.waiting = 0

    def stop_accepting(self) -> None:
        """Refuse new clients, including those that wait for their turn."""
        self.accepting = False

    def resume_accepting(self) -> None:
        """Accept new clients again."""
        self.accepting = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 503 if it is a handshake that is refused."""
        websocket = scope["type"] == "websocket"
        refusal = self.admit(Request.of_scope(scope))
        if isinstance(refusal, Awaitable):
            waiting = asyncio.ensure_future(refusal)
            # A handshake has no body, so the only message that can come is that the client has disconnected.
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
        """Decide about a request: None accepts it, as always if it is no handshake; an awaitable decides later."""
        if request.method != "GET" or "sid" in request.query:
            return None
        if self._check is not None and self._check.check_handshake(request) is not None:
            return None  # the engine refuses it
        network = None if self._addresses is None else self._addresses.find_network(request)
        code = self._find_refusal(network)
        if code is None and self._admission is not None:
            wait = self._admission.reserve(time.monotonic())
            if wait:
                if network is not None and self._addresses is not None:
                    self._addresses.add_waiting(network)
                return self._wait(wait, network)
            code = "SERVER_BUSY" if wait is None else None
        return None if code is None else self._refuse(code)

    async def _wait(self, wait: float, network: Network | None) -> Refusal | None:
        self.waiting += 1
        try:
            await asyncio.sleep(wait)
        except asyncio.CancelledError:
            if self._admission is not None:
                self._admission.release()
            raise
        finally:
            self.waiting -= 1
            if network is not None and self._addresses is not None:
                self._addresses.remove_waiting(network)
        code = self._find_refusal()  # the server may have stopped accepting meanwhile
        return None if code is None else self._refuse(code)

    def _refuse(self, code: RefusalCode) -> Refusal:
        self._observer.refused(code)
        return _REFUSALS[code]

    def _find_refusal(self, network: Network | None = None) -> RefusalCode | None:
        if not self.accepting:
            return "SERVER_DRAINING"
        if self._rollout is not None and self._rollout.superseded:
            return "SERVER_SUPERSEDED"
        # Before the server's capacity is checked: that may close another client's transport to make room.
        if network is not None and self._addresses is not None and not self._addresses.has_room_for(network):
            return "ADDRESS_BUSY"
        return "SERVER_BUSY" if self._capacity.is_full() else None


async def _until_gone(receive: Receive, waiting: asyncio.Future[Refusal | None]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    waiting.cancel()


_REFUSALS: dict[RefusalCode, Refusal] = {
    code: Refusal.of(
        503, {"code": code, "message": "Try again in a moment"}, (b"retry-after", b"%d" % RETRY_AFTER_SECONDS)
    )
    for code in get_args(RefusalCode)
}
