"""WebSockets that are relayed to the owner of their connection: the bytes of both sides are passed on unchanged.

No frame is decoded here. The owner does the WebSocket's handshake with the client, agrees with it on compression, and
checks sizes and frames.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import ssl
from collections.abc import Collection, Iterator
from typing import Protocol, cast

import httptools

from tradecast.engine.http.handshake import RawClient
from tradecast.engine.http.request import Header, Request
from tradecast.polling_relay.owner.http_client import Route
from tradecast.polling_relay.owner.routes import Owners
from tradecast.polling_relay.refusals import (
    RelayFailed,
    owner_late,
    owner_unreachable,
    owner_untrusted,
    server_busy,
)
from tradecast.polling_relay.tls import explain_tls_error

MOST_HEAD = 16_384
HANDSHAKE_WITHIN = 10.0
# Seconds after which what waits for a side that reads no more is dropped.
LINGER = 5.0
# Bytes of an owner's that the system may keep for a client that does not read.
RECEIVED = 16_384


class Opening(asyncio.Protocol):
    """The owner's side until it has answered the handshake.

    Attributes:
        transport: The connection.
        status: Of the answer; 0 as long as there is none.
        headers: Of the answer, names in lower case.
        received: The answer as it came, and what came with it.
        lost: Whether the connection has ended.
    """

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.status = 0
        self.headers: list[Header] = []
        self.received = b""
        self.lost = False
        self._answered = asyncio.Event()
        self._parser = httptools.HttpResponseParser(self)

    async def answered(self) -> bool:
        """Until the head of the answer is there, and whether it is one."""
        await self._answered.wait()
        return self.status != 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are none by class
        # Little is kept on the way, so that the owner notices a slow client, and sends it fresh quotes.
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED)

    def data_received(self, data: bytes) -> None:
        self.received += data
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # the head is complete; what follows are frames
        except httptools.HttpParserError:
            self._answered.set()
        if len(self.received) > MOST_HEAD and not self.status:
            self._answered.set()
        if self._answered.is_set():
            self.transport.pause_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        self._answered.set()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._answered.set()


async def open_to(route: Route, head: bytes) -> Opening:
    """Connect, and send the request. Raises as `Route.connect`."""
    opening = await route.connect(Opening)
    opening.transport.write(head)
    return opening


class _Side(asyncio.Protocol):
    """One of the two sides. What it reads goes to the other side; while that cannot write, this one is not read."""

    def __init__(self, relay: Relay, own: asyncio.Transport, other: asyncio.Transport, patience: float) -> None:
        self._relay = relay
        self._own = own
        self._other = other
        self._patience = patience
        self._stuck: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        if not self._other.is_closing():
            self._other.write(data)

    def pause_writing(self) -> None:
        if not self._other.is_closing():
            self._other.pause_reading()
        # While the other side is not read, its end is not noticed either.
        self._stuck = asyncio.get_running_loop().call_later(self._patience, self._relay.abort)

    def resume_writing(self) -> None:
        self._cancel_timer()
        if not self._other.is_closing():
            self._other.resume_reading()

    def _cancel_timer(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def connection_lost(self, error: Exception | None) -> None:
        self._cancel_timer()
        self._relay.side_lost(self._own, error)


class RelayTable(Protocol):
    """Keeps the relayed WebSockets."""

    def remove(self, name: str) -> None:
        """Both sides of one are closed."""
        ...


class Relay:
    """One relayed WebSocket.

    Args:
        client: The client, connected; its handshake is not answered.
        owner: The owner's side, connected, which has answered 101.
        patience: Seconds that a side may take nothing of what waits for it.
        table: Keeps this.
        name: Its name there.
    """

    def __init__(self, client: RawClient, owner: Opening, patience: float, table: RelayTable, name: str) -> None:
        self._protocol = client
        self._client: asyncio.Transport = client.transport
        self._owner = owner.transport
        self._table = table
        self._name = name
        self._open_sides = 2
        self._closed = asyncio.Event()
        for transport in (self._client, self._owner):
            transport.set_write_buffer_limits(high=1, low=0)
        self._client.set_protocol(_Side(self, self._client, self._owner, patience))
        self._owner.set_protocol(_Side(self, self._owner, self._client, patience))
        if self._client.is_closing() or self._owner.is_closing():
            self.close()
        self._client.write(owner.received)
        self._owner.write(client.take_early())
        self._client.resume_reading()
        self._owner.resume_reading()

    async def wait_closed(self) -> None:
        """Until both sides are closed."""
        await self._closed.wait()

    def close(self) -> None:
        """Close both sides behind what waits to be written. A standard client reconnects."""
        for transport in (self._client, self._owner):
            transport.close()
            asyncio.get_running_loop().call_later(LINGER, transport.abort)

    def abort(self) -> None:
        """Close both sides at once."""
        self._client.abort()
        self._owner.abort()

    def side_lost(self, transport: asyncio.Transport, error: Exception | None) -> None:
        """One side has ended; so does the other."""
        if transport is self._client:
            self._protocol.connection_lost(error)  # the HTTP server counts it as open until then
        self._open_sides -= 1
        if self._open_sides:
            self.close()
        else:
            self._table.remove(self._name)
            self._closed.set()


class WebSocketRelays:
    """The WebSockets that are relayed now (`RelayTable`).

    Args:
        owners: Finds the owners.
        most: How many there may be.
        patience: Seconds that a side may take nothing of what waits for it.
    """

    def __init__(self, owners: Owners, most: int, patience: float) -> None:
        self._owners = owners
        self._most = most
        self._patience = patience
        self._relays: dict[str, Relay] = {}
        self._opening = 0
        self._numbers = itertools.count(1)

    def __len__(self) -> int:
        return len(self._relays)

    @property
    def full(self) -> bool:
        """Whether there are as many as there may be, with those that are being opened."""
        return len(self._relays) + self._opening >= self._most

    @property
    def names(self) -> Collection[str]:
        """A name for each; none that a sid could have."""
        return self._relays.keys()

    def close_relay(self, name: str) -> bool:
        """Close one; whether there is one of this name."""
        relay = self._relays.get(name)
        if relay is not None:
            relay.close()
        return relay is not None

    def remove(self, name: str) -> None:
        """Both sides of one are closed (`RelayTable`)."""
        self._relays.pop(name, None)

    async def open(self, boot: str, request: Request, client: RawClient) -> Relay | None:
        """Relay a WebSocket from now on, until either side ends; None: the owner is gone.

        Raises:
            RelayFailed: There is no room, or the owner cannot be reached or does not upgrade.
        """
        if self.full:
            raise server_busy()
        with self._count_opening():
            route = await self._owners.find_route(boot)
            if route is None:
                return None
            owner = await self._connect(boot, route, self._owners.make_head(boot, request))
            if owner is None:
                return None
            if owner.lost:
                raise owner_unreachable()
            if client.transport.is_closing():
                owner.transport.abort()
                raise RelayFailed("aborted", 499, "ABORTED", "The client is gone")
            name = f"relay:{next(self._numbers)}"
            self._relays[name] = relay = Relay(client, owner, self._patience, self, name)
            return relay

    async def _connect(self, boot: str, route: Route, head: bytes) -> Opening | None:
        """The owner's side, ready for frames; None if the owner is gone."""
        try:
            opening = await open_to(route, head)
        except ssl.SSLError as error:
            raise owner_untrusted(explain_tls_error(error)) from None
        except (OSError, TimeoutError):
            raise owner_unreachable() from None
        ready = False
        try:
            async with asyncio.timeout(HANDSHAKE_WITHIN):
                answered = await opening.answered()
            if not answered:
                raise owner_unreachable()
            if self._owners.is_gone(boot, opening.headers):
                return None
            if opening.status != 101:
                status = opening.status if opening.status >= 400 else 502
                raise RelayFailed("answered", status, "REFUSED", "The connection is not upgraded")
            ready = True
            return opening
        except TimeoutError:
            raise owner_late() from None
        finally:
            if not ready:
                opening.transport.abort()

    @contextlib.contextmanager
    def _count_opening(self) -> Iterator[None]:
        """Count one that is not relayed yet."""
        self._opening += 1
        try:
            yield
        finally:
            self._opening -= 1
