"""(f) The floor: the bytes that tradecast sends, written by an `asyncio.Protocol` on uvloop that does nothing else.

    server.py

No sessions, limits, heartbeats, logs, or errors: what a server in Python could cost at the least. It knows what the
benchmark's clients send, and nothing more. Says its port on standard output.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import json
import sys
from datetime import UTC, datetime
from typing import cast

import uvloop

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
ACCEPT = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
KEY = b"Sec-WebSocket-Key: "
OPENED = '"upgrades":[],"pingTimeout":60000,"pingInterval":120000,"maxPayload":1000000'
CLOSE = b"\x88\x02\x03\xe9"
SHORT = 126
numbers = itertools.count()
clients: set[Client] = set()


def frame(text: bytes) -> bytes:
    """A text message in one frame; at most 65,535 bytes."""
    length = len(text)
    if length < SHORT:
        return b"\x81" + bytes((length,)) + text
    return b"\x81\x7e" + length.to_bytes(2, "big") + text


def timestamp() -> str:
    """Now, as JavaScript's `toISOString`."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Client(asyncio.Protocol):
    """One connection."""

    __slots__ = ("_open", "_transport", "_unread", "user")

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._open = False
        self._unread = b""
        self.user = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by class

    def connection_lost(self, exc: Exception | None) -> None:
        clients.discard(self)

    def data_received(self, data: bytes) -> None:
        data = self._unread + data if self._unread else data
        self._unread = b""
        if not self._open:
            self._upgrade(data)
            return
        while len(data) >= 6:
            length = data[1] & 0x7F
            if length == SHORT:
                head, length = 8, int.from_bytes(data[2:4], "big")
            else:
                head = 6
            if len(data) < head + length:
                break
            mask, payload = data[head - 4 : head], data[head : head + length]
            if mask != b"\0\0\0\0":
                key = (mask * (length // 4 + 1))[:length]
                payload = (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(length, "big")
            opcode = data[0] & 0x0F
            data = data[head + length :]
            if opcode == 8:
                self._transport.write(CLOSE)
                self._transport.close()
                return
            self._received(payload)
        self._unread = data

    def _upgrade(self, data: bytes) -> None:
        if not data.endswith(b"\r\n\r\n"):
            self._unread = data
            return
        self._open = True
        at = data.index(KEY) + len(KEY)
        accept = base64.b64encode(hashlib.sha1(data[at : data.index(b"\r", at)] + GUID).digest())  # noqa: S324 RFC 6455
        opened = f'0{{"sid":"{next(numbers):020}",{OPENED}}}'.encode()
        self._transport.write(ACCEPT + accept + b"\r\n\r\n" + frame(opened))

    def _received(self, text: bytes) -> None:
        if text.startswith(b"42"):
            at = text.index(b"[")
            self._event(text[2:at], json.loads(text[at:]))
        elif text.startswith(b"40"):
            self.user = json.loads(text[2:])["userId"]
            clients.add(self)
            number = next(numbers)
            self._transport.write(frame(f'40{{"sid":"{number:020}","pid":"{number:020}"}}'.encode()))

    def _event(self, number: bytes, event: list[object]) -> None:
        match event:
            case ["echo", data]:
                answer = json.dumps([data], separators=(",", ":")).encode()
                self._transport.write(frame(b"43" + number + answer))
            case ["subscribe:portfolio"]:
                answer = f'{{"success":true,"userId":"{self.user}","timestamp":"{timestamp()}"}}'.encode()
                confirmation = frame(b'42["subscribed:portfolio",' + answer + b"]")
                self._transport.write(confirmation + frame(b"43" + number + b"[" + answer + b"]"))
            case ["bench:broadcast", {"count": int(count)}]:
                for _ in range(count):
                    broadcast()


def broadcast() -> None:
    """Send one portfolio update to everybody."""
    update = (
        '42["portfolio:update",{"userId":"user-000000","portfolio":{"totalValue":125430.5,"dayChange":-312.25,'
        f'"dayChangePercent":-0.25}},"timestamp":"{timestamp()}"}},"{next(numbers):016}"]'
    )
    message = frame(update.encode())
    for client in clients:
        client._transport.write(message)


async def serve() -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(Client, "127.0.0.1", 0, backlog=2048)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    sys.exit(uvloop.run(serve()))
