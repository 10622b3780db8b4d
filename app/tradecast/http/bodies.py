"""Bodies of requests: bounded, decoded, checked."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request

from tradecast.http.responses import Refused
from tradecast.sessions.admin import InvalidRequest

MAX_BODY = 1_000_000


async def read_json(request: Request, load: Callable[[bytes | bytearray], Any] = orjson.loads) -> Any:
    """The request's body, decoded.

    Args:
        request: What it came with.
        load: Decodes it; raises ValueError when it is not JSON.

    Raises:
        Refused: 413 when it exceeds `MAX_BODY` bytes, 400 when it is not JSON or the client went away.
    """
    body = await read_body(request, MAX_BODY)
    try:
        return load(body)
    except ValueError:
        if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise Refused(400, "INVALID_JSON", "The body is compressed: send it without Content-Encoding") from None
        raise Refused(400, "INVALID_JSON", "The body is not JSON") from None


async def read_body(request: Request, most: int) -> bytes:
    """The body, of so many bytes at most. Raises Refused: 413, 400."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                raise Refused(413, "TOO_LARGE", f"The body has more than {most} bytes")
    except ClientDisconnect:
        raise Refused(400, "INCOMPLETE", "The body is incomplete") from None
    return bytes(body)


async def read_fields(request: Request, known: Collection[str]) -> dict[str, Any]:
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
