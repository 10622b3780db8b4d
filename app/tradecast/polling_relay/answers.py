"""What a server says itself about a request that it should pass on."""

from __future__ import annotations

from starlette.types import Scope, Send

from tradecast.engine.http.asgi import send_refusal
from tradecast.engine.http.handshake import Refusal
from tradecast.polling_relay.http_heads import Header


def refusal_of_error(status: int, code: str, message: str, *headers: Header) -> Refusal:
    """An answer with a status, and with JSON that says why."""
    return Refusal.of(status, {"code": code, "message": message}, (b"cache-control", b"no-store"), *headers)


async def refuse(scope: Scope, send: Send, refusal: Refusal) -> None:
    """Answer a request or a WebSocket's handshake over ASGI."""
    await send_refusal(send, refusal, websocket=scope["type"] == "websocket")
