"""The demo's page and the few requests it makes beside Socket.IO."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import orjson
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from tradecast.demo.feed import Feed
from tradecast.demo.static_files import StaticFile, load_static_files, make_etag, respond_file
from tradecast.demo.users import DEMO_USERS, DemoUser, find_user
from tradecast.sessions.errors import StoreUnavailable
from tradecast.sessions.models import User

MAX_BODY = 4_096  # bytes
MAX_DAYS = 250
SESSION_SECONDS = 12 * 3_600.0

# Everything from this server and nothing inline. 'self' covers the WebSocket of the same origin (CSP Level 3).
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}

log = structlog.stdlib.get_logger("tradecast.demo")

Endpoint = Callable[[Request], Awaitable[Response]]


class Sessions(Protocol):
    """What the page needs of the sessions. Both raise `StoreUnavailable` when the store does not answer."""

    async def create(self, user: User, max_age: float) -> tuple[str, float]:
        """A new session of at most `max_age` seconds: its id, and the Unix time in seconds at which it ends."""
        ...

    async def revoke(self, ids: Sequence[str]) -> int:
        """End sessions and their connections; how many there were."""
        ...


class PageSettings(Protocol):
    """The settings the page reads."""

    @property
    def session_max_age(self) -> float: ...
    @property
    def socket_path(self) -> str: ...


class BadRequest(Exception):
    """An invalid request; the text says why and is sent to the client."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def demo_routes(sessions: Sessions, feed: Feed, settings: PageSettings) -> list[BaseRoute]:
    """The routes of the page, for the public port.

    Args:
        sessions: Creates and revokes the demo users' sessions, without a password: never offer this beside real users.
        feed: The running feed: the replayed day, and the prices before it.
        settings: `socket_path`, and `session_max_age`, which a demo session's 12 hours do not exceed.
    """
    files = load_static_files()
    # Relative to the page, which may be below a path that a proxy takes away.
    files["index.html"] = _with_path(files["index.html"], settings.socket_path.lstrip("/"))
    max_age = min(SESSION_SECONDS, settings.session_max_age)

    async def index(request: Request) -> Response:
        return respond_file(request, files["index.html"])

    async def static(request: Request) -> Response:
        name = request.path_params["path"]
        file = files.get(name)
        if file is None:
            raise BadRequest("There is no such file", 404)
        return respond_file(request, file)

    async def users(request: Request) -> Response:
        return JSONResponse({"users": [_describe_user(demo) for demo in DEMO_USERS]})

    async def login(request: Request) -> Response:
        name = (await _json_object(request)).get("user")
        demo = find_user(name) if isinstance(name, str) else None
        if demo is None:
            raise BadRequest(f"user must be one of {', '.join(demo.id for demo in DEMO_USERS)}")
        session_id, expires_at = await sessions.create(demo.user, max_age)
        log.info("demo log-in", user_id=demo.id)
        answer = {
            "sessionID": session_id,
            "userId": demo.id,
            "userName": demo.user.name,
            "tier": demo.user.tier,
            "isAdmin": demo.user.is_admin,
            "expiresAt": round(expires_at * 1000),
        }
        return JSONResponse(answer)

    async def logout(request: Request) -> Response:
        session_id = (await _json_object(request)).get("sessionID")
        if not isinstance(session_id, str) or not 0 < len(session_id) <= 512:
            raise BadRequest("sessionID must be the string that the log-in returned")
        return JSONResponse({"revoked": await sessions.revoke([session_id]) > 0})

    async def history(request: Request) -> Response:
        symbol = request.query_params.get("symbol", "")
        series = feed.prices.get(symbol)
        if series is None:
            raise BadRequest(f"symbol must be one of {', '.join(feed.prices)}")
        text = request.query_params.get("days", "60")
        days = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
        if not 1 <= days <= MAX_DAYS:
            raise BadRequest(f"days must be an integer from 1 to {MAX_DAYS}")
        moment = feed.moment
        closes = [{"date": bar.day.isoformat(), "close": bar.close / 100} for bar in series.before(moment.day, days)]
        return JSONResponse({"symbol": symbol, "date": moment.day.isoformat(), "replay": True, "closes": closes})

    return [
        Route("/", _guard_endpoint(index), methods=["GET"]),
        Route("/demo/static/{path:path}", _guard_endpoint(static), methods=["GET"]),
        Route("/demo/users", _guard_endpoint(users), methods=["GET"]),
        Route("/demo/login", _guard_endpoint(login), methods=["POST"]),
        Route("/demo/logout", _guard_endpoint(logout), methods=["POST"]),
        Route("/demo/history", _guard_endpoint(history), methods=["GET"]),
    ]


def _with_path(page: StaticFile, path: str) -> StaticFile:
    """The page, with the path of Socket.IO for its script."""
    content = page.content.replace(b'content="socket.io/"', f'content="{path}"'.encode())
    return StaticFile(content, page.media_type, make_etag(content))


def _guard_endpoint(endpoint: Endpoint) -> Endpoint:
    """The endpoint with the security headers, and its refusals as JSON."""

    async def guarded(request: Request) -> Response:
        try:
            response = await endpoint(request)
        except BadRequest as wrong:
            response = JSONResponse({"error": str(wrong)}, wrong.status)
        except StoreUnavailable:
            response = JSONResponse({"error": "Sessions cannot be reached now; try again"}, 503, {"Retry-After": "1"})
        for name, value in HEADERS.items():
            response.headers[name] = value
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return guarded


def _describe_user(demo: DemoUser) -> dict[str, Any]:
    user = demo.user
    return {"id": user.id, "name": user.name, "tier": user.tier, "isAdmin": user.is_admin}


async def _json_object(request: Request) -> dict[str, Any]:
    # The type keeps other sites' forms out: browsers send JSON across origins only after asking.
    if request.headers.get("Content-Type", "").split(";")[0].strip().lower() != "application/json":
        raise BadRequest("Content-Type must be application/json", 415)
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                raise BadRequest(f"The body is larger than {MAX_BODY} bytes", 413)
    except ClientDisconnect:
        raise BadRequest("The body is incomplete") from None
    try:
        value = orjson.loads(bytes(body))
    except orjson.JSONDecodeError:
        raise BadRequest("The body is not JSON") from None
    if not isinstance(value, dict):
        raise BadRequest("The body must be a JSON object")
    return value
