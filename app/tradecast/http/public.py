"""The public port: which requests are for Socket.IO, and which are for the routes beside it."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from tradecast.engine.http.asgi import send_refusal
from tradecast.engine.http.handshake import Entrance, Refusal, Verdict
from tradecast.engine.http.request import Request as EngineRequest
from tradecast.http.health import HEALTH_PATHS

TLS_REQUIRED = Refusal.of(403, {"code": "TLS_REQUIRED", "message": "Use https:// or wss://"})


class PublicApp:
    """The public port: Socket.IO under its path, the routes everywhere else.

    No Starlette `Mount`: Socket.IO's requests would pass through a router, which every poll would pay for.

    Args:
        sockets: The app behind `socket_path`.
        routes: The app for the rest.
        require_tls: Refuse what did not come over TLS, according to X-Forwarded-Proto or the connection itself.
        socket_path: With a slash at both ends.
    """

    def __init__(
        self, sockets: ASGIApp, routes: ASGIApp, *, require_tls: bool = False, socket_path: str = "/socket.io/"
    ) -> None:
        self._sockets = sockets
        self._routes = routes
        self._require_tls = require_tls
        self._socket_path = socket_path
        self._elsewhere = sockets_are_at(socket_path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket."""
        root, path = scope.get("root_path", "").rstrip("/"), scope["path"]
        if root and path.startswith(f"{root}/"):  # mounted below a path
            path = "/" + path[len(root) :].lstrip("/")  # uvicorn: a root path that ends in a slash leaves two
        websocket = scope["type"] == "websocket"
        if self._require_tls and path not in HEALTH_PATHS and not EngineRequest.of_scope(scope).secure:
            await send_refusal(send, TLS_REQUIRED, websocket=websocket)
        elif is_socket_path(path, self._socket_path):
            await self._sockets(scope, receive, send)
        elif websocket or b"EIO=" in scope.get("query_string", b""):  # a client that has another path
            await send_refusal(send, self._elsewhere, websocket=websocket)
        else:
            await self._routes(scope, receive, send)


class PublicEntrance:
    """Admits WebSockets on the public port before the engine takes them (`Entrance`), by the rules of `PublicApp`.

    Args:
        steps: What decides after path and TLS, in order; the first that does not admit the request decides.
        require_tls: See `PublicApp`.
        socket_path: See `PublicApp`.
    """

    def __init__(self, steps: Sequence[Entrance], *, require_tls: bool, socket_path: str) -> None:
        self._steps = steps
        self._require_tls = require_tls
        self._socket_path = socket_path
        self._elsewhere = sockets_are_at(socket_path)

    def admit(self, request: EngineRequest) -> Verdict | Awaitable[Verdict]:
        """See `Entrance`."""
        if self._require_tls and not request.secure:
            return TLS_REQUIRED
        if not is_socket_path(request.path, self._socket_path):
            return self._elsewhere
        for number, step in enumerate(self._steps):
            verdict = step.admit(request)
            if isinstance(verdict, Awaitable):
                return self._admit_later(verdict, request, number + 1)
            if verdict is not None:
                return verdict
        return None

    async def _admit_later(self, pending: Awaitable[Verdict], request: EngineRequest, after: int) -> Verdict:
        verdict = await pending
        for step in self._steps[after:]:
            if verdict is not None:
                break
            following = step.admit(request)
            verdict = await following if isinstance(following, Awaitable) else following
        return verdict


def is_socket_path(path: str, socket_path: str) -> bool:
    """Whether a request's path is Socket.IO's, which has a slash at both ends."""
    return path.startswith(socket_path) or path == socket_path[:-1]


def sockets_are_at(socket_path: str) -> Refusal:
    """The answer to a client that looks for Socket.IO at another path."""
    return Refusal.of(404, {"code": "NOT_FOUND", "message": f"Socket.IO is at {socket_path}"})
