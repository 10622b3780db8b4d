"""permessage-deflate (RFC 7692) and gzip, on real servers, with clients of others."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import zlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import websockets
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, PerMessageDeflate

from kit.clients.node import StockClients
from kit.clients.python import PythonClients
from kit.clients.raw import (
    BINARY,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    WEBSOCKET,
    Answer,
    Closed,
    Polling,
    WebSocket,
    client_frame,
    head_of,
    request,
    websocket_head,
)
from kit.servers.in_process import MakeServer, RunningServer
from kit.waiting import eventually
from protocol.contract import FAST
from protocol.engine.conftest import add_handlers
from tradecast.engine.compression.gzip import SMALLEST

OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
ANSWER = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
RSV1 = 0x40
X = "x" * 3_000
SIZES = (0, 1, 16, 64, 125, 126, 256, 1_023, 1_024, 1_025, 4_096, 8_192, 16_384, 32_768, 65_535, 65_536, 131_072)
"""Of messages, as in cases 12.* and 13.* of the Autobahn test suite."""


@pytest.fixture
async def server(make_server: MakeServer) -> RunningServer:
    """A server that compresses, and that everybody may use."""
    return await make_server(add_handlers, auth_required=False, websocket_compression=True)


def compressed(content: str | bytes, level: int = 9) -> bytes:
    """A client's message."""
    compressor = zlib.compressobj(level, zlib.DEFLATED, -15)
    data = content.encode() if isinstance(content, str) else content
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\0\0\xff\xff")


class Deflating(WebSocket):
    """A WebSocket that has agreed to compression.

    Attributes:
        deflated: How many compressed messages have come.
    """

    deflated = 0

    async def frame(self) -> tuple[int, bytes]:
        async with asyncio.timeout(20):
            try:
                first, size = await self.reader.readexactly(2)
                if size > 125:
                    size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
                payload = await self.reader.readexactly(size)
            except (asyncio.IncompleteReadError, ConnectionError):
                raise Closed(None) from None
        assert first & 0xB0 == 0x80, "FIN, and no other reserved bit"
        if first & RSV1:
            assert first & 0x0F in (TEXT, BINARY)
            self.deflated += 1
            payload = zlib.decompressobj(-15).decompress(payload + b"\0\0\xff\xff")
        return first & 0x0F, payload

    async def send_compressed(self, *packets: str | bytes) -> None:
        """Send packets, each compressed in a frame of its own."""
        await self.write(
            b"".join(
                client_frame(RSV1 | (TEXT if isinstance(packet, str) else BINARY), compressed(packet))
                for packet in packets
            )
        )


@pytest.fixture
async def client(server: RunningServer) -> AsyncIterator[Deflating]:
    async with await Deflating.connect(server.url, WEBSOCKET, OFFER) as client:
        await client.opened()
        await client.join()
        yield client


def measured(server: RunningServer, name: str, **labels: str) -> float:
    """A metric."""
    found = server.app.components.foundation.metrics.registry.get_sample_value(f"tradecast_{name}", labels)
    return found or 0.0


# -- the handshake


async def extensions_of(server: RunningServer, *lines: str) -> tuple[int, str | None]:
    answer = await request(server.url, websocket_head(WEBSOCKET, *lines))
    return answer.status, answer.headers.get("sec-websocket-extensions")


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        ((), (101, None)),
        ((OFFER,), (101, ANSWER)),
        (("Sec-WebSocket-Extensions: foo", OFFER), (101, ANSWER)),
        ((OFFER + "=7",), (101, None)),
        ((OFFER + '="10', OFFER), (400, None)),
        ((OFFER + "=7", "sec-websocket-extensions: permessage-deflate"), (101, ANSWER)),
        (("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=8",), (101, None)),
        (
            ("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=15",),
            (101, ANSWER + "; server_max_window_bits=15"),
        ),
        (("Sec-WebSocket-Extensions: permessage-deflate;" + "a" * 5_000,), (101, None)),
        (("Sec-WebSocket-Extensions:",), (101, None)),
    ],
)
async def test_offers(server: RunningServer, lines: tuple[str, ...], answer: tuple[int, str | None]) -> None:
    assert await extensions_of(server, *lines) == answer
    assert measured(server, "compression_negotiated_total") == (answer[1] is not None)


async def test_off_by_default(open_server: RunningServer) -> None:
    """Even what breaks the grammar is not looked at."""
    assert await extensions_of(open_server, OFFER) == (101, None)
    assert await extensions_of(open_server, "Sec-WebSocket-Extensions: ;") == (101, None)
    async with await WebSocket.connect(open_server.url, WEBSOCKET, OFFER) as client:
        await client.opened()
        await client.write(client_frame(RSV1 | TEXT, compressed("40")))
        assert await client.until_closed() == ([], 1002)


async def test_who_offers_nothing_gets_nothing_compressed(server: RunningServer) -> None:
    async with await WebSocket.connect(server.url) as client:
        await client.opened()
        await client.join()
        await client.send(f'421["echo","{X}"]')
        assert await client.text() == f'431["{X}"]'
        await client.write(client_frame(RSV1 | TEXT, compressed('421["echo"]')))
        assert (await client.until_closed())[1] == 1002


# -- messages


async def test_both_ways(server: RunningServer, client: Deflating) -> None:
    await client.send_compressed('421["echo","a"]', f'422["echo","{X}"]')
    assert [await client.text(), await client.text()] == ['431["a"]', f'432["{X}"]']
    assert client.deflated == 1
    assert measured(server, "compressed_messages_total") == 1
    assert measured(server, "compression_input_bytes_total") == len(f'432["{X}"]')
    assert 0 < measured(server, "compression_output_bytes_total") < 100


@pytest.mark.parametrize("level", [0, 1, 9])
async def test_all_sizes(client: Deflating, level: int) -> None:
    for size in SIZES:
        data, text = os.urandom(size), json.dumps({"id": list(range(size // 8))})
        await client.write(
            client_frame(TEXT, '451-1["echo",{"_placeholder":true,"num":0}]')
            + client_frame(RSV1 | BINARY, compressed(data, level))
            + client_frame(RSV1 | TEXT, compressed(f'422["echo",{text}]', level))
        )
        assert await client.text() == '461-1[{"_placeholder":true,"num":0}]'
        assert await client.packet() == data
        assert json.loads((await client.text())[3:]) == [json.loads(text)]


@pytest.mark.parametrize("size", [1, 7, 64])
async def test_fragments_with_control_frames_between(client: Deflating, size: int) -> None:
    payload = compressed(f'421["echo",{json.dumps(list(range(300)))}]')
    parts = [payload[at : at + size] for at in range(0, len(payload), size)][:1000]
    for number, part in enumerate(parts):
        opcode = CONTINUATION if number else RSV1 | TEXT
        await client.write(client_frame(opcode, part, fin=number == len(parts) - 1))
        if number == 1:
            await client.write(client_frame(PING, b"between"))
            assert await client.frame() == (PONG, b"between")
    assert json.loads((await client.text())[3:]) == [list(range(300))]


async def test_small_messages_stay_as_they_are(client: Deflating) -> None:
    for size, deflated in ((1_000, 0), (1_200, 1)):
        await client.send(f'421["echo","{"x" * size}"]')
        await client.text()
        assert client.deflated == deflated


async def test_one_message_to_all_is_compressed_once(server: RunningServer, client: Deflating) -> None:
    async with (
        await Deflating.connect(server.url, WEBSOCKET, OFFER) as other,
        await WebSocket.connect(server.url) as old,
    ):
        for one in (other, old):
            await one.opened()
            await one.join()
        await server.app.emit_to_room("market:status", "market:status", {"text": X})
        for one in (client, other, old):
            assert X in await one.until('42["market:status"')
    assert (client.deflated, other.deflated) == (1, 1)
    assert measured(server, "compressed_messages_total") == 1


async def test_upgrade_may_agree_to_it(server: RunningServer) -> None:
    polling = await Polling.connect(server.url)
    await polling.join()
    async with await Deflating.connect(server.url, f"{WEBSOCKET}&sid={polling.sid}", OFFER) as client:
        await client.send_compressed("2probe")
        assert await client.text() == "3probe"
        await client.send_compressed("5")
        await client.send_compressed(f'421["echo","{X}"]')
        assert await client.until("431") == f'431["{X}"]'
        assert client.deflated == 1


# -- what breaks the rules


def case(*frames: bytes) -> bytes:
    return b"".join(frames)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (client_frame(0x20 | TEXT, "40"), 1002),
        (client_frame(0x10 | TEXT, "40"), 1002),
        (client_frame(0x60 | TEXT, compressed("40")), 1002),
        (client_frame(RSV1 | PING, "a"), 1002),
        (client_frame(RSV1 | PONG), 1002),
        (case(client_frame(TEXT, "4", fin=False), client_frame(RSV1 | CONTINUATION, "0")), 1002),
        (case(client_frame(RSV1 | TEXT, b"\0", fin=False), client_frame(RSV1 | CONTINUATION)), 1002),
        (case(client_frame(RSV1 | TEXT, b"\0", fin=False), client_frame(RSV1 | TEXT)), 1002),
        (client_frame(RSV1 | TEXT, b"not compressed at all"), 1007),
        (client_frame(RSV1 | TEXT, compressed('42["x"]')[:-3]), 1007),
        (client_frame(RSV1 | TEXT, compressed(b"4\xff")), 1007),
        (
            case(
                client_frame(RSV1 | TEXT, compressed(b"4\xff")[:3], fin=False),
                client_frame(CONTINUATION, compressed(b"4\xff")[3:]),
            ),
            1007,
        ),
        (client_frame(RSV1 | BINARY, compressed(b"\0" * 1_000_001)), 1009),
        (client_frame(RSV1 | BINARY, b"\x03\x00" * 100_000), 1008),
    ],
)
async def test_breaking_the_rules(client: Deflating, data: bytes, code: int) -> None:
    await client.write(data)
    assert await client.until_closed() == ([], code)


async def test_bomb_is_a_limit(server: RunningServer, client: Deflating) -> None:
    bomb = client_frame(RSV1 | TEXT, compressed("4" + "x" * 50_000_000))
    await client.write(bomb)
    assert await client.until_closed() == ([], 1009)
    assert measured(server, "limits_exceeded_total", limit="inflated") == 1


async def test_who_has_not_joined_may_inflate_little(server: RunningServer) -> None:
    async with await Deflating.connect(server.url, WEBSOCKET, OFFER) as client:
        await client.opened()
        await client.send_compressed("40" + json.dumps({"x": "x" * 40_000}))
        assert await client.until_closed() == ([], 1009)


async def test_flood_of_compressed_messages_slows_only_its_sender(server: RunningServer, client: Deflating) -> None:
    async with await Deflating.connect(server.url, WEBSOCKET, OFFER) as flood:
        await flood.opened()
        await flood.join()
        sending = asyncio.ensure_future(flood.write(client_frame(RSV1 | TEXT, compressed("3")) * 10_000))
        for _ in range(20):
            await client.send('421["echo"]')
            await client.text()
        await sending
        await flood.send('421["echo"]')
        assert await flood.text() == "431[]"


# -- clients of others


async def test_websockets_package(server: RunningServer) -> None:
    offers = [
        ClientPerMessageDeflateFactory(server_max_window_bits=10),
        ClientPerMessageDeflateFactory(server_max_window_bits=15, client_max_window_bits=9),
    ]
    url = server.url.replace("http", "ws") + WEBSOCKET
    async with websockets.connect(url, extensions=offers, compression=None) as client:
        agreed = client.protocol.extensions[0]
        assert isinstance(agreed, PerMessageDeflate)
        assert agreed.remote_no_context_takeover
        assert agreed.local_no_context_takeover
        await client.recv()
        await client.send("40")
        await client.recv()
        for number in range(5):
            await client.send(f'42{number}["echo","{X}"]')
            assert await client.recv() == f'43{number}["{X}"]'
    assert measured(server, "compressed_messages_total") == 5


async def test_aiohttp(server: RunningServer) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(server.url + WEBSOCKET, compress=15) as client,
    ):
        assert client.compress
        await client.receive_str()
        await client.send_str("40")
        await client.receive_str()
        for number in range(5):
            await client.send_str(f'42{number}["echo","{X}"]')
            assert await client.receive_str() == f'43{number}["{X}"]'
    assert measured(server, "compressed_messages_total") == 5


@pytest.mark.parametrize("transports", [["websocket"], ["polling", "websocket"], ["polling"]])
async def test_standard_client(server: RunningServer, stock_clients: StockClients, transports: list[str]) -> None:
    """Which offers it by itself under Node."""
    client = await stock_clients.connect(server.url, None, transports=transports, **FAST)
    data = os.urandom(2_000) + b"\0" * 2_000
    for value in (X, {"bytes": data}, list(range(2_000))):
        assert await client.call("echo", value) == [value]
    await server.app.emit_to_room("market:status", "market:status", {"text": X})
    assert (await client.wait_for("market:status"))[0] == {"text": X}
    if transports == ["websocket"]:
        assert measured(server, "compression_negotiated_total") == 1
        assert measured(server, "compressed_messages_total") >= 3


async def test_python_client(server: RunningServer, python_clients: PythonClients) -> None:
    """Which offers nothing."""
    client = await python_clients.connect(server.url, None, transports=["websocket"], **FAST)
    assert await client.call("echo", X) == [X]


# -- HTTP


async def poll(client: Polling, *lines: str) -> Answer:
    return await request(client.url, head_of("GET", client.target, "Connection: close", *lines))


@pytest.fixture
async def polling(open_server: RunningServer) -> Polling:
    client = await Polling.connect(open_server.url)
    await client.join()
    return client


async def test_large_answers_to_polls_are_gzipped(polling: Polling) -> None:
    await polling.post(f'421["echo","{X}"]')
    answer = await poll(polling, "Accept-Encoding: gzip, deflate, br")
    assert (answer.headers["content-encoding"], answer.headers["vary"]) == ("gzip", "Accept-Encoding")
    assert len(answer.body) < 200
    assert gzip.decompress(answer.body).decode() == f'431["{X}"]'


@pytest.mark.parametrize("lines", [(), ("Accept-Encoding: gzip;q=0",), ("Accept-Encoding: br",)])
async def test_answers_are_as_they_are_for_others(polling: Polling, lines: tuple[str, ...]) -> None:
    await polling.post(f'421["echo","{X}"]')
    answer = await poll(polling, *lines)
    assert ("content-encoding" in answer.headers, answer.headers["vary"]) == (False, "Accept-Encoding")
    assert answer.text == f'431["{X}"]'


async def test_small_answers_and_those_with_ids_are_as_they_are(open_server: RunningServer, polling: Polling) -> None:
    await polling.post('421["echo","x"]')
    answer = await poll(polling, "Accept-Encoding: gzip")
    assert ("content-encoding" in answer.headers, "vary" in answer.headers) == (False, False)
    client = await Polling.connect(open_server.url)
    await client.post("40", f'421["echo","{X}"]')
    answer = await poll(client, "Accept-Encoding: gzip")
    if len(answer.body) < SMALLEST:
        answer = await poll(client, "Accept-Encoding: gzip")
        assert answer.headers["content-encoding"] == "gzip"
    else:
        assert "content-encoding" not in answer.headers


async def test_http_compression_can_be_switched_off(make_server: MakeServer) -> None:
    server = await make_server(add_handlers, auth_required=False, http_compression=False)
    polling = await Polling.connect(server.url)
    await polling.join()
    await polling.post(f'421["echo","{X}"]')
    answer = await poll(polling, "Accept-Encoding: gzip")
    assert ("content-encoding" in answer.headers, answer.text) == (False, f'431["{X}"]')


@pytest.mark.parametrize("port", ["url", "admin_url"])
async def test_metrics_are_gzipped(open_server: RunningServer, port: str) -> None:
    url: Any = getattr(open_server, port)
    answer = await request(url, head_of("GET", "/metrics", "Accept-Encoding: gzip", "Connection: close"))
    assert answer.headers["content-encoding"] == "gzip"
    assert b"tradecast_connections" in gzip.decompress(answer.body)


async def test_connections_end_without_a_trace(server: RunningServer, client: Deflating) -> None:
    engine = server.app.components.socket_server.eio
    await client.write(client_frame(RSV1 | TEXT, b"\0", fin=False))
    client.writer.transport.abort()
    await eventually(lambda: not engine.sockets)
