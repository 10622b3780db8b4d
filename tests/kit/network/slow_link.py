"""A slow link to a server: every byte takes its time, and all connections share what it carries."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence

from kit.network.proxy import Connection, Proxy


class SlowLink(Proxy[Connection]):
    """Leads to one server.

    Args:
        target: Where the server is.
        delay: Seconds that a byte is under way.
        rate: Bytes a second in each direction, for all connections together.
        receive_buffer: Bytes from the server that wait for the link; None: as many as usual, megabytes.

    Attributes:
        target: Where the next connection goes; it may change at any time.
    """

    piece = 4_096

    def __init__(self, target: str, *, delay: float, rate: float, receive_buffer: int | None = None) -> None:
        super().__init__(Connection)
        self.target = target
        self.receive_buffer = receive_buffer
        self._delay = delay
        self._rate = rate
        self._free_at = {False: 0.0, True: 0.0}
        self._held: list[tuple[asyncio.StreamWriter, bytes]] | None = None

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Nothing arrives anywhere meanwhile; it does afterwards, in order."""
        assert self._held is None
        held: list[tuple[asyncio.StreamWriter, bytes]] = []
        self._held = held
        try:
            yield
        finally:
            self._held = None
            for writer, data in held:
                self._write(writer, data)

    def find_servers(self, connection: Connection) -> Sequence[str]:
        return [self.target]

    async def carry(self, connection: Connection, data: bytes, *, down: bool) -> None:
        if not data:
            await asyncio.sleep(self._delay)
            return
        writer = connection.writer if down else connection.server_writer
        assert writer is not None
        loop = asyncio.get_running_loop()
        sent = max(loop.time(), self._free_at[down]) + len(data) / self._rate
        self._free_at[down] = sent
        loop.call_at(sent + self._delay, self._write, writer, data)
        await asyncio.sleep(sent - loop.time())

    def get_linger(self, connection: Connection) -> float:
        return self._delay

    def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        if self._held is not None:
            self._held.append((writer, data))
        elif not writer.is_closing():
            writer.write(data)
