"""Raw bytes to and from a server: HTTP heads, WebSocket frames, and a client that takes nothing for granted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

WITHIN = 20.0
"""Seconds that an answer may take."""
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
_MASK = b"\x37\xfa\x21\x3d"


def masked(payload: bytes, mask: bytes = _MASK) -> bytes:
    """A payload with its mask before it (RFC 6455 §5.3)."""
    return mask + bytes(byte ^ mask[position % 4] for position, byte in enumerate(payload))


def client_frame(opcode: int, payload: bytes | str = b"", *, fin: bool = True, width: int | None = None) -> bytes:
    """A frame of a client.

    Args:
        opcode: Its kind.
        payload: What it carries.
        fin: Whether it is the last of its message.
        width: Bytes in which the length is said behind the first one (0, 2 or 8); None: as few as possible.
    """
    data = payload.encode() if isinstance(payload, str) else payload
    size = len(data)
    if width is None:
        width = 0 if size < 126 else 2 if size < 65_536 else 8
    first = bytes(((0x80 if fin else 0) | opcode, 0x80 | {0: size, 2: 126, 8: 127}[width]))
    return first + (size.to_bytes(width, "big") if width else b"") + masked(data)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer.

    Attributes:
        status: Its status.
        headers: Names in lower case; of several with one name the last.
        body: Its content.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """One TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, url: str, tls: ssl.SSLContext | None = None) -> Self:
        """Connect to the server of this address."""
        parts = urlsplit(url)
        return cls(*await asyncio.open_connection(parts.hostname, parts.port, ssl=tls, limit=2**24))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    async def write(self, data: bytes | str) -> None:
        """Send bytes as they are."""
        self.writer.write(data.encode("latin-1") if isinstance(data, str) else data)
        with contextlib.suppress(ConnectionError):
            await self.writer.drain()

    async def read_answer(self) -> Answer:
        """The next HTTP answer."""
        async with asyncio.timeout(WITHIN):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            status = int(first.split(" ")[1])
            body = b""
            if "content-length" in headers:
                body = await self.reader.readexactly(int(headers["content-length"]))
            elif headers.get("transfer-encoding") == "chunked":
                while size := int(await self.reader.readuntil(b"\r\n"), 16):
                    body += (await self.reader.readexactly(size + 2))[:-2]
                await self.reader.readuntil(b"\r\n")
            return Answer(status, headers, body)

    async def read_to_end(self) -> bytes:
        """All that comes until the server closes; however it does that."""
        data = b""
        async with asyncio.timeout(WITHIN):
            with contextlib.suppress(ConnectionError):
                while chunk := await self.reader.read(65_536):
                    data += chunk
        return data


def head_of(method: str, target: str, *lines: str, host: str = "server.test") -> str:
    """The head of a request."""
    return "\r\n".join((f"{method} {target} HTTP/1.1", f"Host: {host}", *lines, "", ""))


def websocket_head(target: str, *lines: str) -> str:
    """The head of a WebSocket's handshake."""
    upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}")
    return head_of("GET", target, *upgrade, *lines)


WEBSOCKET = "/socket.io/?EIO=4&transport=websocket"
POLLING = "/socket.io/?EIO=4&transport=polling"


class Closed(Exception):
    """The server has closed.

    Attributes:
        code: Of its close frame; None: there was none.
    """

    def __init__(self, code: int | None) -> None:
        super().__init__(str(code))
        self.code = code


class WebSocket(Wire):
    """A WebSocket whose frames the test makes itself."""

    @classmethod
    async def connect(cls, url: str, target: str = WEBSOCKET, *lines: str, tls: ssl.SSLContext | None = None) -> Self:
        """Connect, and make the handshake."""
        wire = await cls.open(url, tls)
        await wire.write(websocket_head(target, *lines))
        answer = await wire.read_answer()
        assert answer.status == 101, answer
        assert answer.headers["sec-websocket-accept"] == ACCEPT
        return wire

    async def send(self, *packets: str | bytes) -> None:
        """Send packets, each in a frame of its own, in one piece."""
        await self.write(
            b"".join(client_frame(TEXT if isinstance(packet, str) else BINARY, packet) for packet in packets)
        )

    async def frame(self) -> tuple[int, bytes]:
        """The next frame: its opcode and its payload. What the server sends is never masked nor in fragments.

        Raises:
            Closed: There is none.
        """
        async with asyncio.timeout(WITHIN):
            try:
                first, second = await self.reader.readexactly(2)
                assert first & 0xF0 == 0x80, "FIN, and no reserved bit"
                assert not second & 0x80, "a server does not mask"
                size = second
                if second > 125:
                    size = int.from_bytes(await self.reader.readexactly(2 if second == 126 else 8), "big")
                    assert size > (125 if second == 126 else 65_535), "as few bytes as possible"
                return first & 0x0F, await self.reader.readexactly(size)
            except (asyncio.IncompleteReadError, ConnectionError):
                raise Closed(None) from None

    async def packet(self) -> str | bytes:
        """The next packet.

        Raises:
            Closed: The server closes instead.
        """
        while True:
            opcode, payload = await self.frame()
            if opcode == TEXT:
                return payload.decode()
            if opcode == BINARY:
                return payload
            if opcode == CLOSE:
                assert len(payload) >= 2
                raise Closed(int.from_bytes(payload[:2], "big"))

    async def text(self) -> str:
        """The next packet, which is a text."""
        found = await self.packet()
        assert isinstance(found, str), found
        return found

    async def opened(self) -> dict[str, Any]:
        """The handshake of Engine.IO."""
        packet = await self.text()
        assert packet[0] == "0"
        found: dict[str, Any] = json.loads(packet[1:])
        return found

    async def until_closed(self) -> tuple[list[str | bytes], int | None]:
        """The packets until the server closes, and with which code; then the connection has to end too."""
        packets: list[str | bytes] = []
        try:
            while True:
                packets.append(await self.packet())
        except Closed as closed:
            if closed.code is not None:
                await self.write(client_frame(CLOSE, closed.code.to_bytes(2, "big")))
            assert await self.read_to_end() == b"", "nothing follows the close frame"
            return packets, closed.code

    async def join(self, auth: Mapping[str, Any] | None = None, namespace: str = "/") -> str:
        """Join a namespace; the sid there."""
        head = "" if namespace == "/" else f"{namespace},"
        await self.send(f"40{head}" + ("" if auth is None else json.dumps(auth)))
        while not (packet := await self.text()).startswith(f"40{head}{{"):
            assert packet[:2] not in ("44",), packet
        sid: str = json.loads(packet[2 + len(head) :])["sid"]
        return sid

    async def until(self, start: str) -> str:
        """The next text that begins so; others are passed over, and heartbeats answered."""
        while True:
            packet = await self.packet()
            if isinstance(packet, str) and packet.startswith(start):
                return packet
            if packet == "2":
                await self.send("3")


class Polling:
    """A polling client whose requests the test makes itself, each on a connection of its own.

    Attributes:
        sid: Of its session.
        opened: The handshake.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.sid = ""
        self.opened: dict[str, Any] = {}

    @classmethod
    async def connect(cls, url: str) -> Self:
        """Open a session."""
        client = cls(url)
        answer = await request(url, head_of("GET", POLLING, "Connection: close"))
        assert answer.status == 200, answer
        assert answer.body[:1] == b"0"
        client.opened = json.loads(answer.body[1:])
        client.sid = client.opened["sid"]
        return client

    @property
    def target(self) -> str:
        """Path and query of its requests."""
        return f"{POLLING}&sid={self.sid}"

    async def poll(self) -> Answer:
        """Ask for packets."""
        return await request(self.url, head_of("GET", self.target, "Connection: close"))

    async def packets(self) -> list[str]:
        """The packets of the next answer."""
        answer = await self.poll()
        assert answer.status == 200, answer
        return answer.text.split("\x1e")

    async def post(self, *packets: str | bytes) -> Answer:
        """Send packets."""
        body = b"\x1e".join(packet.encode() if isinstance(packet, str) else packet for packet in packets)
        lines = (f"Content-Length: {len(body)}", "Content-Type: text/plain;charset=UTF-8", "Connection: close")
        return await request(self.url, head_of("POST", self.target, *lines).encode("latin-1") + body)

    async def join(self, auth: Mapping[str, Any] | None = None, namespace: str = "/") -> str:
        """Join a namespace; the sid there."""
        head = "" if namespace == "/" else f"{namespace},"
        answer = await self.post(f"40{head}" + ("" if auth is None else json.dumps(auth)))
        assert (answer.status, answer.body) == (200, b"ok")
        packet = (await self.packets())[0]
        assert packet.startswith(f"40{head}{{"), packet
        sid: str = json.loads(packet[2 + len(head) :])["sid"]
        return sid


async def request(url: str, data: bytes | str) -> Answer:
    """One request on a connection of its own."""
    async with await Wire.open(url) as wire:
        await wire.write(data)
        return await wire.read_answer()
