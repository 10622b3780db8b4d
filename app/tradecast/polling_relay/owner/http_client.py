"""HTTP/1.1 connections to other servers: one request at a time each, kept open for the next one.

Not httpx: a poll holds its connection for up to half a minute, so there are as many as polling clients of other
servers, and httpcore's pool looks through all of its connections for each request.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

import httptools

from tradecast.engine.http.request import Header
from tradecast.polling_relay.addresses import Address
from tradecast.polling_relay.tls import InternalTls

P = TypeVar("P", bound=asyncio.BaseProtocol)

# Bytes of an answer that may wait here; beyond that, the owner is not read.
BUFFER = 1_000_000
CONNECT_WITHIN = 3.0
# Seconds. The internal port closes what is idle after longer than that, so none is closed in the moment it is used.
IDLE = 30.0
SERVER_KEEPS = 60
MOST_IDLE = 1_000


class ConnectionPool(Protocol):
    """Keeps connections."""

    def connection_lost(self, connection: Connection) -> None:
        """A connection has ended."""
        ...


class Connection(asyncio.Protocol):
    """One connection.

    Args:
        route: Where it leads.
        pool: Keeps it.

    Attributes:
        route: As above.
        status: Of the answer; 0 until its head is there.
        headers: Of the answer, names in lower case.
        complete: Whether the answer is there to its end.
        lost: Whether the connection has ended.
    """

    def __init__(self, route: Route, pool: ConnectionPool) -> None:
        self.route = route
        self.status = 0
        self.headers: list[Header] = []
        self.complete = False
        self.lost = False
        self._pool = pool
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._chunks: list[bytes] = []
        self._size = 0
        self._paused = False
        self._asked = False
        self._keeps = False
        self._progress = asyncio.Event()

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent."""
        return self.complete and self._keeps and not self.lost

    def ask(self, head: bytes, body: bytes = b"") -> None:
        """Send a request."""
        self.status, self.headers, self.complete = 0, [], False
        self._asked = True
        if self._transport is not None:
            self._transport.write(head + body)

    async def wait(self) -> None:
        """Until the answer is complete, more of it waits than is kept here, or the connection is lost."""
        while not (self.complete or self.lost or self._size >= BUFFER):
            self._progress.clear()
            await self._progress.wait()

    def take(self) -> bytes:
        """What has come of the body."""
        body = b"".join(self._chunks)
        self._chunks.clear()
        self._size = 0
        if self._paused and self._transport is not None and not self.lost:
            self._paused = False
            self._transport.resume_reading()
        return body

    def abort(self) -> None:
        """End the connection at once; the owner notices."""
        self.lost = True
        self._progress.set()
        if self._transport is not None:
            self._transport.abort()

    # -- from the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by class

    def data_received(self, data: bytes) -> None:
        if not self._asked or self.complete:
            self.abort()  # an answer without a request
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.complete = False
            self.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        self._progress.set()
        self._pool.connection_lost(self)

    # -- from the parser

    def on_message_begin(self) -> None:
        if self.complete:
            raise ValueError("a second answer to one request")  # stops the parser

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)
        self._size += len(body)
        if self._size >= BUFFER:
            if not self._paused and self._transport is not None:
                self._paused = True
                self._transport.pause_reading()
            self._progress.set()

    def on_message_complete(self) -> None:
        self.complete = True
        self._keeps = self._parser.should_keep_alive()
        self._progress.set()


@dataclass(frozen=True, slots=True)
class Route:
    """How a server is reached.

    Attributes:
        address: Where it is.
        tls: Verifies that it belongs to the fleet; None: without TLS.
    """

    address: Address
    tls: InternalTls | None = None

    async def connect(self, make_protocol: Callable[[], P]) -> P:
        """A new connection.

        Raises:
            ssl.SSLError: It cannot be trusted, or speaks no TLS.
            OSError: There is nobody at this address.
            TimeoutError: Nobody answered in time.
        """
        options: dict[str, Any] = {}
        if self.tls is not None:
            options = {"ssl": self.tls.calling, "server_hostname": self.tls.name}
        async with asyncio.timeout(CONNECT_WITHIN):
            _, protocol = await asyncio.get_running_loop().create_connection(make_protocol, *self.address, **options)
        return protocol


class Connections:
    """The connections to all servers. Idle ones are used again, the latest first."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._idle: dict[Route, dict[Connection, float]] = {}
        self._closed = False

    async def take(self, route: Route) -> Connection:
        """A connection on which nothing was asked, or all has been answered. Raises as `Route.connect`."""
        idle = self._idle.get(route)
        while idle:
            connection, since = idle.popitem()
            if self._clock() - since <= IDLE and connection.reusable:
                return connection
            connection.abort()
        return await route.connect(lambda: Connection(route, self))

    def put_back(self, connection: Connection) -> None:
        """A request has ended: keep the connection if it can be used again, else close it."""
        idle = self._idle.setdefault(connection.route, {})
        if connection.reusable and len(idle) < MOST_IDLE and not self._closed:
            connection.take()
            idle[connection] = self._clock()
        else:
            connection.abort()
            self._drop_if_empty(connection.route)

    def close(self) -> None:
        """Close idle connections, and from now on each connection when its request has ended."""
        self._closed = True
        for idle in list(self._idle.values()):
            for connection in list(idle):
                connection.abort()

    def connection_lost(self, connection: Connection) -> None:
        """A connection has ended (`ConnectionPool`)."""
        idle = self._idle.get(connection.route)
        if idle is not None:
            idle.pop(connection, None)
            self._drop_if_empty(connection.route)

    def _drop_if_empty(self, route: Route) -> None:
        if not self._idle.get(route, True):
            del self._idle[route]
