"""The routes of a port as an app, with a request id and a log line for every request."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence

import structlog
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tradecast.engine.compression.gzip import LEVEL, SMALLEST, accepts_gzip
from tradecast.engine.http.asgi import send_refusal
from tradecast.engine.http.handshake import Refusal
from tradecast.http.emit import SCHEMA_PATH
from tradecast.http.health import HEALTH_PATHS
from tradecast.http.metrics_page import METRICS_PATH
from tradecast.http.responses import JsonResponse, show_refusal
from tradecast.observability.throttled_log import ThrottledLog

NO_SOCKETS_HERE = Refusal.of(404, {"code": "NOT_FOUND", "message": "There are no WebSockets here"})
STOPPING = Refusal.of(503, {"code": "SERVER_STOPPING", "message": "The server is stopping; try another one"})
# Requested all the time, or by anybody: their log lines are for debugging.
QUIET_PATHS = (*HEALTH_PATHS, METRICS_PATH, SCHEMA_PATH)
ACCEPT_ENCODING = b"accept-encoding"
log = structlog.stdlib.get_logger("tradecast.http")


def create_app(routes: Sequence[BaseRoute], lines: ThrottledLog | None = None, *, compress: bool = True) -> ASGIApp:
    """An app of routes in which every error is JSON with a code and a sentence, and never a stack trace.

    Args:
        routes: What is served.
        lines: Writes the log lines of refused requests, which strangers can cause.
        compress: Whether large answers are compressed for clients that accept it.
    """
    return Starlette(
        routes=list(routes),
        middleware=[
            Middleware(RequestLog, routes=routes, lines=lines or ThrottledLog()),
            *([Middleware(Gzip)] if compress else []),
        ],
        exception_handlers={HTTPException: show_refusal},
    )


class Gzip:
    """ASGI middleware: Starlette's, which looks for `gzip` anywhere in Accept-Encoding, behind a reader of its weights.

    No route has a secret beside what others may have written, which could be guessed by how far an answer shrinks
    (BREACH): session ids are in answers of their own, shorter than `SMALLEST`, and tokens are in none.

    Args:
        app: What is compressed.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = GZipMiddleware(app, minimum_size=SMALLEST, compresslevel=LEVEL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = [(name, value) for name, value in scope["headers"] if name != ACCEPT_ENCODING]
            if accepts_gzip(", ".join(Headers(scope=scope).getlist(ACCEPT_ENCODING.decode()))):
                headers.append((ACCEPT_ENCODING, b"gzip"))
            scope = {**scope, "headers": headers}
        await self._app(scope, receive, send)


class RequestLog:
    """ASGI middleware: a request id, one log line per request, and 500 as JSON.

    Lines of refused requests are throttled, by route and status: strangers can make as many as they like. A line has no
    address, no query string, and of the path only the route's pattern: a stranger's may hold anything.

    Args:
        app: The routes.
        routes: The same, for their patterns.
        lines: Writes the lines of refused requests.
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
                    answer = JsonResponse({"code": "INTERNAL", "message": "Something went wrong on the server"}, 500)
                    await answer(scope, receive, send_with_id)
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
