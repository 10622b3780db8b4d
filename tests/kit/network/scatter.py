"""A load balancer without any affinity: each HTTP request, and each WebSocket, goes to another server."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from urllib.parse import urlsplit

from tradecast.background.tasks import cancel_and_wait

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
        self._serving: dict[asyncio.Task[None], socket.socket] = {}

    def accept(self, listener: socket.socket) -> None:
        """Serve those who have come.

        Not `asyncio.start_server`: one that is closed in the moment in which a connection comes leaves that open.
        """
        with contextlib.suppress(BlockingIOError):
            while True:
                connection, _ = listener.accept()
                task = asyncio.create_task(self._serve(connection))
                self._serving[task] = connection
                task.add_done_callback(self._serving.pop)

    async def close(self) -> None:
        """Drop every connection."""
        serving = dict(self._serving)
        await cancel_and_wait(*serving)
        await asyncio.sleep(0)
        for connection in serving.values():
            connection.close()  # of a task that had not begun

    async def _serve(self, connection: socket.socket) -> None:
        """Pass bytes both ways until either side ends."""
        reader, writer = await asyncio.open_connection(sock=connection, limit=2**20)
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
                    end.transport.abort() if self._is_ending() else end.close()

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

    @staticmethod
    def _is_ending() -> bool:
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0


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
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        listener.setblocking(False)
        scatter.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        asyncio.get_running_loop().add_reader(listener, scatter.accept, listener)
        try:
            yield scatter
        finally:
            asyncio.get_running_loop().remove_reader(listener)
            await scatter.close()
