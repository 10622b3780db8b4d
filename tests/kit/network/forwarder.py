"""A Service in small: TCP connections go to its servers in turn."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from urllib.parse import urlsplit


class Forwarder:
    """Forwards each connection to the next server that takes it.

    Attributes:
        urls: Where the servers are; it may change at any time.
        url: Where it listens itself.
    """

    def __init__(self) -> None:
        self.urls: list[str] = []
        self.url = ""
        self._turn = itertools.count()
        self._writers: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass bytes both ways until either side ends."""
        ways = [(reader, writer)]
        self._writers.add(writer)
        with contextlib.suppress(OSError):
            turn = next(self._turn)
            for number in range(len(self.urls)):
                parts = urlsplit(self.urls[(turn + number) % len(self.urls)])
                with contextlib.suppress(ConnectionRefusedError):
                    ways.append(await asyncio.open_connection(parts.hostname, parts.port))
                    break
            if len(ways) == 2:
                (_, here), (_, there) = ways
                passing = [asyncio.create_task(_pass(ways[0][0], there)), asyncio.create_task(_pass(ways[1][0], here))]
                try:
                    await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for task in passing:
                        task.cancel()
                    await asyncio.gather(*passing, return_exceptions=True)
        for _, end in ways:
            end.close()
        self._writers.discard(writer)

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
async def forwarding(*urls: str) -> AsyncIterator[Forwarder]:
    """A forwarder to these servers, on a loopback port of the system's choice."""
    forwarder = Forwarder()
    forwarder.urls.extend(urls)
    async with await asyncio.start_server(forwarder.serve, "127.0.0.1", 0) as server:
        forwarder.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield forwarder
        finally:
            forwarder.close()
