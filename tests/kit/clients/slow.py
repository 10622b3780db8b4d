"""A WebSocket client whose link carries little: a small receive buffer, and so many bytes a second."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import urlsplit

from kit.clients.raw import TEXT, WEBSOCKET, WITHIN, client_frame, websocket_head

RECEIVE_BUFFER = 4_096
# Seconds between two reads.
_TICK = 0.02


class SlowClient:
    """A client that reads at a rate; it keeps what it got, and when.

    Attributes:
        packets: Texts of Engine.IO, each with how many bytes had been read when it was complete.
        read: How many bytes have been read.
        rate: Bytes a second that are read; 0: nothing is.
        is_closed: Whether the server has closed.
        close_frames: How many close frames came.
    """

    def __init__(self, connection: socket.socket, rate: float) -> None:
        self.packets: list[tuple[int, str]] = []
        self.read = 0
        self.rate = rate
        self.is_closed = False
        self.close_frames = 0
        self._socket = connection
        self._buffer = b""
        self._head_read = False
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def join(cls, url: str, auth: Mapping[str, Any], *, rate: float = 100_000) -> Self:
        """Connect, and join the main namespace."""
        parts = urlsplit(url)
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, (parts.hostname, parts.port))
        client = cls(connection, rate)
        await asyncio.get_running_loop().sock_sendall(connection, websocket_head(WEBSOCKET).encode())
        await client.send("40" + json.dumps(auth))
        await client.until("40{")
        return client

    async def send(self, packet: str) -> None:
        """Send a packet."""
        await asyncio.get_running_loop().sock_sendall(self._socket, client_frame(TEXT, packet))

    async def until(self, start: str, within: float = WITHIN) -> str:
        """The first packet that begins so, once it is there."""
        async with asyncio.timeout(within):
            while True:
                for _, packet in self.packets:
                    if packet.startswith(start):
                        return packet
                assert not self.is_closed, self.packets[-3:]
                await asyncio.sleep(_TICK)

    def events(self, name: str) -> list[tuple[int, dict[str, Any]]]:
        """The payloads of events of a name, each with how many bytes had been read when it was complete."""
        head = f'42["{name}",'
        return [(read, json.loads(packet[2:])[1]) for read, packet in self.packets if packet.startswith(head)]

    @property
    def last_offset(self) -> str | None:
        """The offset that a standard client would send when it comes back."""
        offset = None
        for _, packet in self.packets:
            if packet.startswith("42") and isinstance(last := json.loads(packet[2:])[-1], str):
                offset = last
        return offset

    async def close(self) -> None:
        """Be gone."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        self._socket.close()

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_TICK)
            size = int(self.rate * _TICK)
            if not size:
                continue
            try:
                data = await loop.sock_recv(self._socket, size)
            except OSError:
                data = b""
            if not data:
                self.is_closed = True
                return
            self._buffer += data
            self.read += len(data)
            await self._parse()

    async def _parse(self) -> None:
        if not self._head_read:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            assert b" 101 " in head
            self._head_read, self._buffer = True, rest
        while len(self._buffer) >= 2:
            start, size = 2, self._buffer[1]
            if size > 125:
                start = 4 if size == 126 else 10
                size = int.from_bytes(self._buffer[2:start], "big")
            if len(self._buffer) < start + size:
                return
            kind, payload = self._buffer[0] & 0x0F, self._buffer[start : start + size]
            self._buffer = self._buffer[start + size :]
            if kind != TEXT:
                self.close_frames += 1
                continue
            self.packets.append((self.read - len(self._buffer), payload.decode()))
            if payload == b"2":
                await self.send("3")
