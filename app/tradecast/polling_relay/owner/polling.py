"""One request of a polling client, relayed to the owner of its connection, and the answer on its way back.

Each request is relayed once: when it fails, nobody here can know whether the owner has carried it out.
"""

from __future__ import annotations

import asyncio
import ssl

from starlette.types import Receive, Send

from tradecast.engine.http.request import Request
from tradecast.polling_relay.owner.http_client import Connection, Connections
from tradecast.polling_relay.owner.http_heads import answer_headers
from tradecast.polling_relay.owner.routes import Owners
from tradecast.polling_relay.refusals import (
    Result,
    owner_late,
    owner_unreachable,
    owner_untrusted,
    request_invalid,
    server_busy,
)
from tradecast.polling_relay.tls import explain_tls_error


class PollingRelay:
    """Relays polling requests.

    Args:
        owners: Finds the owners.
        patience: Seconds that an owner may take to answer; more than a poll lasts.
        max_body: Bytes of the largest body that is relayed.
        most: Requests that may be under way.
    """

    def __init__(self, owners: Owners, *, patience: float, max_body: int, most: int) -> None:
        self._owners = owners
        self._patience = patience
        self._max_body = max_body
        self._most = most
        self._connections = Connections()
        self._under_way = 0
        # The sids whose body is being read.
        self._reading: set[str] = set()

    def close(self) -> None:
        """Close idle connections to other servers."""
        self._connections.close()

    async def forward(self, boot: str, request: Request, receive: Receive, send: Send) -> Result:
        """Relay one request, and its answer; "unknown": the owner is gone, and nothing was sent to the client.

        Raises:
            RelayFailed: It was not relayed, or not answered.
        """
        if self._under_way >= self._most:
            raise server_busy()
        self._under_way += 1
        try:
            route = await self._owners.find_route(boot)
            if route is None:
                return "unknown"
            body = await self._read_one(request.query["sid"], receive) if request.method == "POST" else b""
            if body is None:
                return "aborted"
            head = self._owners.make_head(boot, request, len(body))
            try:
                connection = await self._connections.take(route)
            except ssl.SSLError as error:
                raise owner_untrusted(explain_tls_error(error)) from None
            except (OSError, TimeoutError):
                raise owner_unreachable() from None
            watching = asyncio.create_task(_abort_with_client(receive, connection))
            try:
                return await self._exchange(boot, connection, head + body, send, watching)
            finally:
                watching.cancel()
                self._connections.put_back(connection)
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
            raise owner_late() from None
        if watching.done():
            return "aborted"
        if connection.lost and not connection.complete:
            raise owner_unreachable()
        if self._owners.is_gone(boot, connection.headers):
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
        """Relay an answer while it comes. One that breaks off does so for the client too: no end is sent."""
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
        """As `_read`. A second body at the same time is relayed empty: that ends the session as two at once do.

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
        """The whole body; None if the client closed before its end: half a body is never relayed."""
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None
            body += message.get("body", b"")
            if len(body) > self._max_body:
                raise request_invalid(f"The body has more than {self._max_body} bytes", 413, "TOO_LARGE")
            if not message.get("more_body"):
                return bytes(body)


async def _abort_with_client(receive: Receive, connection: Connection) -> None:
    """Abort the request to the owner when the client is gone: what the owner answers would be lost."""
    while (await receive())["type"] != "http.disconnect":
        pass
    connection.abort()
