"""A load balancer without any affinity: each HTTP request, and each WebSocket, goes to another server."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from urllib.parse import urlsplit

_CONNECTION = re.compile(rb"\r\nconnection:[^\r]*", re.IGNORECASE)


class Scatter:
    """Forwards each connection by its first request, and lets no connection have a second one.

    Attributes:
        urls: Where the servers are; it may change at any time.
        choose: Says by its head where a request goes; None: to the next server that takes it.
        url: Where it listens itself.
        sent: How many requests went where.
    """

    def __init__(self) -> None:
        self.urls: list[str] = []
        self.choose: Callable[[bytes], str | None] = lambda head: None
        self.url = ""
        self.sent: Counter[str] = Counter()
        self._turn = itertools.count()
        self._writers: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass bytes both ways until either side ends, and end it for the other side as it ended."""
        self._writers.add(writer)
        there: asyncio.StreamWriter | None = None
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            answer, there = await self._connect(head)
            if b"upgrade: websocket" not in head.lower():
                head = _CONNECTION.sub(b"", head[:-4]) + b"\r\nConnection: close\r\n\r\n"
            there.write(head)
            ways = [asyncio.create_task(_pass(reader, there)), asyncio.create_task(_pass(answer, writer))]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            for end in (writer, there):
                if end is not None:
                    end.close()
            self._writers.discard(writer)

    async def _connect(self, head: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        chosen = self.choose(head)
        turn = next(self._turn)
        urls = [chosen] if chosen else [self.urls[(turn + n) % len(self.urls)] for n in range(len(self.urls))]
        for url in urls:
            parts = urlsplit(url)
            with contextlib.suppress(ConnectionRefusedError):
                found = await asyncio.open_connection(parts.hostname, parts.port)
                self.sent[url] += 1
                return found
        raise ConnectionRefusedError

    def close(self) -> None:
        """Drop every connection."""
        for writer in self._writers:
            writer.transport.abort()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()


@contextlib.asynccontextmanager
async def scattering(*urls: str) -> AsyncIterator[Scatter]:
    """A load balancer before these servers, on a loopback port of the system's choice."""
    scatter = Scatter()
    scatter.urls.extend(urls)
    async with await asyncio.start_server(scatter.serve, "127.0.0.1", 0, limit=2**20) as server:
        scatter.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield scatter
        finally:
            scatter.close()
