"""Raw clients of Socket.IO over either transport, and a server with two namespaces for them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest

from kit.clients.raw import WITHIN, Closed, Polling, WebSocket
from kit.servers.in_process import MakeServer, RunningServer
from tradecast.connections.connection import Connection
from tradecast.server import WebSocketServer

CUSTOM = "/custom"
NO_RECOVERY: Mapping[str, Any] = {"recovery": False}
"""What a client says so that events have no offset behind them."""


class RawClient:
    """A client that sends and gets packets of Socket.IO as they are, over WebSocket or polling."""

    def __init__(self, carrier: WebSocket | Polling) -> None:
        self.carrier = carrier
        self._got: deque[str | bytes] = deque()

    @classmethod
    async def connect(cls, url: str, transport: str) -> RawClient:
        if transport == "polling":
            return cls(await Polling.connect(url))
        socket = await WebSocket.connect(url)
        await socket.opened()
        return cls(socket)

    async def send(self, *packets: str | bytes) -> None:
        """Send packets; those that are bytes are attachments."""
        if isinstance(self.carrier, WebSocket):
            await self.carrier.send(*(f"4{one}" if isinstance(one, str) else one for one in packets))
        else:
            await self.carrier.post(
                *(f"4{one}" if isinstance(one, str) else b"b" + base64.b64encode(one) for one in packets)
            )

    async def next(self) -> Any:
        """The next packet; heartbeats are answered.

        Raises:
            Closed: The server has closed.
        """
        async with asyncio.timeout(WITHIN):
            while True:
                if not self._got:
                    self._got.extend(await self._read())
                packet = self._got.popleft()
                if isinstance(packet, bytes):
                    return packet
                if packet[0] == "4":
                    return packet[1:]
                if packet == "2":
                    await self._pong()
                else:
                    assert packet in ("1", "6"), packet

    async def _read(self) -> list[str | bytes]:
        if isinstance(self.carrier, WebSocket):
            return [await self.carrier.packet()]
        answer = await self.carrier.poll()
        if answer.status != 200:
            raise Closed(None)
        parts = answer.text.split("\x1e")
        return [base64.b64decode(one[1:]) if one.startswith("b") else one for one in parts]

    async def _pong(self) -> None:
        if isinstance(self.carrier, WebSocket):
            await self.carrier.send("3")
        else:
            await self.carrier.post("3")

    async def join(self, namespace: str = "/", auth: Any = NO_RECOVERY) -> str:
        """Join a namespace; the sid there."""
        await self.send(packet(0, namespace, None if auth is None else auth))
        answer = await self.next()
        head = packet(0, namespace)
        assert answer.startswith(head + "{"), answer
        sid: str = json.loads(answer[len(head) :])["sid"]
        return sid

    async def ask(self, event: str, *arguments: Any, namespace: str = "/", ack_id: int = 7) -> list[Any]:
        """Send an event; its acknowledgement. What comes before it is put aside by nobody: it is an error."""
        await self.send(packet(2, namespace, [event, *arguments], ack_id))
        answer = await self.next()
        head = packet(3, namespace, ack_id=ack_id)
        assert answer.startswith(head), answer
        found: list[Any] = json.loads(answer[len(head) :])
        return found

    async def until_closed(self) -> list[Any]:
        """The packets until the server closes."""
        packets = []
        with contextlib.suppress(Closed):
            while True:
                packets.append(await self.next())
        return packets

    async def close(self) -> None:
        if isinstance(self.carrier, WebSocket):
            await self.carrier.__aexit__(None, None, None)


def packet(kind: int, namespace: str = "/", data: Any = None, ack_id: int | None = None) -> str:
    """A packet of Socket.IO, as Node would write it."""
    head = f"{kind}" + ("" if namespace == "/" else f"{namespace},") + ("" if ack_id is None else str(ack_id))
    return head if data is None else head + json.dumps(data, separators=(",", ":"), ensure_ascii=False)


def add_handlers(app: WebSocketServer) -> None:
    """The same events in both namespaces."""

    def echo(connection: Connection, *arguments: Any) -> Any:
        return arguments

    def tell(connection: Connection, *arguments: Any) -> None:
        connection.send("told", *arguments)

    async def join(connection: Connection, room: Any) -> Any:
        await connection.join(room)
        return sorted(one for one in connection.rooms if one.startswith("r"))

    async def leave(connection: Connection, room: Any) -> Any:
        await connection.leave(room)
        return sorted(one for one in connection.rooms if one.startswith("r"))

    def where(connection: Connection) -> Any:
        return connection.namespace

    for namespace in ("/", CUSTOM):
        for handler in (echo, tell, join, leave, where):
            app.register_event_handler(handler.__name__, handler, namespace=namespace)


@pytest.fixture
async def namespaces(make_server: MakeServer) -> RunningServer:
    """A server with two namespaces, where sessions are not needed but count."""
    return await make_server(add_handlers, auth_required=False)


MakeClient = Callable[..., Awaitable[RawClient]]


@pytest.fixture(params=["websocket", "polling"])
async def make_client(request: pytest.FixtureRequest) -> AsyncIterator[MakeClient]:
    """Connects clients over each transport."""
    made: list[RawClient] = []

    async def make(server: RunningServer, *joins: str, auth: Any = NO_RECOVERY) -> RawClient:
        client = await RawClient.connect(server.url, request.param)
        made.append(client)
        for namespace in joins:
            await client.join(namespace, auth)
        return client

    yield make
    for client in made:
        await client.close()
