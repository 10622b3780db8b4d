"""Several servers on one Redis that pass requests on to each other."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from kit.servers.in_process import MakeServer, RunningServer
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.config.settings import load_settings
from tradecast.engine.uvicorn.server import stop_accepting
from tradecast.polling_relay.addresses import ServerAddresses
from tradecast.polling_relay.sids import make_sid, new_boot
from tradecast.redis_client.client import RedisClient, create_redis
from tradecast.server import WebSocketServer

BOTH = ("polling", "websocket")
UNKNOWN_SESSION = (400, {"code": 1, "message": "Session ID unknown"})
"""Status and body of the answer about a sid that is nobody's."""


def add_echo(app: WebSocketServer) -> None:
    """The event `echo`, whose acknowledgement is its data."""

    async def echo(connection: Any, data: Any) -> Any:
        return data

    app.register_event_handler("echo", echo)


async def make_fleet(
    make_server: MakeServer, redis: RedisServer, count: int, **settings: Any
) -> tuple[RunningServer, ...]:
    """Servers that offer polling and know of each other."""
    options = {"redis_url": redis.url, "transports": BOTH, "drain_rate": 10_000, **settings}
    servers = [await make_server(add_echo, **options) for _ in range(count)]
    await eventually(lambda: all(known_to(one) == count - 1 and has_key(one) for one in servers))
    return tuple(servers)


def known_to(server: RunningServer) -> int:
    """How many other servers this one knows."""
    return int(server.app.get_stats()["forwarding"]["servers"])


def has_key(server: RunningServer) -> bool:
    """Whether it has the fleet's key, and the fleet its address: Redis may be late with both."""
    relay = server.app.components.relay
    return relay is not None and bool(relay.announcement.addresses.keys)


def metric(server: RunningServer, name: str, **labels: str) -> float:
    """A sample of this server now."""
    value = server.app.metrics.registry.get_sample_value(f"tradecast_{name}", labels)
    assert value is not None, name
    return value


def forwarded(server: RunningServer, transport: str = "polling") -> dict[str, float]:
    """How many requests this server passed on, by result; without those of which there were none."""
    results = ("answered", "unknown", "unreachable", "timeout", "refused", "aborted", "busy", "invalid", "untrusted")
    counts = {one: metric(server, "forwarded_requests_total", transport=transport, result=one) for one in results}
    return {result: count for result, count in counts.items() if count}


class Poller:
    """An Engine.IO client by hand, whose every request goes where the test says."""

    def __init__(self, server: RunningServer) -> None:
        self.http = httpx.AsyncClient(timeout=60, trust_env=False)
        self.owner = server
        self.sid = ""

    async def __aenter__(self) -> Poller:
        answer = await self.http.get(f"{self.owner.url}/socket.io/?EIO=4&transport=polling")
        assert answer.status_code == 200, answer.text
        self.sid = answer.text.split('"sid":"')[1].split('"')[0]
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.http.aclose()

    def path(self, transport: str = "polling") -> str:
        """Path and query of this connection's requests."""
        return f"/socket.io/?EIO=4&transport={transport}&sid={self.sid}"

    async def get(self, server: RunningServer, **options: Any) -> httpx.Response:
        """Poll through a server."""
        return await self.http.get(server.url + self.path(), **options)

    async def post(self, server: RunningServer, body: str | bytes, **options: Any) -> httpx.Response:
        """Send packets through a server."""
        return await self.http.post(server.url + self.path(), content=body, **options)

    async def join(self, server: RunningServer, auth: str = "") -> None:
        """Join the namespace through a server."""
        assert (await self.post(server, "40" + auth)).text == "ok"
        assert (await self.get(server)).text.startswith('40{"sid":"')


class FakeOwner:
    """A server of the fleet that is no tradecast: it notes what it is sent, and answers what the test says.

    Attributes:
        answer: The bytes that it answers each request with; None: it never answers.
        closes: Whether it closes after the answer.
        requests: What came, as it came.
        dropped: Set when a connection ended.
    """

    def __init__(self, redis: RedisClient) -> None:
        self.boot = new_boot()
        self.answer: bytes | None = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        self.closes = False
        self.requests: list[bytes] = []
        self.dropped = asyncio.Event()
        self.connections = 0
        self.directory = ServerAddresses(redis, self.boot, patience=20)  # a busy machine may hold Redis up
        self.redis = redis
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> FakeOwner:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**22)
        await self.directory.announce(("127.0.0.1", self._server.sockets[0].getsockname()[1]))
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.stop()
        await self.directory.withdraw()

    async def stop(self) -> None:
        """Listen no more; its lease goes on."""
        if self._server is not None:
            await stop_accepting(self._server)
            self._server.close()
            self._server = None

    def sid(self) -> str:
        """A sid of this server."""
        return make_sid(self.boot, self.directory.keys[0])

    def path(self, transport: str = "polling") -> str:
        """Path and query of a request for one of its connections."""
        return f"/socket.io/?EIO=4&transport={transport}&sid={self.sid()}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                size = [line for line in request.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                if size:
                    request += await reader.readexactly(int(size[0].split(b":")[1]))
                self.requests.append(request)
                if self.answer is not None:
                    writer.write(self.answer)
                    await writer.drain()
                    if self.closes:
                        return
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self.dropped.set()


def redis_client(redis: RedisServer) -> RedisClient:
    """A client of this Redis; `aclose()` it in the end."""
    return create_redis(load_settings({}, redis_url=redis.url))
