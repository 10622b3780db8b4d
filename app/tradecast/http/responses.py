"""Answers as JSON, and the one way to refuse a request from inside a route."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

Handler = Callable[[Request], Awaitable[Response]]


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


async def show_refusal(request: Request, error: Exception) -> Response:
    """The answer to a request that was refused, by a route or by Starlette."""
    if isinstance(error, Refused):
        return JsonResponse(error.body, error.status_code, error.headers)
    assert isinstance(error, HTTPException)  # noqa: S101 the type that it is registered for
    code = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}.get(error.status_code, "HTTP_ERROR")
    return JsonResponse({"code": code, "message": error.detail}, error.status_code, error.headers)
