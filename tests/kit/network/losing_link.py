"""A link that does not pass on what a server had still queued when it died: some WebSocket frames to clients."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from kit.network.proxy import Connection, Proxy


class Downstream(Connection):
    """A connection whose frames to the client are read.

    Attributes:
        unread: What is no whole frame yet.
        is_open: Whether the answer to the handshake has passed.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer)
        self.unread = b""
        self.is_open = False


class LosingLink(Proxy[Downstream]):
    """Leads to one server, and passes whole WebSocket frames on to clients.

    Attributes:
        target: Where the next connection goes; it may change at any time.
        losing: Frames with one of these in them are lost.
        lost: How many were.
    """

    def __init__(self, target: str) -> None:
        super().__init__(Downstream)
        self.target = target
        self.losing: Sequence[bytes] = ()
        self.lost = 0

    def find_servers(self, connection: Downstream) -> Sequence[str]:
        return [self.target]

    async def carry(self, connection: Downstream, data: bytes, *, down: bool) -> None:
        if down and data:
            data = self._choose(connection, data)
        if data:
            await super().carry(connection, data, down=down)

    def _choose(self, connection: Downstream, data: bytes) -> bytes:
        data = connection.unread + data
        passed = b""
        if not connection.is_open:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                connection.unread = head
                return b""
            connection.is_open = True
            passed = head + end
        while (size := _frame_size(data)) and len(data) >= size:
            frame, data = data[:size], data[size:]
            if any(mark in frame for mark in self.losing):
                self.lost += 1
            else:
                passed += frame
        connection.unread = data
        return passed


def _frame_size(data: bytes) -> int:
    """Bytes of the frame that begins here (RFC 6455 §5.2, from a server: not masked); 0: its head is not whole."""
    if len(data) < 2:
        return 0
    if data[1] < 126:
        return 2 + data[1]
    width = 2 if data[1] == 126 else 8
    return 2 + width + int.from_bytes(data[2 : 2 + width], "big") if len(data) >= 2 + width else 0
