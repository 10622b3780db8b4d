"""The Socket.IO server over the real engine, with transports and an application that are the test's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from kit.delivery.hub_clients import NO_LIMIT, Kinds, NullObserver
from kit.waiting import eventually
from tradecast.delivery.hub import Hub, HubOptions
from tradecast.delivery.memory import MemoryBroker
from tradecast.delivery.retention import Retention
from tradecast.engine.connection import Connection
from tradecast.engine.http.request import Request
from tradecast.gateway.application import Accepted, Options, Resume
from tradecast.gateway.server import SocketServer
from tradecast.observability.throttled_log import ThrottledLog
from tradecast.packets.rooms import LocalManager
from unit.engine.hosts import FakeTransport
from unit.engine.http.test_request import request


class App:
    """An application that lets everybody in, unless the test says otherwise.

    Attributes:
        told: What it was told, in order.
        refusal: What `connecting` raises.
        hold: `connecting` waits until it is set.
        answer: What an event is answered: a value, or a function of the arguments.
        authenticated: Whether it is known who the clients are.
        kept: What was kept of the handshakes, for each CONNECT.
    """

    def __init__(self) -> None:
        self.connects_at_once = False
        self.kept: list[str | None] = []
        self.authenticated = True
        self.told: list[tuple[Any, ...]] = []
        self.refusal: Exception | None = None
        self.hold: asyncio.Event | None = None
        self.answer: Callable[[list[Any]], Any] = lambda arguments: None
        self.welcome: Callable[[str], Awaitable[None] | None] = lambda sid: None

    def has_namespace(self, namespace: str) -> bool:
        return namespace in ("/", "/custom")

    def read_handshake(self, request: Request) -> str | None:
        return request.header(b"cookie")

    async def connecting(
        self, sid: str, auth: Any, kept: str | None, transport: str, resume: Resume, namespace: str
    ) -> Accepted:
        self.kept.append(kept)
        self.told.append(("connecting", namespace, auth, transport))
        if self.hold is not None:
            await self.hold.wait()
        if self.refusal is not None:
            raise self.refusal
        rooms = ["room" if namespace == "/" else f"{namespace},room"]
        return Accepted("user", "connection", rooms, authenticated=self.authenticated)

    def abandoned(self, accepted: Accepted, *, displaced: bool, failed: bool = False) -> None:
        self.told.append(("abandoned", displaced))

    def connected(self, sid: str, accepted: Accepted, *, recovered: bool) -> Awaitable[None] | None:
        self.told.append(("connected", sid))
        return self.welcome(sid)

    def event(self, sid: str, name: str, arguments: list[Any]) -> Any:
        self.told.append(("event", name, *arguments))
        return self.answer(arguments)

    def disconnected(self, sid: str, reason: str) -> None:
        self.told.append(("disconnected", sid, reason))

    def origin_refused(self, reason: str, origin: str) -> None:
        self.told.append(("origin_refused", reason, origin))

    def transport_refused(self, reason: str) -> None:
        self.told.append(("transport_refused", reason))

    def malformed(self) -> None:
        self.told.append(("malformed",))

    def limit_exceeded(self, limit: str) -> None:
        self.told.append(("limit", limit))

    def client_too_slow(self, reason: str) -> None:
        self.told.append(("too slow", reason))

    def compression_agreed(self) -> None:
        self.told.append(("compression agreed",))

    def message_compressed(self, before: int, after: int) -> None:
        self.told.append(("compressed", before, after))

    def of(self, kind: str) -> list[tuple[Any, ...]]:
        """What it was told of one kind."""
        return [one[1:] for one in self.told if one[0] == kind]


class Client:
    """A client on a transport of the test's own."""

    def __init__(self, server: SocketServer[Any], peer: str | None = None, cookie: str | None = None) -> None:
        self.transport = FakeTransport()
        asking = request(headers=[] if cookie is None else [(b"cookie", cookie.encode())])
        asking.peer = peer
        self.connection: Connection = server.eio.open(asking, self.transport)
        self.transport.sent.clear()

    def send(self, *packets: str | bytes) -> None:
        """Packets of Socket.IO."""
        for packet in packets:
            self.connection.receive("4" + packet if isinstance(packet, str) else packet)

    @property
    def got(self) -> list[str | bytes]:
        """What came, as packets of Socket.IO."""
        return [packet[1:] if isinstance(packet, str) else packet for packet in self.transport.sent]

    async def next(self, count: int = 1) -> list[Any]:
        """So many packets, which are taken."""
        await eventually(lambda: len(self.transport.sent) >= count)
        found = self.got[:count]
        del self.transport.sent[:count]
        return found

    async def join(self, namespace: str = "/", auth: str = "") -> str:
        """Join a namespace; the sid there."""
        head = "0" if namespace == "/" else f"0{namespace},"
        self.send(head + auth)
        (packet,) = await self.next()
        assert packet.startswith(head + "{"), packet
        sid: str = json.loads(packet[len(head) :])["sid"]
        return sid


class Case:
    """A server with its application."""

    def __init__(self, most_per_address: int = 0) -> None:
        self.app = App()
        self.manager = LocalManager()
        options = Options(
            ["polling", "websocket"],
            connect_timeout=60,
            max_http_buffer_size=1000,
            most_per_address=most_per_address,
        )
        self.server = SocketServer(self.app, self.manager, options, Parts(self.app, self.manager))
        self.hub = self.server.hub
        self.transports = self.server.transport_table

    def client(self, peer: str | None = None, cookie: str | None = None) -> Client:
        """A client that comes from this address, with this cookie."""
        return Client(self.server, peer, cookie)


class Parts:
    """Builds what a server serves (`Builder`)."""

    def __init__(self, app: App, manager: LocalManager) -> None:
        self._app = app
        self._manager = manager

    def build_application(self, server: SocketServer[App], hub: Hub) -> App:
        return self._app

    def build_hub(self, server: SocketServer[App]) -> Hub:
        return Hub(
            MemoryBroker(Retention(60, 60, 60, 100)),
            self._manager,
            server.eio,
            server,
            NullObserver(),
            HubOptions(recovery=False, window=60, refresh=3600, buffer_limit=100, replay_limit=10_000),
            kinds=Kinds(),
            limiter=NO_LIMIT,
            lines=ThrottledLog(),
        )
