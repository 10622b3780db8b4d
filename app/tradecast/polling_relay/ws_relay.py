"""WebSockets that pass through this server: the bytes of both sides go on as they are.

No frame is decoded here. The owner does the WebSocket's handshake with the client, and checks sizes and frames.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Collection, Iterator
from typing import cast

import httptools

from tradecast.engine.http.handshake import RawClient
from tradecast.polling_relay.http_client import Way
from tradecast.polling_relay.http_heads import Header

MOST_HEAD = 16_384
HANDSHAKE_WITHIN = 10.0
# What waits for a side that does not read any more is dropped after this many seconds.
LINGER = 5.0


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

    def data_received(self, data: bytes) -> None:
        self.received += data
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # the head is over; what follows are frames
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


async def open_to(way: Way, head: bytes) -> Opening:
    """Connect, and send the request. Raises as `Way.connect`."""
    opening = await way.connect(Opening)
    opening.transport.write(head)
    return opening


class _Side(asyncio.Protocol):
    """One of the two. What it reads, the other one writes; while that one cannot, this one is not read."""

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
        # While the other one is not read, its end is not noticed either.
        self._stuck = asyncio.get_running_loop().call_later(self._patience, self._relay.abort)

    def resume_writing(self) -> None:
        self._unstuck()
        if not self._other.is_closing():
            self._other.resume_reading()

    def _unstuck(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def connection_lost(self, error: Exception | None) -> None:
        self._unstuck()
        self._relay.side_lost(self._own, error)


class Relay:
    """One WebSocket that passes through.

    Args:
        client: The client, connected; its handshake is not answered.
        owner: The owner's side, connected, which has, with 101.
        patience: Seconds that a side may take nothing of what waits for it.
        on_end: Called when both sides are closed.
    """

    def __init__(self, client: RawClient, owner: Opening, patience: float, on_end: Callable[[], object]) -> None:
        self._protocol = client
        self._client: asyncio.Transport = client.transport
        self._owner = owner.transport
        self._both = 2
        self._on_end = on_end
        self._ended = asyncio.Event()
        self._client.set_protocol(_Side(self, self._client, self._owner, patience))
        self._owner.set_protocol(_Side(self, self._owner, self._client, patience))
        if self._client.is_closing() or self._owner.is_closing():
            self.close()
        self._client.write(owner.received)
        self._owner.write(client.take_early())
        self._client.resume_reading()
        self._owner.resume_reading()

    async def ended(self) -> None:
        """Until both sides are closed."""
        await self._ended.wait()

    def close(self) -> None:
        """Close both sides after what waits to be written. A stock client comes back by itself."""
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
        self._both -= 1
        if self._both:
            self.close()
        else:
            self._on_end()
            self._ended.set()


class Relays:
    """Those that pass through now.

    Args:
        most: How many may.
        patience: Seconds that a side may take nothing of what waits for it.
    """

    def __init__(self, most: int, patience: float) -> None:
        self._most = most
        self._patience = patience
        self._relays: dict[str, Relay] = {}
        self._opening = 0
        self._numbers = itertools.count(1)

    def __len__(self) -> int:
        return len(self._relays)

    @property
    def full(self) -> bool:
        """Whether there are as many as may be, with those that are being opened."""
        return len(self._relays) + self._opening >= self._most

    @property
    def names(self) -> Collection[str]:
        """A name for each; none that a sid could have."""
        return self._relays.keys()

    def hang_up(self, name: str) -> bool:
        """Close one; whether there is one of this name."""
        relay = self._relays.get(name)
        if relay is not None:
            relay.close()
        return relay is not None

    def join(self, client: RawClient, owner: Opening) -> Relay:
        """Let bytes pass from now on, until either side ends. Both are connected."""
        name = f"relay:{next(self._numbers)}"
        self._relays[name] = relay = Relay(client, owner, self._patience, on_end=lambda: self._relays.pop(name, None))
        return relay

    @contextlib.contextmanager
    def opening(self) -> Iterator[None]:
        """Counts one that is not joined yet."""
        self._opening += 1
        try:
            yield
        finally:
            self._opening -= 1
