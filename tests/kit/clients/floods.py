"""Floods of strangers and clients, and bystanders who must not notice: what the tests of attacks have in common."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from kit.clients.raw import (
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    WEBSOCKET,
    Polling,
    WebSocket,
    Wire,
    client_frame,
    head_of,
    websocket_head,
)
from kit.processes.usage import read_memory, read_processor_seconds
from kit.servers.process import ServeProcess
from kit.waiting import eventually

CONNECTIONS = (1, 2, 100)
"""From how many connections a flood comes."""
BYTES = 4_000_000
"""Of a flood, all its connections together. So many pings held everybody up for 2.5 s before there were bounds."""
LONGEST_WAIT = 1.0
"""Of a bystander, in seconds of the server's processor time: a busy machine is not the server's doing."""
LONG_WAIT = 2.0
"""The same where a hundred handshakes of TLS, or 60 MB, cost the server a part of it."""
ON_THE_CLOCK = 15.0
"""Seconds that a round trip may take on any machine, whatever the server waits for."""
MOST_MEMORY = 64 * 1024 * 1024
WITHIN = 30.0
"""Seconds in which a flood is over, whether it was taken or not."""
_PIECE = 65_536


@dataclass(frozen=True, slots=True)
class Flood:
    """What is sent: something once, and a piece again and again."""

    begin: bytes
    piece: bytes


def _flood(begin: bytes | str, piece: bytes | str) -> Flood:
    return Flood(*(part.encode() if isinstance(part, str) else part for part in (begin, piece)))


def _text(packet: str) -> bytes:
    return client_frame(TEXT, packet)


FRAMES: Mapping[str, Flood] = {
    "pings": _flood(b"", client_frame(PING)),
    "pings with a payload": _flood(b"", client_frame(PING, b"x" * 125)),
    "pongs": _flood(b"", client_frame(PONG)),
    "empty fragments": _flood(client_frame(TEXT, b"4", fin=False), client_frame(CONTINUATION, fin=False)),
    "small fragments": _flood(client_frame(TEXT, b"4", fin=False), client_frame(CONTINUATION, b"x", fin=False)),
    "pings within a message": _flood(client_frame(TEXT, b"4", fin=False), client_frame(PING)),
    "answers to no heartbeat": _flood(b"", _text("3")),
    "frames behind a broken one": _flood(b"\x81\x01x", client_frame(PING)),
    "frames behind a malformed packet": _flood(_text("x"), _text("3")),
    "frames behind a close": _flood(client_frame(8, b"\x03\xe8"), _text("3")),
}
"""After a WebSocket's handshake."""
PACKETS: Mapping[str, Flood] = {
    "events": _flood(b"", _text('42["subscribe:trades"]')),
    "events with acknowledgements": _flood(b"", _text('421["subscribe:trades"]')),
    "events that nobody knows": _flood(b"", _text('42["x"]')),
    "acknowledgements": _flood(b"", _text('431["x"]')),
    "joining and leaving": _flood(b"", _text("41") + _text("40")),
    "namespaces that are none": _flood(b"", _text("40/x")),
    "events with attachments": _flood(b"", _text('451-["x",{"_placeholder":true,"num":0}]') + client_frame(2, b"x")),
    "upgrades": _flood(b"", _text("5")),
    "noops": _flood(b"", _text("6")),
    "probes": _flood(b"", _text("2probe")),
}
"""After the namespace is joined."""
_CHUNKED = head_of("POST", "/api/emit", "Transfer-Encoding: chunked")
REQUESTS: Mapping[str, Flood] = {
    "header lines": _flood(head_of("GET", "/")[:-2], "x-y: z\r\n"),
    "a header": _flood(head_of("GET", "/")[:-2] + "x: ", "y"),
    "a query": _flood("GET /?", "y"),
    "trailers": _flood(_CHUNKED + "1\r\nx\r\n0\r\n", "x-y: z\r\n"),
    "a trailer": _flood(_CHUNKED + "1\r\nx\r\n0\r\nx: ", "y"),
    "a chunk extension": _flood(_CHUNKED + "1;x=", "y"),
    "tiny chunks": _flood(_CHUNKED, "1\r\nx\r\n"),
    "a body": _flood(head_of("POST", "/api/emit", "Content-Length: 900000000000"), "y"),
    "requests": _flood("", head_of("GET", "/health")),
    "frames behind a handshake": _flood(websocket_head("/x"), client_frame(PING)),
    "frames": _flood("", client_frame(PING)),
}
"""In place of a request. None of them needs to be let in anywhere."""


async def pour(wire: Wire, flood: Flood, size: int) -> None:
    """Send so many bytes of a flood, or as many as are taken; what is answered is not looked at."""
    piece = flood.piece * (_PIECE // len(flood.piece))
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(WITHIN):
            wire.writer.write(flood.begin)
            for _ in range(max(1, size // len(piece))):
                wire.writer.write(piece)
                await wire.writer.drain()


async def bursts(flood_one: Callable[[int], Awaitable[Any]]) -> None:
    """A flood from one connection, from two, and from a hundred. It is told how many there are."""
    for count in CONNECTIONS:
        await asyncio.gather(*(flood_one(count) for _ in range(count)))


class _Reading:
    """Reads all that comes on a connection, as who sends requests without an end has to."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._read())

    async def __aexit__(self, *exception: object) -> None:
        self._wire.writer.transport.abort()
        await self._task

    async def _read(self) -> None:
        with contextlib.suppress(OSError):
            while await self._wire.reader.read(_PIECE):
                pass


async def flood_frames(
    url: str, flood: Flood, size: int, *, tls: ssl.SSLContext | None = None, join: bool = False
) -> None:
    """On a new WebSocket. Nothing is read."""
    with contextlib.suppress(OSError):
        async with await WebSocket.connect(url, tls=tls) as client:
            if join:
                await client.opened()
                await client.join()
            await pour(client, flood, size)


async def flood_requests(url: str, flood: Flood, size: int, tls: ssl.SSLContext | None = None) -> None:
    """On a new connection. What is answered is read."""
    with contextlib.suppress(OSError):
        wire = await Wire.open(url, tls)
        async with _Reading(wire):
            await pour(wire, flood, size)


async def connect_through(owner: str, relay: str) -> Polling:
    """A polling client of one server that has joined through another one, and goes on there."""
    client = await Polling.connect(owner)
    client.url = relay

    async def joins() -> bool:
        return (await client.post("40")).status == 200

    await eventually(joins, WITHIN, what="the relay knows of the owner", every=0.05)
    assert (await client.packets())[0].startswith("40{")
    return client


async def upgrade(client: Polling) -> WebSocket:
    """Go on over a WebSocket, through the server that is asked for the rest too."""
    websocket = await WebSocket.connect(client.url, f"{WEBSOCKET}&sid={client.sid}")
    await websocket.send("2probe")
    assert await websocket.text() == "3probe"
    polling = asyncio.create_task(client.poll())
    await websocket.send("5")
    await polling
    return websocket


class Bystander:
    """A client of a server whose round trips go on, and who looks after the server's memory and its probes.

    Attributes:
        trips: Of each round trip since the flood began, its seconds, and those of the server's processor time.
        grown: Bytes that the server has more than when this client came.
    """

    def __init__(self, server: ServeProcess, client: WebSocket, http: httpx.AsyncClient) -> None:
        self._server = server
        self._client = client
        self._http = http
        self._before = read_memory(server.process.pid)
        self._going_on = asyncio.create_task(self._go_on())
        self._came = asyncio.Event()
        self.trips: list[tuple[float, float]] = []
        self.grown = 0

    async def endure(
        self, name: str, flood: Awaitable[Any], *, longest_wait: float = LONGEST_WAIT, most_memory: int = MOST_MEMORY
    ) -> None:
        """Go on while there is a flood, and a little longer: no round trip takes long, and memory is bounded."""
        await endure(name, flood, self, longest_wait=longest_wait, most_memory=most_memory)

    async def go_on(self, trips: int) -> None:
        """Until there were so many more round trips."""
        wanted = len(self.trips) + trips
        while len(self.trips) < wanted:
            self._came.clear()
            coming = asyncio.create_task(self._came.wait())
            await asyncio.wait((coming, self._going_on), return_when=asyncio.FIRST_COMPLETED)
            coming.cancel()
            assert not self._going_on.done(), self._going_on.exception()

    async def check(self, name: str, longest_wait: float, most_memory: int) -> None:
        """How it was since the flood began; the second round trip from now on began after it."""
        await self.go_on(2)
        assert (await self._http.get(f"{self._server.admin_url}/health/live")).status_code == 200
        self.grown = read_memory(self._server.process.pid) - self._before
        longest, busiest = (max(those) for those in zip(*self.trips, strict=True))
        assert busiest < longest_wait, f"{name}: {busiest:.2f} s of the processor in one of the round trips"
        assert longest < ON_THE_CLOCK, f"{name}: {longest:.3f} s"
        assert self.grown < most_memory, f"{name}: {self.grown / 1e6:.1f} MB"

    async def leave(self) -> None:
        self._going_on.cancel()
        await asyncio.gather(self._going_on, return_exceptions=True)

    async def _go_on(self) -> None:
        for number in range(1_000_000):
            payload = b"%d" % number
            begun, taken = time.monotonic(), read_processor_seconds(self._server.process.pid)
            await self._client.write(client_frame(PING, payload))
            while (frame := await self._client.frame()) != (PONG, payload):
                if frame == (TEXT, b"2"):
                    await self._client.send("3")
            self.trips.append((time.monotonic() - begun, read_processor_seconds(self._server.process.pid) - taken))
            self._came.set()
            await asyncio.sleep(0.11)  # ten control frames a second are a client's own bound


async def endure(
    name: str,
    flood: Awaitable[Any],
    *bystanders: Bystander,
    longest_wait: float = LONGEST_WAIT,
    most_memory: int = MOST_MEMORY,
) -> None:
    """As `Bystander.endure`, for several at once."""
    for one in bystanders:
        one.trips.clear()
    await flood
    for one in bystanders:
        await one.check(name, longest_wait, most_memory)


@contextlib.asynccontextmanager
async def bystander(server: ServeProcess, tls: ssl.SSLContext | None = None) -> AsyncIterator[Bystander]:
    """A client of a server that lets everybody in."""
    async with await WebSocket.connect(server.url, tls=tls) as client:
        await client.opened()
        await client.join()
        async with httpx.AsyncClient(trust_env=False, timeout=WITHIN) as http:
            one = Bystander(server, client, http)
            try:
                yield one
            finally:
                await one.leave()


async def refused(server: ServeProcess) -> dict[str, int]:
    """What a server has refused or cut off so far, by reasons and limits."""
    async with httpx.AsyncClient(trust_env=False, timeout=WITHIN) as http:
        text = (await http.get(f"{server.admin_url}/metrics")).text
    names = "http_refused|limits_exceeded|refusals|slow_clients|malformed_packets"
    found = re.findall(rf'^tradecast_({names})_total(?:\{{\w+="(\w+)"\}})? (\S+)', text, re.MULTILINE)
    return {f"{name} {label}".strip(): int(float(count)) for name, label, count in found if float(count)}


def errors_of(server: ServeProcess) -> list[str]:
    """What a server logged as an error: nothing that a stranger sends is one."""
    return [line for line in server.err if '"level":"error"' in line or "Traceback" in line]
