"""A load balancer in small, and a bad network: connections go to the servers in turn, and break in several ways."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Sequence
from typing import Literal

from kit.network.forwarder import take_turn
from kit.network.proxy import CHUNK, Connection, Proxy

EVENT = b"42"
"""How a Socket.IO event of the default namespace begins."""
TEXT = 0x81

Damage = Literal["lose", "double"]


class Link(Connection):
    """One client's connection to one server.

    Attributes:
        client: Its name, by the query parameter `client`.
        flowing: Whether bytes pass.
        half_dead: The client has lost it, and the server does not know.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer)
        self.client = ""
        self.flowing = asyncio.Event()
        self.half_dead = False

    def freeze(self) -> None:
        """Nothing passes any more, not even that a side has closed, until `thaw`."""
        self.flowing.clear()

    def thaw(self) -> None:
        """What was held back passes."""
        self.flowing.set()

    def leave_half(self) -> None:
        """The client learns that it is over; the server does not, and goes on sending."""
        self.half_dead = True
        self.writer.transport.abort()


class Balancer(Proxy[Link]):
    """Leads each connection to the next server that takes it.

    Half-dead links are among its connections as long as their servers hold them.

    Attributes:
        servers: The servers' ports, by name; those that are to get no new connections are left out.
        damaged: The clients that `damage` hit.
    """

    def __init__(self) -> None:
        super().__init__(Link)
        self.servers: dict[str, int] = {}
        self.damaged: list[str] = []
        self._turn = itertools.count()
        self._damage: list[Damage] = []

    def of(self, client: str) -> Link | None:
        """The client's connection, if it has one that is in order."""
        alive = (link for link in self.connections if link.client == client and not link.half_dead)
        return next((link for link in alive if link.flowing.is_set()), None)

    def damage(self, *kinds: Damage) -> None:
        """Lose or double the next events from servers, one after the other: what no network does, and bugs do."""
        self._damage.extend(kinds)

    async def read_head(self, connection: Link) -> None:
        connection.head = await connection.reader.read(CHUNK)
        found = re.search(rb"[?&]client=([\w-]+)", connection.head)
        connection.client = found.group(1).decode() if found else ""

    def find_servers(self, connection: Link) -> Sequence[str]:
        urls = [f"http://127.0.0.1:{port}" for port in self.servers.values()]
        return take_turn(urls, next(self._turn)) if connection.head else []

    async def pass_both_ways(self, connection: Link) -> None:
        connection.thaw()
        await super().pass_both_ways(connection)

    async def carry(self, connection: Link, data: bytes, *, down: bool) -> None:
        await connection.flowing.wait()
        if down and connection.half_dead:
            return
        if down and self._damage and _is_one_event(data):
            self.damaged.append(connection.client)
            data = b"" if self._damage.pop(0) == "lose" else data + data
        await super().carry(connection, data, down=down)

    def get_linger(self, connection: Link) -> float | None:
        return None if connection.half_dead else 0.0

    def end(self, connection: Link) -> None:
        connection.cut()


def _is_one_event(data: bytes) -> bool:
    """Whether these bytes are one whole WebSocket frame with an event in it."""
    if len(data) < 4 or data[0] != TEXT or data[1] == 127:
        return False
    begin, size = (2, data[1]) if data[1] < 126 else (4, int.from_bytes(data[2:4]))
    return len(data) == begin + size and data[begin:].startswith(EVENT)
