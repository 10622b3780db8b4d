"""A load balancer in small, and a bad network: connections go to the servers in turn, and break in several ways."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Literal

CHUNK = 65_536
CONNECT_WITHIN = 5.0
EVENT = b"42"
"""How a Socket.IO event of the default namespace begins."""
TEXT = 0x81

Damage = Literal["lose", "double"]


@dataclass(slots=True, eq=False)
class Link:
    """One client's connection to one server.

    Attributes:
        client: Its name, by the query parameter `client`.
        server: The server's.
    """

    client: str
    server: str
    here: asyncio.StreamWriter
    there: asyncio.StreamWriter
    flowing: asyncio.Event = field(default_factory=asyncio.Event)
    half_dead: bool = False

    def cut(self) -> None:
        """Both sides learn at once that it is over."""
        self.here.transport.abort()
        self.there.transport.abort()

    def freeze(self) -> None:
        """Nothing passes any more, not even that a side has closed, until `thaw`."""
        self.flowing.clear()

    def thaw(self) -> None:
        self.flowing.set()

    def leave_half(self) -> None:
        """The client learns that it is over; the server is told nothing and goes on sending."""
        self.half_dead = True
        self.here.transport.abort()


class Balancer:
    """Forwards each connection to the next server that takes it.

    Attributes:
        url: Where it listens.
        servers: Where the servers are, by name; those that are to get no new connections are left out.
        links: What is open. Half-dead links are among them as long as their servers hold them.
    """

    def __init__(self) -> None:
        self.url = ""
        self.servers: dict[str, int] = {}
        self.links: set[Link] = set()
        self._turn = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._damage: list[Damage] = []
        self.damaged: list[str] = []

    def of(self, client: str) -> Link | None:
        """The client's connection, if it has one that is in order."""
        alive = (link for link in self.links if link.client == client and not link.half_dead)
        return next((link for link in alive if link.flowing.is_set()), None)

    def damage(self, *kinds: Damage) -> None:
        """Lose or double the next events from servers, one after the other: what no network does, and bugs do.

        `damaged` tells which clients it hit.
        """
        self._damage.extend(kinds)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its first bytes to its end."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        link: Link | None = None
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                head = await reader.read(CHUNK)
                answers = await self._connect(head, writer) if head else None
                if answers is not None:
                    link, server_reader = answers
                    self.links.add(link)
                    link.there.write(head)
                    await self._pass_both_ways(link, reader, server_reader)
        finally:
            self._tasks.discard(task)
            writer.transport.abort()
            if link is not None:
                self.links.discard(link)
                link.there.transport.abort()

    async def close(self) -> None:
        """Drop every connection."""
        for link in self.links:
            link.cut()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connect(self, head: bytes, here: asyncio.StreamWriter) -> tuple[Link, asyncio.StreamReader] | None:
        found = re.search(rb"[?&]client=([\w-]+)", head)
        client = found.group(1).decode() if found else ""
        turn = next(self._turn)
        names = list(self.servers)
        for number in range(len(names)):
            name = names[(turn + number) % len(names)]
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(CONNECT_WITHIN):
                    reader, there = await asyncio.open_connection("127.0.0.1", self.servers[name])
                link = Link(client, name, here, there)
                link.thaw()
                return link, reader
        return None

    async def _pass_both_ways(self, link: Link, client: asyncio.StreamReader, server: asyncio.StreamReader) -> None:
        upwards = asyncio.create_task(self._pass(link, client, link.there))
        downwards = asyncio.create_task(self._pass(link, server, link.here, down=True))
        both = (upwards, downwards)
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if link.half_dead:
                await downwards
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    async def _pass(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, down: bool = False
    ) -> None:
        with contextlib.suppress(OSError):
            while True:
                data = await reader.read(CHUNK)
                await link.flowing.wait()
                if not data:
                    return
                if down and link.half_dead:
                    continue
                if down and self._damage and _one_event(data):
                    self.damaged.append(link.client)
                    data = b"" if self._damage.pop(0) == "lose" else data + data
                writer.write(data)
                await writer.drain()


def _one_event(data: bytes) -> bool:
    """Whether these bytes are one whole WebSocket frame with an event in it."""
    if len(data) < 4 or data[0] != TEXT or data[1] == 127:
        return False
    begin, size = (2, data[1]) if data[1] < 126 else (4, int.from_bytes(data[2:4]))
    return len(data) == begin + size and data[begin:].startswith(EVENT)


@contextlib.asynccontextmanager
async def balancing() -> AsyncIterator[Balancer]:
    """A balancer without servers yet, on a loopback port of the system's choice."""
    balancer = Balancer()
    server = await asyncio.start_server(balancer.serve, "127.0.0.1", 0)
    balancer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield balancer
    finally:
        server.close()
        await balancer.close()
