"""What a server says itself about a request that it should pass on."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from starlette.types import Scope, Send

from tradecast.adapter.forwarding.heads import Header


async def refuse(
    scope: Scope, send: Send, status: int, code: str, message: str, headers: Sequence[Header] = ()
) -> None:
    """Answer a request or a WebSocket's handshake with a status, and with JSON that says why."""
    kind = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
    content = orjson.dumps({"code": code, "message": message})
    own = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": f"{kind}.start", "status": status, "headers": [*own, *headers]})
    await send({"type": f"{kind}.body", "body": content})
