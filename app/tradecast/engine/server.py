"""The Engine.IO server: python-engineio's, with one call that takes encoded bytes and their recipients."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Literal
from urllib.parse import parse_qs

import engineio
import structlog
from engineio import exceptions, packet

from tradecast.engine.message import Message
from tradecast.engine.socket import EngineSocket

log = structlog.stdlib.get_logger("tradecast.engine")
TransportName = Literal["websocket", "polling"]


class EngineServer(engineio.AsyncServer):
    """Engine.IO v4 over ASGI (https://github.com/socketio/socket.io/blob/main/docs/engine.io-protocol/v4-current.md).

    Args:
        upgrade_timeout: Seconds an upgrade from polling to WebSocket may take.
        send_queue_limit: Messages that may wait for one client.
        send_buffer_limit: Bytes that may wait for one client; a single message may be larger.
        on_slow_client: Called when a client is cut off because it does not read.
        on_malformed: Called when a client sent what is no packet, and its transport is ended.
        on_ping: Told of each client to which a heartbeat goes, behind all that was sent before.
        on_pong: Told of each client that has answered one.
        make_sid: Makes the sid of a new connection; None: a random one.
        options: python-engineio's own.
    """

    start_service_task: bool

    def __init__(
        self,
        *,
        upgrade_timeout: float = 10,
        send_queue_limit: int = 10_000,
        send_buffer_limit: int = 4_000_000,
        on_slow_client: Callable[[], None] = lambda: None,
        on_malformed: Callable[[], None] = lambda: None,
        on_ping: Callable[[str], None] = lambda sid: None,
        on_pong: Callable[[str], None] = lambda sid: None,
        make_sid: Callable[[], str | None] = lambda: None,
        **options: Any,
    ) -> None:
        super().__init__(async_mode="asgi", **options)
        self.upgrade_timeout = upgrade_timeout
        self.send_queue_limit = send_queue_limit
        self.send_buffer_limit = send_buffer_limit
        self.on_slow_client = on_slow_client
        self.on_malformed = on_malformed
        self.on_ping = on_ping
        self.on_pong = on_pong
        self._make_sid = make_sid

    def deliver(self, eio_sids: Iterable[str], message: Message) -> int:
        """Send one message to many clients; how many there were. Never waits; clients that are gone are passed over."""
        count = 0
        sockets = self.sockets
        for eio_sid in eio_sids:
            socket = sockets.get(eio_sid)
            if socket is not None:
                socket.deliver(message)
                count += 1
        return count

    def hang_up(self, eio_sid: str) -> None:
        """Close a client's transport after what is queued for it. A stock client comes back by itself."""
        socket = self.sockets.get(eio_sid)
        if socket is not None:
            socket.hang_up()

    async def disconnect(self, sid: str | None = None) -> None:
        """As python-engineio's, but without waiting for a client that may never read its queue."""
        if sid is not None:
            self.hang_up(sid)
        else:
            await self.close_all(0)

    async def close_all(self, grace: float) -> None:
        """Hang up on everybody, and wait up to `grace` seconds until they are gone."""
        goodbyes = [asyncio.ensure_future(socket.say_goodbye()) for socket in list(self.sockets.values())]
        if goodbyes:
            _, late = await asyncio.wait(goodbyes, timeout=grace)
            for goodbye in late:
                goodbye.cancel()

    def transport_of(self, eio_sid: str) -> TransportName | None:
        """The transport that a client uses now; None if it is gone."""
        socket = self.sockets.get(eio_sid)
        return None if socket is None else "websocket" if socket.upgraded else "polling"

    async def handle_request(self, scope: Any, receive: Any, send: Any) -> Any:
        """Serve one request or WebSocket of the Engine.IO path."""
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        # Before python-engineio sees them: it answers JSONP, which no v4 client uses, and a request without transport;
        # and a POST to a session that has just been closed is an internal error to it.
        socket = self.sockets.get(query["sid"][0]) if "sid" in query else None
        if socket is not None and socket.closed:
            self.sockets.pop(socket.sid, None)
        if "j" in query or "transport" not in query:
            scope = {**scope, "query_string": b"transport=none"}
        if scope["scheme"] in ("https", "wss") and not any(
            name == b"x-forwarded-proto" for name, _ in scope["headers"]
        ):
            # It takes the scheme for its same-origin check from this header alone.
            scope = {**scope, "headers": [*scope["headers"], (b"x-forwarded-proto", b"https")]}
        return await super().handle_request(scope, receive, send)

    def _log_error_once(self, message: str, message_key: str) -> None:
        log.debug("engine request refused", why=message_key)  # the message may hold a sid or an origin

    def _bad_request(self, message: str | None = None) -> Any:
        # Without the sid that the client sent: nothing of a request is sent back.
        return super()._bad_request("Invalid session" if message and message.startswith("Invalid session") else message)

    def _monitor_wanted(self) -> bool:
        wanted = bool(self.start_service_task)
        self.start_service_task = False
        return wanted

    async def _handle_connect(self, environ: Any, transport: str, jsonp_index: Any = None) -> Any:
        # As python-engineio's, but with our socket class; JSONP and cookies, which no v4 client needs, are left out.
        if self._monitor_wanted():
            self.service_task_handle = self.start_background_task(self._service_task)
        sid = self._make_sid() or self.generate_id()
        socket = EngineSocket(self, sid)
        self.sockets[sid] = socket
        opening = {
            "sid": sid,
            "upgrades": self._upgrades(sid, transport),
            "pingTimeout": round(self.ping_timeout * 1000),
            "pingInterval": round(self.ping_interval * 1000),
            "maxPayload": self.max_http_buffer_size,
        }
        await socket.send(packet.Packet(packet.OPEN, opening))
        await self._trigger_event("connect", sid, environ, run_async=False)
        socket.schedule_ping()
        if transport == "websocket":
            answer = await socket.handle_get_request(environ)
            if socket.closed:
                self.sockets.pop(sid, None)
            return answer
        socket.connected = True
        try:
            return self._ok(await socket.poll(), jsonp_index=jsonp_index)
        except exceptions.QueueEmpty:
            return self._bad_request()
