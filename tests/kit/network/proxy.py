"""The TCP proxy between clients and servers in tests; the other modules of this package say what it does to them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Generic, Self, TypeVar
from urllib.parse import urlsplit

from tradecast.engine.uvicorn.server import stop_accepting

CHUNK = 65_536
CONNECT_WITHIN = 5.0


class Connection:
    """One client's connection through a proxy.

    Attributes:
        reader: What comes from the client.
        writer: The way to the client.
        server_reader: What comes from the server.
        server_writer: The way to the server; None until there is one.
        server_url: The server that was chosen.
        head: What was read from the client before a server was chosen, and is sent to that first.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.server_reader: asyncio.StreamReader | None = None
        self.server_writer: asyncio.StreamWriter | None = None
        self.server_url = ""
        self.head = b""

    def cut(self) -> None:
        """Both sides learn at once that the connection is over."""
        for writer in (self.writer, self.server_writer):
            if writer is not None:
                writer.transport.abort()

    def close(self) -> None:
        """Close it once all is sent that was written."""
        for writer in (self.writer, self.server_writer):
            if writer is not None:
                writer.close()


ConnectionT = TypeVar("ConnectionT", bound=Connection)


class Proxy(Generic[ConnectionT]):
    """Leads each connection to a server, and passes bytes both ways until either side ends.

    Attributes:
        connections: The open ones, oldest first.
        peak: The most connections that there were at a time.
        sent: How many connections went to each server.
    """

    scheme = "http"
    piece = CHUNK
    """How many bytes are passed on at a time."""
    limit = CHUNK
    """How many bytes a head may have."""
    receive_buffer: int | None = None
    """Bytes from a server that the kernel and a stream take before they are passed on; None: as many as usual."""

    def __init__(self, make_connection: Callable[[asyncio.StreamReader, asyncio.StreamWriter], ConnectionT]) -> None:
        self.connections: list[ConnectionT] = []
        self.peak = 0
        self.sent: Counter[str] = Counter()
        self._make_connection = make_connection
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where it listens: a loopback port of the system's choice."""
        assert self._server is not None, "the proxy is closed"
        return f"{self.scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=self.limit, backlog=4_096)
        return self

    async def __aexit__(self, *exception: object) -> None:
        server, self._server = self._server, None
        assert server is not None
        await stop_accepting(server)
        server.close()
        self.cut()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()

    def cut(self) -> None:
        """Cut every connection."""
        for connection in self.connections:
            connection.cut()

    # -- what a proxy says of itself

    async def read_head(self, connection: ConnectionT) -> None:
        """Read what a server is chosen by."""

    def find_servers(self, connection: ConnectionT) -> Sequence[str]:
        """The URLs of the servers that may take a connection, the first choice first."""
        raise NotImplementedError

    async def carry(self, connection: ConnectionT, data: bytes, *, down: bool) -> None:
        """Pass bytes on to the server, or down to the client; none: this side has ended."""
        writer = connection.writer if down else connection.server_writer
        assert writer is not None
        writer.write(data)
        await writer.drain()

    def get_linger(self, connection: ConnectionT) -> float | None:
        """Seconds for which one side is still passed on after the other one has ended; None: until it ends, too."""
        return 0.0

    def end(self, connection: ConnectionT) -> None:
        """Close a connection of which a side has ended."""
        connection.close()

    async def pass_both_ways(self, connection: ConnectionT) -> None:
        """Pass bytes until either side ends; the connection has a server."""
        assert connection.server_reader is not None
        assert connection.server_writer is not None
        connection.server_writer.write(connection.head)
        ways = [
            asyncio.create_task(self._pass(connection, connection.reader, down=False)),
            asyncio.create_task(self._pass(connection, connection.server_reader, down=True)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait(ways, timeout=self.get_linger(connection))
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    # -- one connection

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._server is None:  # it came in the moment in which the proxy was closed
            writer.transport.abort()
            return
        connection = self._make_connection(reader, writer)
        self._tasks.add(task)
        self.connections.append(connection)
        self.peak = max(self.peak, len(self.connections))
        try:
            # that the proxy closes, too: a stream's task may not end as cancelled
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self.read_head(connection)
                if await self._connect(connection):
                    await self.pass_both_ways(connection)
        finally:
            self._tasks.discard(task)
            self.connections.remove(connection)
            self.end(connection)

    async def _connect(self, connection: ConnectionT) -> bool:
        for url in self.find_servers(connection):
            parts = urlsplit(url)
            with contextlib.suppress(OSError):
                async with asyncio.timeout(CONNECT_WITHIN):
                    streams = await self._open(str(parts.hostname), parts.port or 80)
                connection.server_reader, connection.server_writer = streams
                connection.server_url = url
                self.sent[url] += 1
                return True
        return False

    async def _open(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.receive_buffer is None:
            return await asyncio.open_connection(host, port)
        connection = socket.socket()
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        try:
            await asyncio.get_running_loop().sock_connect(connection, (host, port))
        except OSError:
            connection.close()
            raise
        return await asyncio.open_connection(sock=connection, limit=self.receive_buffer)

    async def _pass(self, connection: ConnectionT, reader: asyncio.StreamReader, *, down: bool) -> None:
        with contextlib.suppress(OSError):
            data = b"data"
            while data:
                data = await reader.read(self.piece)
                await self.carry(connection, data, down=down)
