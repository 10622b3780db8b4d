"""A slow link to a server: every byte takes its time, and all connections share what it carries."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from tradecast.engine.uvicorn.server import stop_accepting

_PIECE = 4_096


class SlowLink:
    """Forwards connections to one server.

    Args:
        target: Where the server is.
        delay: Seconds that a byte is under way.
        rate: Bytes a second in each direction, for all connections together.

    Attributes:
        url: Where it listens.
        most: The most connections that there were at a time.
    """

    def __init__(self, target: str, delay: float, rate: float) -> None:
        self.url = ""
        self.most = 0
        self._target = urlsplit(target)
        self._delay = delay
        self._rate = rate
        self._free = [0.0, 0.0]
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """The link fails for a moment: all connections are gone."""
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass bytes both ways until either side ends."""
        self._writers.add(writer)
        self.most = max(self.most, len(self._writers))
        with contextlib.suppress(OSError):
            back, there = await asyncio.open_connection(self._target.hostname, self._target.port)
            ways = [
                asyncio.create_task(self._pass(reader, there, 0)),
                asyncio.create_task(self._pass(back, writer, 1)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.wait(ways, timeout=self._delay)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
                there.close()
        writer.close()
        self._writers.discard(writer)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: int) -> None:
        loop = asyncio.get_running_loop()
        while data := await reader.read(_PIECE):
            sent = max(loop.time(), self._free[direction]) + len(data) / self._rate
            self._free[direction] = sent
            loop.call_at(sent + self._delay, _write, writer, data)
            await asyncio.sleep(sent - loop.time())
        await asyncio.sleep(self._delay)


def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    if not writer.is_closing():
        writer.write(data)


@contextlib.asynccontextmanager
async def slow_link(target: str, *, delay: float, rate: float) -> AsyncIterator[SlowLink]:
    """A link on a loopback port of the system's choice."""
    link = SlowLink(target, delay, rate)
    server = await asyncio.start_server(link.serve, "127.0.0.1", 0, backlog=4_096)
    link.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield link
    finally:
        await stop_accepting(server)
        server.close()
        link.cut()
        await server.wait_closed()
