"""ASGI middleware before the engine: what belongs to a connection of another server goes there."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from typing import Literal

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tradecast.engine.http.handshake import UNKNOWN_SESSION, Elsewhere, RawClient, Refusal
from tradecast.engine.http.request import Request
from tradecast.polling_relay.answers import refusal_of_error, refuse
from tradecast.polling_relay.directory import Directory, DirectoryAway
from tradecast.polling_relay.http_client import Connection, Connections, Way
from tradecast.polling_relay.http_heads import BadHead, answer_headers, refusal_of, request_head
from tradecast.polling_relay.sids import boot_of
from tradecast.polling_relay.signatures import sign
from tradecast.polling_relay.tls import InternalTls, say_why
from tradecast.polling_relay.ws_relay import HANDSHAKE_WITHIN, Opening, Relay, Relays, open_to

Result = Literal["answered", "unknown", "unreachable", "timeout", "refused", "aborted", "busy", "invalid", "untrusted"]
# Seconds between two lines in the log about owners that cannot be reached.
COMPLAIN_EVERY = 10.0
log = structlog.stdlib.get_logger("tradecast.adapter")


class _Failed(Exception):
    """A request was not passed on, or the owner's answer did not come."""

    def __init__(self, result: Result, status: int, code: str, message: str, why: str | None = None) -> None:
        super().__init__(message)
        self.why = why  # for the log
        self.result = result
        self.status = status
        self.code = code
        self.message = message


def _busy() -> _Failed:
    return _Failed("busy", 503, "SERVER_BUSY", "Try again in a moment")


def _unreachable() -> _Failed:
    return _Failed("unreachable", 502, "OWNER_UNREACHABLE", "The server of this connection cannot be reached")


def _untrusted(why: str) -> _Failed:
    message = "The server of this connection cannot be trusted"
    return _Failed("untrusted", 502, "OWNER_UNTRUSTED", message, why)


def _late() -> _Failed:
    return _Failed("timeout", 504, "OWNER_TIMEOUT", "The server of this connection does not answer")


class Forwarder:
    """Passes requests on, each once: whether one that failed has been carried out, nobody here can know.

    Args:
        app: The engine of this server. It also answers for sids that are nobody's.
        holds: Whether a sid is of a connection of this server.
        directory: The other servers.
        boot: This server's boot id.
        patience: Seconds that an owner may take to answer; more than a poll lasts.
        max_body: Largest body that is passed on, bytes.
        most: Requests, and apart from them WebSockets, that may be under way.
        on_forwarded: Told the transport and the result of each.
        tls: For servers that speak TLS; None: there is no TLS between servers.

    Attributes:
        relays: WebSockets that pass through.
    """

    def __init__(
        self,
        app: ASGIApp,
        holds: Callable[[str], bool],
        directory: Directory,
        boot: str,
        *,
        patience: float,
        max_body: int,
        most: int,
        on_forwarded: Callable[[str, Result], None],
        tls: InternalTls | None = None,
    ) -> None:
        self._app = app
        self._tls = tls
        self._holds = holds
        self._directory = directory
        self._boot = boot
        self._patience = patience
        self._max_body = max_body
        self._most = most
        self._on_forwarded = on_forwarded
        self._connections = Connections()
        self._under_way = 0
        # The sids whose body is read.
        self._reading: set[str] = set()
        self._complained = -COMPLAIN_EVERY
        self.relays = Relays(most, patience)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request of the Engine.IO path; a WebSocket of another server only as `admit` says."""
        request = Request.of_scope(scope)
        boot = self._elsewhere(request)
        if boot is None:
            await self._app(scope, receive, send)
            return
        try:
            if request.websocket:
                # Under ASGI there are no bytes to pass on, and the client stays with polling.
                raise _Failed("invalid", 501, "NO_UPGRADE", "Stay with polling")
            result = await self._forward(boot, request, receive, send)
        except _Failed as failed:
            await refuse(scope, send, self._note_failure("websocket" if request.websocket else "polling", failed))
            return
        self._on_forwarded("polling", result)
        if result == "unknown":
            await self._app(scope, _without_body(receive), send)

    def admit(self, request: Request) -> Elsewhere | None:
        """Who serves a WebSocket of another server's connection (`Entrance`); None: this server's engine."""
        boot = self._elsewhere(request)
        return None if boot is None else _Passing(self, boot, request)

    async def relay(self, boot: str, request: Request, client: RawClient) -> None:
        """Let a WebSocket pass through to its owner until it ends, or refuse it."""
        try:
            relay = await self._upgrade(boot, request, client)
        except _Failed as failed:
            client.answer(self._note_failure("websocket", failed))
            return
        self._on_forwarded("websocket", "answered" if relay is not None else "unknown")
        if relay is None:
            client.answer(UNKNOWN_SESSION)
        else:
            await relay.ended()

    def _note_failure(self, transport: str, failed: _Failed) -> Refusal:
        self._on_forwarded(transport, failed.result)
        if failed.result in ("unreachable", "timeout", "refused", "untrusted"):
            self._complain(failed)
        return refusal_of_error(failed.status, failed.code, failed.message)

    def close(self) -> None:
        """Let go of connections to other servers."""
        self._connections.close()

    def _elsewhere(self, request: Request) -> str | None:
        """The boot id of the other server whose connection this is about; None: this server answers."""
        sid = request.query.get("sid")
        if sid is None or request.method not in ("GET", "POST") or self._holds(sid):
            return None
        boot = boot_of(sid, self._directory.keys)
        return None if boot == self._boot else boot

    async def _find(self, boot: str) -> Way | None:
        try:
            address = await self._directory.find(boot)
        except DirectoryAway:
            message = "The server of this connection cannot be looked up"
            raise _Failed("unreachable", 503, "OWNER_UNKNOWN", message) from None
        if address is None or self._tls is None:
            return None if address is None else Way(address)
        secured = self._directory.find_secured(boot)
        if secured is None and self._tls.required:
            raise _untrusted("it speaks no TLS, which INTERNAL_REQUIRE_TLS wants")
        return Way(address) if secured is None else Way(secured, self._tls)

    def _head(self, boot: str, request: Request, body_size: int = 0) -> bytes:
        known = self._directory
        signature = sign(known.keys[0], request.method, request.target, boot, known.now())
        try:
            return request_head(request, signature, body_size)
        except BadHead:
            raise _Failed("invalid", 400, "BAD_REQUEST", "The request cannot be passed on") from None

    # -- polling

    async def _forward(self, boot: str, request: Request, receive: Receive, send: Send) -> Result:
        if self._under_way >= self._most:
            raise _busy()
        self._under_way += 1
        try:
            way = await self._find(boot)
            if way is None:
                return "unknown"
            body = await self._read_one(request.query["sid"], receive) if request.method == "POST" else b""
            if body is None:
                return "aborted"
            head = self._head(boot, request, len(body))
            try:
                connection = await self._connections.take(way)
            except ssl.SSLError as error:
                raise _untrusted(say_why(error)) from None
            except (OSError, TimeoutError):
                raise _unreachable() from None
            watching = asyncio.create_task(_abort_with(receive, connection))
            try:
                return await self._exchange(boot, connection, head + body, send, watching)
            finally:
                watching.cancel()
                self._connections.give_back(connection)
        finally:
            self._under_way -= 1

    async def _exchange(
        self, boot: str, connection: Connection, request: bytes, send: Send, watching: asyncio.Task[None]
    ) -> Result:
        connection.ask(request)
        try:
            async with asyncio.timeout(self._patience):
                await connection.wait()
        except TimeoutError:
            connection.abort()
            raise _late() from None
        if watching.done():
            return "aborted"
        if connection.lost and not connection.complete:
            raise _unreachable()
        if self._is_refused(boot, connection.headers):
            return "unknown"
        headers = answer_headers(connection.headers)
        if connection.complete:
            watching.cancel()
            body = connection.take()
            headers.append((b"content-length", str(len(body)).encode()))
            await send({"type": "http.response.start", "status": connection.status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
            return "answered"
        await send({"type": "http.response.start", "status": connection.status, "headers": headers})
        return await self._stream(connection, send, watching)

    async def _stream(self, connection: Connection, send: Send, watching: asyncio.Task[None]) -> Result:
        """Pass an answer on while it comes. One that breaks off does so for the client too: no end is sent."""
        while True:
            complete, lost = connection.complete, connection.lost
            body = connection.take()
            if lost and not complete:
                return "aborted" if watching.done() else "unreachable"
            await send({"type": "http.response.body", "body": body, "more_body": not complete})
            if complete:
                return "answered"
            try:
                async with asyncio.timeout(self._patience):
                    await connection.wait()
            except TimeoutError:
                connection.abort()
                return "timeout"

    async def _read_one(self, sid: str, receive: Receive) -> bytes | None:
        """As `_read`. A second body at the same time is passed on empty: that ends the session as two at once do.

        Else one session could have this server keep as many bodies as it takes connections.
        """
        if sid in self._reading:
            return b""
        self._reading.add(sid)
        try:
            return await self._read(receive)
        finally:
            self._reading.discard(sid)

    async def _read(self, receive: Receive) -> bytes | None:
        """The whole body; None if the client went away before its end: half a body is passed on to nobody."""
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None
            body += message.get("body", b"")
            if len(body) > self._max_body:
                raise _Failed("invalid", 413, "TOO_LARGE", f"The body has more than {self._max_body} bytes")
            if not message.get("more_body"):
                return bytes(body)

    # -- upgrades

    async def _upgrade(self, boot: str, request: Request, client: RawClient) -> Relay | None:
        """A WebSocket that passes through from now on; None if the owner is not there any more."""
        if self.relays.full:
            raise _busy()
        with self.relays.opening():
            way = await self._find(boot)
            if way is None:
                return None
            owner = await self._open(boot, way, self._head(boot, request))
            if owner is None:
                return None
            if owner.lost:
                raise _unreachable()
            if client.transport.is_closing():
                owner.transport.abort()
                raise _Failed("aborted", 499, "ABORTED", "The client is gone")
            return self.relays.join(client, owner)

    async def _open(self, boot: str, way: Way, head: bytes) -> Opening | None:
        """The owner's side, ready for frames; None if the owner is not there any more."""
        try:
            opening = await open_to(way, head)
        except ssl.SSLError as error:
            raise _untrusted(say_why(error)) from None
        except (OSError, TimeoutError):
            raise _unreachable() from None
        ready = False
        try:
            async with asyncio.timeout(HANDSHAKE_WITHIN):
                answered = await opening.answered()
            if not answered:
                raise _unreachable()
            if self._is_refused(boot, opening.headers):
                return None
            if opening.status != 101:
                status = opening.status if opening.status >= 400 else 502
                raise _Failed("answered", status, "REFUSED", "The connection is not upgraded")
            ready = True
            return opening
        except TimeoutError:
            raise _late() from None
        finally:
            if not ready:
                opening.transport.abort()

    # -- what owners say

    def _is_refused(self, boot: str, headers: list[tuple[bytes, bytes]]) -> bool:
        """Whether the owner is somebody else by now.

        Raises:
            _Failed: It does not take requests from us.
        """
        reason = refusal_of(headers)
        if reason == "boot":
            self._directory.forget(boot)
            return True
        if reason is not None:
            raise _Failed("refused", 502, "OWNER_REFUSED", "The server of this connection did not take the request")
        return False

    def _complain(self, failed: _Failed) -> None:
        now = time.monotonic()
        if now - self._complained >= COMPLAIN_EVERY:
            self._complained = now
            why = {} if failed.why is None else {"why": failed.why}
            log.warning("a request could not be passed on to its connection's server", result=failed.result, **why)


class _Passing:
    """A WebSocket on its way to its owner (`Elsewhere`)."""

    __slots__ = ("_boot", "_forwarder", "_request")

    def __init__(self, forwarder: Forwarder, boot: str, request: Request) -> None:
        self._forwarder = forwarder
        self._boot = boot
        self._request = request

    async def serve(self, client: RawClient) -> None:
        await self._forwarder.relay(self._boot, self._request, client)


async def _abort_with(receive: Receive, connection: Connection) -> None:
    """End the request to the owner when the client goes away: what it answers would be lost."""
    while (await receive())["type"] != "http.disconnect":
        pass
    connection.abort()


def _without_body(receive: Receive) -> Receive:
    """For an app that answers without a body, when the body may have been read."""
    first = True

    async def next_message() -> Message:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": b"", "more_body": False}
        return await receive()

    return next_message
