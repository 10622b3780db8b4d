"""The HTTP routes beside Socket.IO, on the public and on the admin port."""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import orjson
import structlog
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tradecast.background.tasks import cancel_and_wait
from tradecast.causes import SOME_REDIS, Cause, explain
from tradecast.delivery.errors import AdapterUnavailable, PublishUncertain
from tradecast.engine.http.asgi import send_refusal
from tradecast.engine.http.handshake import Entrance, Refusal, Verdict
from tradecast.engine.http.request import Request as EngineRequest
from tradecast.events.emit_requests import InvalidEvents, parse_batch, publish_schema
from tradecast.events.emitters import Emitters
from tradecast.events.symbols import Symbols
from tradecast.http.signed_requests import SCHEME, SignedRequests
from tradecast.lifecycle.drain import Drain, DrainConflict
from tradecast.observability.throttled_log import ThrottledLog
from tradecast.packets import exact
from tradecast.sessions.admin import InvalidRequest, NewSession, SessionAdmin, selection
from tradecast.sessions.errors import StoreUnavailable
from tradecast.tokens import any_token_matches

MAX_BODY = 1_000_000
# Of a signed request, which is read before it is known whose it is.
MAX_SIGNED_BODY = 4_096
# Of what a request says of draining and shedding, in these units.
MOST = {"rate": 100_000, "timeout": 86_400}
UNITS = {"rate": "connections per second", "timeout": "seconds"}
HEALTH_PATHS = (
    *("/health", "/health/startup", "/health/ready", "/health/live"),
    *("/health/redis", "/health/database"),
)
# Asked all the time, or by anybody: their log lines are for debugging.
QUIET_PATHS = (*HEALTH_PATHS, "/metrics", "/api/emit/schema")
NO_SOCKETS_HERE = Refusal.of(404, {"code": "NOT_FOUND", "message": "There are no WebSockets here"})
TLS_REQUIRED = Refusal.of(403, {"code": "TLS_REQUIRED", "message": "Use https:// or wss://"})
STOPPING = Refusal.of(503, {"code": "SERVER_STOPPING", "message": "The server stops; try another one"})
INTERNAL_ERROR = Refusal.of(500, {"code": "INTERNAL", "message": "Something went wrong on the server"})
log = structlog.stdlib.get_logger("tradecast.http")


class HealthChecks(Protocol):
    """What the health routes tell."""

    def alive(self) -> dict[str, Any]: ...
    async def check(self, name: str, *, addresses: bool = False) -> tuple[int, dict[str, Any]]: ...
    def causes(self) -> Mapping[str, str]: ...


class Figures(Protocol):
    """What `/metrics` tells."""

    def render_prometheus(self, accept: str) -> tuple[str, bytes]: ...
    def render_json(self) -> dict[str, Any]: ...


class JsonResponse(Response):
    """JSON by orjson, never cached."""

    media_type = "application/json"

    def __init__(self, content: Any, status_code: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(orjson.dumps(content), status_code, {"cache-control": "no-store", **(headers or {})})


class Refused(HTTPException):
    """A request that is answered with a code and a sentence."""

    def __init__(
        self, status: int, code: str, message: str, *, headers: dict[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(status, message, headers)
        self.body = {"code": code, "message": message, **more}


# -- who may


def require_token(request: Request, tokens: Sequence[SecretStr]) -> None:
    """Pass if the request carries one of the bearer tokens (RFC 6750).

    Raises:
        Refused: 401.
    """
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    candidate = given.strip().encode("latin-1")  # the bytes that were sent
    ok = any_token_matches(candidate, (token.get_secret_value().encode() for token in tokens))
    if scheme.lower() != "bearer" or not ok:
        message = "A valid bearer token is required"
        raise Refused(401, "UNAUTHORIZED", message, headers={"www-authenticate": 'Bearer realm="tradecast"'})


def require_loopback(request: Request) -> None:
    """Pass if the request was made on this machine, by a program: not through a proxy, and not by a page in a browser.

    A page could send it from any site (cross-site requests), or read the answer (DNS rebinding).

    Raises:
        Refused: 403.
    """
    forwarded = any(name in request.headers for name in ("x-forwarded-for", "forwarded", "origin"))
    if forwarded or not _is_loopback(request.client.host if request.client else "") or not _is_loopback(_host(request)):
        raise Refused(403, "FORBIDDEN", "Without ADMIN_TOKEN, admin routes answer programs on this machine only")


def _host(request: Request) -> str:
    return urlsplit(f"//{request.headers.get('host', '')}").hostname or ""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# -- routes


def health_routes(
    health: HealthChecks,
    is_ready: Callable[[], bool] = lambda: True,
    is_superseded: Callable[[], bool] = lambda: False,
    *,
    private: bool = False,
) -> list[BaseRoute]:
    """`/health`, the three that Kubernetes asks for, and one route per dependency.

    Where a dependency that is down should be, host and port, is told on a private port alone. Readiness names what is
    down and why, and does not depend on it.

    Startup and liveness say no more than that the event loop serves requests: a Redis or MongoDB that is away is no
    reason to restart a server whose clients wait for it to come back. Readiness is off while the server drains.

    A superseded server stays ready and says that it is superseded: taken out of the Service it would count as a pod
    that is missing (for disruption budgets, alerts, and the rollout's own arithmetic), and should the newer revision
    fail, it could take clients only after the endpoints had followed.
    """

    async def alive(request: Request) -> Response:
        return JsonResponse(health.alive())

    async def ready(request: Request) -> Response:
        found = {name: {"status": "down", "cause": cause} for name, cause in health.causes().items()}
        if not is_ready():
            return JsonResponse({"status": "draining", **found}, 503)
        return JsonResponse({"status": "superseded" if is_superseded() else "ready", **found})

    def dependency(name: str) -> Callable[[Request], Awaitable[Response]]:
        async def check(request: Request) -> Response:
            status, body = await health.check(name, addresses=private)
            return JsonResponse(body, status)

        return check

    return [
        Route("/health", alive),
        Route("/health/startup", alive),
        Route("/health/live", alive),
        Route("/health/ready", ready),
        Route("/health/redis", dependency("redis")),
        Route("/health/database", dependency("database")),
    ]


def metrics_route(figures: Figures) -> BaseRoute:
    """`/metrics`: Prometheus text, or JSON where the client asks for that."""

    async def metrics(request: Request) -> Response:
        accept = request.headers.get("accept", "")
        if "application/json" in accept:
            return JsonResponse(figures.render_json(), headers={"vary": "accept"})
        content_type, text = figures.render_prometheus(accept)
        return Response(text, headers={"content-type": content_type, "vary": "accept", "cache-control": "no-store"})

    return Route("/metrics", metrics)


def emit_routes(emitters: Emitters, tokens: Sequence[SecretStr], symbols: Symbols | None = None) -> list[BaseRoute]:
    """`POST /api/emit`, and its schema."""

    async def emit(request: Request) -> Response:
        if not tokens:
            raise Refused(403, "EMIT_CLOSED", "Set API_TOKEN to open this route")
        require_token(request, tokens)
        body = await read_json(request, exact.load)
        try:
            parsed = parse_batch(body, symbols)
        except InvalidEvents as invalid:
            raise Refused(422, "INVALID_EVENT", str(invalid), problems=invalid.problems) from None
        outcome = await _emit_all(parsed.events, emitters)
        more: dict[str, Any] = {}
        if parsed.refused:
            more = {"refused": parsed.refused, "problems": parsed.problems}
        if outcome.failed or outcome.uncertain:
            message = "Redis did not take these events: repeat those that failed; of the uncertain ones nobody knows"
            more |= {"accepted": outcome.accepted, "failed": outcome.failed, "uncertain": outcome.uncertain}
            if outcome.cause is not None:
                more |= {"cause": str(outcome.cause.code), "reason": outcome.cause.without_address}
            raise Refused(503, "UNAVAILABLE", message, **more)
        return JsonResponse({"accepted": outcome.accepted, **more}, 202)

    async def schema(request: Request) -> Response:
        return JsonResponse(publish_schema())

    return [Route("/api/emit", emit, methods=["POST"]), Route("/api/emit/schema", schema)]


@dataclass(slots=True)
class _Outcome:
    """What became of events, by their numbers."""

    accepted: int
    failed: list[int]
    uncertain: list[int]
    cause: Cause | None = None


async def _emit_all(events: Sequence[tuple[int, Any]], emitters: Emitters) -> _Outcome:
    """Emit events, all at once and in order: they share round trips. Whatever happens, it says what became of each."""
    tasks = {number: asyncio.ensure_future(event.emit(emitters)) for number, event in events}
    try:
        await asyncio.wait(tasks.values())
    except asyncio.CancelledError:  # the server stops, and this request has had its time
        await cancel_and_wait(*tasks.values())
    outcome = _Outcome(0, [], [])
    for number, task in tasks.items():
        error: BaseException | None = asyncio.CancelledError() if task.cancelled() else task.exception()
        if isinstance(error, AdapterUnavailable) and outcome.cause is None:
            outcome.cause = explain(error, SOME_REDIS)
        if error is None:
            outcome.accepted += 1
        elif isinstance(error, AdapterUnavailable) and not isinstance(error, PublishUncertain):
            outcome.failed.append(number)
        else:
            outcome.uncertain.append(number)
            if not isinstance(error, PublishUncertain | asyncio.CancelledError):
                log.error("an event could not be emitted", exc_info=error)
    return outcome


def admin_routes(
    sessions: SessionAdmin,
    stats: Callable[[], dict[str, Any]],
    tokens: Sequence[SecretStr],
    longest_session: float,
    signed: SignedRequests | None = None,
) -> list[BaseRoute]:
    """`/admin/…` for sessions and stats: behind a token, or open to this machine where none is set.

    Args:
        sessions: What is done to sessions.
        stats: What is told of this server.
        tokens: ADMIN_TOKEN.
        longest_session: Seconds that a new session may last.
        signed: Opens stats as well, and no session.
    """

    async def get_stats(request: Request) -> Response:
        return JsonResponse(stats())

    async def list_sessions(request: Request) -> Response:
        listed = await sessions.list(request.query_params.get("userId"))
        return JsonResponse({"sessions": [session.as_dict() for session in listed]})

    async def create_session(request: Request) -> Response:
        return JsonResponse(await sessions.create(NewSession.parse(await read_json(request), longest_session)), 201)

    async def revoke_sessions(request: Request) -> Response:
        return JsonResponse({"revoked": await sessions.revoke(**selection(await read_json(request)))})

    return [
        Route("/admin/stats", _guarded(get_stats, tokens, signed)),
        Route("/admin/sessions", _guarded(list_sessions, tokens), methods=["GET"]),
        Route("/admin/sessions", _guarded(create_session, tokens), methods=["POST"]),
        Route("/admin/sessions/revoke", _guarded(revoke_sessions, tokens), methods=["POST"]),
    ]


def drain_routes(drain: Drain, tokens: Sequence[SecretStr], signed: SignedRequests | None = None) -> list[BaseRoute]:
    """`/admin/drain` and `/admin/shed`, guarded as `/admin/stats`."""

    async def start(request: Request) -> Response:
        body = await _fields(request, {"rate", "timeout"})
        drain.start(_positive(body, "rate"), _positive(body, "timeout"))
        return JsonResponse(drain.stats(), 202)

    async def cancel(request: Request) -> Response:
        return JsonResponse({"cancelled": drain.cancel()})

    async def shed(request: Request) -> Response:
        body = await _fields(request, {"count", "rate"})
        count = body.get("count")
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise InvalidRequest("count: is a whole number of at least 1")
        return JsonResponse({"shedding": drain.shed(count, _positive(body, "rate"))}, 202)

    return [
        Route("/admin/drain", _guarded(start, tokens, signed), methods=["POST"]),
        Route("/admin/drain", _guarded(cancel, tokens, signed), methods=["DELETE"]),
        Route("/admin/shed", _guarded(shed, tokens, signed), methods=["POST"]),
    ]


def _guarded(
    handler: Callable[[Request], Awaitable[Response]],
    tokens: Sequence[SecretStr],
    signed: SignedRequests | None = None,
) -> Callable[[Request], Awaitable[Response]]:
    async def guard(request: Request) -> Response:
        if not tokens:
            require_loopback(request)
        elif signed is None:
            require_token(request, tokens)
        elif signed.nonce_of(request.headers.get("authorization", "")) is not None:
            return await _answer_signed(request, handle, signed)
        else:
            try:
                require_token(request, tokens)
            except Refused as refused:
                raise _offering(refused, signed) from None
        return await handle(request)

    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except InvalidRequest as invalid:
            raise Refused(422, "INVALID_REQUEST", str(invalid)) from None
        except StoreUnavailable as away:
            why = "The session store does not answer" if away.cause is None else away.cause.sentence
            raise Refused(503, "UNAVAILABLE", why) from None
        except DrainConflict as conflict:
            raise Refused(409, "CONFLICT", str(conflict)) from None

    return guard


async def _answer_signed(
    request: Request, handle: Callable[[Request], Awaitable[Response]], signed: SignedRequests
) -> Response:
    """Raises Refused: 401, with another nonce; 413."""
    body = await _read(request, MAX_SIGNED_BODY)
    scope = request.scope
    target = scope.get("raw_path") or scope["path"].encode()
    if scope["query_string"]:
        target += b"?" + scope["query_string"]
    if not signed.accept(request.headers["authorization"], scope["method"], target, body):
        raise _offering(Refused(401, "UNAUTHORIZED", "The signature is wrong, or for another pod, or used"), signed)

    async def replay() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    more = {"authentication-info": f'nextnonce="{signed.offer()}"'}
    try:
        response = await handle(Request(scope, replay))
    except Refused as refused:
        refused.headers = {**(refused.headers or {}), **more}
        raise
    response.headers.update(more)
    return response


def _offering(refused: Refused, signed: SignedRequests) -> Refused:
    told = f'Bearer realm="tradecast", {SCHEME} nonce="{signed.offer()}"'
    refused.headers = {**(refused.headers or {}), "www-authenticate": told}
    return refused


async def _fields(request: Request, known: set[str]) -> dict[str, Any]:
    """The object in the request's body; an empty body is an empty object."""
    if request.headers.get("content-length", "") in ("", "0") and "transfer-encoding" not in request.headers:
        return {}
    body = await read_json(request)
    if not isinstance(body, dict):
        raise InvalidRequest("The body is not an object")
    unknown = sorted(str(name)[:50] for name in body if name not in known)
    if unknown:
        raise InvalidRequest(f"{unknown[0]}: there is no such field")
    return body


def _positive(body: Mapping[str, Any], name: str) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= MOST[name]:
        raise InvalidRequest(f"{name}: is a number of {UNITS[name]}, above 0 and at most {MOST[name]}")
    return float(value)


async def read_json(request: Request, load: Callable[[bytes | bytearray], Any] = orjson.loads) -> Any:
    """The request's body, decoded.

    Args:
        request: What it came with.
        load: Decodes it; raises ValueError when it is not JSON.

    Raises:
        Refused: 413 when it is over `MAX_BODY` bytes, 400 when it is not JSON or the client went away.
    """
    body = await _read(request, MAX_BODY)
    try:
        return load(body)
    except ValueError:
        raise Refused(400, "INVALID_JSON", "The body is not JSON") from None


async def _read(request: Request, most: int) -> bytes:
    """The body, of so many bytes at most. Raises Refused: 413, 400."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                raise Refused(413, "TOO_LARGE", f"The body has more than {most} bytes")
    except ClientDisconnect:
        raise Refused(400, "INCOMPLETE", "The body has not come to its end") from None
    return bytes(body)


# -- apps


def create_app(routes: Sequence[BaseRoute], lines: ThrottledLog | None = None) -> ASGIApp:
    """An app of routes in which every error is JSON with a code and a sentence, and never a stack trace.

    Args:
        routes: What is served.
        lines: Writes the log lines of requests that were refused, which strangers can cause.
    """

    async def on_refused(request: Request, error: Exception) -> Response:
        if isinstance(error, Refused):
            return JsonResponse(error.body, error.status_code, error.headers)
        assert isinstance(error, HTTPException)  # noqa: S101 the type that it is registered for
        code = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}.get(error.status_code, "HTTP_ERROR")
        return JsonResponse({"code": code, "message": error.detail}, error.status_code, error.headers)

    async def on_error(request: Request, error: Exception) -> Response:
        # Starlette raises it again after this answer, and `RequestLog` logs it.
        return JsonResponse({"code": "INTERNAL", "message": "Something went wrong on the server"}, 500)

    app = Starlette(routes=list(routes), exception_handlers={HTTPException: on_refused, Exception: on_error})
    return RequestLog(app, routes, lines or ThrottledLog())


class RequestLog:
    """ASGI middleware: a request id, one log line per request, and 500 as JSON.

    Requests that were refused have a line seldom, by route and status: strangers can make as many as they like.
    No address, no query string, and of the path only the route's pattern: a stranger's may hold anything.
    """

    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute], lines: ThrottledLog) -> None:
        self._app = app
        self._routes = routes
        self._lines = lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send_refusal(send, NO_SOCKETS_HERE, websocket=True)
            return
        request_id = secrets.token_hex(8)
        started = time.perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                headers.setdefault("x-content-type-options", "nosniff")
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_id)
            except asyncio.CancelledError:  # the server stops, and this request has had its time
                if not status:  # the HTTP server would say 500
                    await send_refusal(send_with_id, STOPPING)
                raise
            except Exception:
                log.exception("request failed")
                if not status:
                    await send_refusal(send_with_id, INTERNAL_ERROR)
            finally:
                fields = {"method": scope["method"], "path": self._pattern(scope), "status": status}
                fields["duration_ms"] = round((time.perf_counter() - started) * 1000, 1)
                if status >= 400:
                    self._lines.write(log.info, "request", kind=f"{fields['path']} {status}", **fields)
                else:
                    line = log.debug if scope["path"] in QUIET_PATHS else log.info
                    line("request", **fields)

    def _pattern(self, scope: Scope) -> str:
        matching = (route for route in self._routes if route.matches(scope)[0] is not Match.NONE)
        return str(getattr(next(matching, None), "path", "other"))


class PublicApp:
    """The public port: Socket.IO under its path, the routes everywhere else.

    Args:
        sockets: The app behind `socket_path`.
        routes: The app for the rest.
        require_tls: Refuse what did not come over TLS, as X-Forwarded-Proto or the connection itself tells.
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
    """What WebSockets on the public port pass before the engine takes them (`Entrance`): the rules of `PublicApp`.

    Args:
        steps: Those behind the path and TLS, in order; the first that does not let it in decides.
        require_tls: As of `PublicApp`.
        socket_path: As of `PublicApp`.
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
