"""Engine.IO v4 over WebSocket, and the frames of RFC 6455 under it, byte by byte."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kit.clients.raw import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    POLLING,
    PONG,
    TEXT,
    WEBSOCKET,
    Closed,
    WebSocket,
    Wire,
    client_frame,
    head_of,
)
from kit.network.tls import make_certificates
from kit.servers.in_process import MakeServer, RunningServer
from kit.waiting import eventually
from protocol.engine.conftest import PATIENT, add_handlers

ECHO = '["echo","x"]'


@pytest.fixture
async def client(open_server: RunningServer) -> AsyncIterator[WebSocket]:
    async with await WebSocket.connect(open_server.url) as client:
        await client.opened()
        await client.join()
        yield client


def count(server: RunningServer) -> int:
    """How many sessions the server has."""
    return len(server.app.components.socket_server.eio.sockets)


# -- packets


async def test_packets_pass_both_ways_in_order(client: WebSocket) -> None:
    await client.send(*(f"42{n}{ECHO}" for n in range(100)))
    assert [await client.text() for _ in range(100)] == [f'43{n}["x"]' for n in range(100)]


async def test_binary_passes_both_ways(client: WebSocket) -> None:
    for size in (0, 1, 125, 126, 65_535, 65_536, 500_000):
        data = os.urandom(size)
        await client.send('451-1["echo",{"_placeholder":true,"num":0}]', data)
        assert await client.text() == '461-1[{"_placeholder":true,"num":0}]'
        assert await client.packet() == data


async def test_close_packet_ends_it(open_server: RunningServer, client: WebSocket) -> None:
    await client.send("1")
    assert await client.until_closed() == ([], 1000)
    await eventually(lambda: count(open_server) == 0)


@pytest.mark.parametrize("packet", ["", "7", "x", "2", "2probe", "5", "6", "0{}", "3" + "x" * 500, "4", "47"])
async def test_packet_that_no_client_sends_ends_it(open_server: RunningServer, client: WebSocket, packet: str) -> None:
    await client.send(packet)
    packets, code = await client.until_closed()
    assert code == 1000
    assert all("INVALID_PAYLOAD" in str(one) for one in packets)
    await eventually(lambda: count(open_server) == 0)


# -- lengths


@pytest.mark.parametrize(
    ("size", "width"), [(20, 2), (20, 8), (125, 0), (125, 2), (126, 2), (65_535, 2), (65_536, 8), (900_000, 8)]
)
async def test_length_in_whatever_form(client: WebSocket, size: int, width: int) -> None:
    head, tail = '421["echo","', '"]'
    text = "x" * (size - len(head) - len(tail))
    await client.write(client_frame(TEXT, head + text + tail, width=width))
    assert await client.text() == f'431["{text}"]'


async def test_frame_that_comes_byte_by_byte(client: WebSocket) -> None:
    for byte in client_frame(TEXT, f"421{ECHO}", width=8):
        await client.write(bytes((byte,)))
        await asyncio.sleep(0)
    assert await client.text() == '431["x"]'


async def test_length_with_its_highest_bit(client: WebSocket) -> None:
    await client.write(bytes((0x82, 0xFF, 0x80, *[0] * 7, *[0] * 4)))
    assert await client.until_closed() == ([], 1002)


async def test_message_that_is_too_large(make_server: MakeServer) -> None:
    server = await make_server(add_handlers, auth_required=False, max_http_buffer_size=1000)
    for frames in (
        [client_frame(TEXT, "4" + "x" * 1000)],
        [client_frame(BINARY, b"x" * 1001)],
        [bytes((0x81, 0xFE, 0x03, 0xE9))],
        [client_frame(TEXT, "4" + "x" * 499, fin=False), client_frame(CONTINUATION, "x" * 501)],
    ):
        async with await WebSocket.connect(server.url) as client:
            await client.opened()
            await client.join()
            await client.write(b"".join(frames))
            assert await client.until_closed() == ([], 1009)


async def test_largest_message_is_taken(make_server: MakeServer) -> None:
    server = await make_server(add_handlers, auth_required=False, max_http_buffer_size=1000)
    async with await WebSocket.connect(server.url) as client:
        await client.opened()
        await client.join()
        head, tail = '421["echo","', '"]'
        text = "x" * (1000 - len(head) - len(tail))
        await client.send(head + text + tail)
        assert await client.text() == f'431["{text}"]'


# -- fragments and control frames


async def test_fragments_with_control_frames_between_them(client: WebSocket) -> None:
    packet = f'421["echo","{"é" * 50}"]'.encode()
    pieces = [packet[:5], packet[5:15], b"", packet[15:16], packet[16:]]  # within a character too
    for number, piece in enumerate(pieces):
        first, last = number == 0, number == len(pieces) - 1
        await client.write(client_frame(TEXT if first else CONTINUATION, piece, fin=last))
        if not last:
            await client.write(client_frame(PING, f"ping {number}"))
            assert await client.frame() == (PONG, b"ping %d" % number)
            await client.write(client_frame(PONG, "unasked"))
    assert await client.text() == '431["' + "é" * 50 + '"]'


async def test_binary_in_fragments(client: WebSocket) -> None:
    data = os.urandom(1000)
    await client.send('451-1["echo",{"_placeholder":true,"num":0}]')
    await client.write(client_frame(BINARY, data[:400], fin=False) + client_frame(CONTINUATION, data[400:]))
    assert (await client.text(), await client.packet()) == ('461-1[{"_placeholder":true,"num":0}]', data)


@pytest.mark.parametrize("payload", [b"", b"x" * 125, bytes(range(125))])
async def test_ping_of_the_protocol_is_answered_with_its_payload(client: WebSocket, payload: bytes) -> None:
    await client.write(client_frame(PING, payload))
    assert await client.frame() == (PONG, payload)


async def test_pings_at_once_are_each_answered_in_order(client: WebSocket) -> None:
    """RFC 6455 allows to answer the newest one only; test suites and some clients want each."""
    ping, text = client_frame(PING, "between"), b'421["echo",1]'
    await client.write(
        b"".join(client_frame(PING, f"{number}") for number in range(10))
        + client_frame(TEXT, text[:4], fin=False)
        + ping
        + client_frame(CONTINUATION, text[4:])
    )
    for number in range(10):
        assert await client.frame() == (PONG, b"%d" % number)
    assert await client.frame() == (PONG, b"between")
    assert await client.text() == "431[1]"


BROKEN: dict[str, bytes] = {
    "not masked": bytes((0x81, 1)) + b"3",
    "not masked, and empty": bytes((0x81, 0)),
    "first reserved bit": bytes((0xC1, 0x81, 0, 0, 0, 0)) + b"3",
    "second reserved bit": bytes((0xA1, 0x81, 0, 0, 0, 0)) + b"3",
    "third reserved bit": bytes((0x91, 0x81, 0, 0, 0, 0)) + b"3",
    "reserved bit of a ping": bytes((0xC9, 0x80, 0, 0, 0, 0)),
    "unknown data frame": client_frame(0x3, "x"),
    "unknown control frame": client_frame(0xB, "x"),
    "continuation of nothing": client_frame(CONTINUATION, "x"),
    "message within a message": client_frame(TEXT, "4", fin=False) + client_frame(TEXT, "4"),
    "ping in fragments": client_frame(PING, "x", fin=False),
    "close in fragments": client_frame(CLOSE, b"\x03\xe8", fin=False),
    "ping that is too long": client_frame(PING, "x" * 126),
    "close that is too long": client_frame(CLOSE, b"\x03\xe8" + b"x" * 124),
}


@pytest.mark.parametrize("which", list(BROKEN))
async def test_frame_that_breaks_the_rules(open_server: RunningServer, client: WebSocket, which: str) -> None:
    await client.write(BROKEN[which])
    assert await client.until_closed() == ([], 1002)
    await eventually(lambda: count(open_server) == 0)


@pytest.mark.parametrize("payload", [b"4\xff", b"4\xc3", b"4\xed\xa0\x80", b"4\xf5\x80\x80\x80", b"4\xc0\xaf"])
@pytest.mark.parametrize("pieces", [1, 2])
async def test_text_that_is_not_utf_8(client: WebSocket, payload: bytes, pieces: int) -> None:
    if pieces == 1:
        await client.write(client_frame(TEXT, payload))
    else:
        await client.write(client_frame(TEXT, payload[:2], fin=False) + client_frame(CONTINUATION, payload[2:]))
    assert await client.until_closed() == ([], 1007)


# -- the closing handshake


@pytest.mark.parametrize(
    ("payload", "code"),
    [(b"", 1000), (b"\x03\xe8", 1000), (b"\x03\xe9bye", 1001), (b"\x0b\xb8", 3000), (b"\x13\x87" + b"x" * 123, 4999)],
)
async def test_close_of_the_client_is_answered_with_its_code(
    open_server: RunningServer, client: WebSocket, payload: bytes, code: int
) -> None:
    await client.write(client_frame(CLOSE, payload) + client_frame(TEXT, f"421{ECHO}"))
    opcode, answer = await client.frame()
    assert (opcode, int.from_bytes(answer, "big")) == (CLOSE, code)
    assert await client.read_to_end() == b"", "the server closes the connection first"
    await eventually(lambda: count(open_server) == 0)


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"\x03", 1002),
        *((number.to_bytes(2, "big"), 1002) for number in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535)),
        (b"\x03\xe8\xff\xfe", 1007),
    ],
)
async def test_close_that_is_invalid_gets_an_error_that_says_so(
    open_server: RunningServer, client: WebSocket, payload: bytes, code: int
) -> None:
    await client.write(client_frame(CLOSE, payload))
    opcode, answer = await client.frame()
    assert (opcode, int.from_bytes(answer, "big")) == (CLOSE, code)
    assert await client.read_to_end() == b""
    await eventually(lambda: count(open_server) == 0)


async def test_who_is_hung_up_on_gets_what_waits_and_no_close_frame(
    open_server: RunningServer, client: WebSocket
) -> None:
    (sid,) = open_server.app.components.socket_server.eio.sockets
    await open_server.app.emit_to_room("market:status", "e", {"last": "words"})
    open_server.app.components.socket_server.eio.close_transport(sid)
    assert (await client.text()).startswith('42["e",{"last":"words"}')
    with pytest.raises(Closed) as closed:
        await client.frame()
    assert closed.value.code is None
    assert len(open_server.app.components.socket_server.eio.leaving) == 1
    await client.send(f"421{ECHO}")  # on its way already: not handled, and no reason to drop what was sent
    client.writer.close()
    await eventually(lambda: open_server.app.components.socket_server.eio.count == 0)


async def test_close_of_the_server_waits_for_the_clients_end(open_server: RunningServer, client: WebSocket) -> None:
    (sid,) = open_server.app.components.socket_server.eio.sockets
    open_server.app.components.socket_server.eio.close_transport(sid, 1008)
    assert await client.frame() == (CLOSE, b"\x03\xf0")
    assert await client.read_to_end() == b"", "the server is the first to close"
    assert len(open_server.app.components.socket_server.eio.leaving) == 1
    await client.write(client_frame(CLOSE, b"\x03\xf0"))
    await eventually(lambda: open_server.app.components.socket_server.eio.count == 0)


async def test_client_that_does_not_answer_the_close_is_dropped(
    open_server: RunningServer, client: WebSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradecast.engine.transports.websocket.LINGER", 0.2)
    (sid,) = open_server.app.components.socket_server.eio.sockets
    open_server.app.components.socket_server.eio.close_transport(sid, 1000)
    assert await client.frame() == (CLOSE, b"\x03\xe8")
    assert await client.read_to_end() == b""
    await eventually(lambda: open_server.app.components.socket_server.eio.count == 0)


async def test_connection_that_breaks_off_ends_it(open_server: RunningServer, client: WebSocket) -> None:
    client.writer.transport.abort()
    await eventually(lambda: open_server.app.get_total_connection_count() == count(open_server) == 0)


async def test_half_closed_connection_ends_it(open_server: RunningServer, client: WebSocket) -> None:
    client.writer.write_eof()
    assert await client.read_to_end() == b""
    await eventually(lambda: count(open_server) == 0)


# -- heartbeats


async def test_server_asks_and_client_answers(patient_server: RunningServer) -> None:
    async with await WebSocket.connect(patient_server.url) as client:
        await client.opened()
        await client.join()
        for _ in range(5):
            assert await client.text() == "2"
            await client.send("3")
        await client.send(f"421{ECHO}")
        assert await client.until("43") == '431["x"]'


async def test_client_that_does_not_answer_is_ended(beating_server: RunningServer) -> None:
    async with await WebSocket.connect(beating_server.url) as client:
        await client.opened()
        assert await client.until_closed() == (["2"], None)
    await eventually(lambda: count(beating_server) == 0)


async def test_events_are_no_answer(beating_server: RunningServer) -> None:
    async with await WebSocket.connect(beating_server.url) as client:
        await client.opened()
        await client.join()
        closed: Closed | None = None
        while closed is None:
            try:
                await client.send(f"421{ECHO}")
                while await client.text() == "2":
                    pass
                await asyncio.sleep(0.03)  # below the limit of events
            except Closed as error:
                closed = error
        assert closed.code is None


async def test_client_whose_handler_takes_long_is_asked_and_answers_meanwhile(make_server: MakeServer) -> None:
    go_on = asyncio.Event()

    async def wait(connection: object, data: object) -> str:
        await go_on.wait()
        return "done"

    server = await make_server(lambda app: app.register_event_handler("wait", wait), auth_required=False, **PATIENT)
    async with await WebSocket.connect(server.url) as client:
        await client.opened()
        await client.join()
        await client.send('421["wait"]')
        for _ in range(5):
            assert await client.text() == "2"
            await client.send("3")
        go_on.set()
        assert await client.until("43") == '431["done"]'


# -- TLS


async def test_over_tls(make_server: MakeServer, tmp_path: Path) -> None:
    pem = make_certificates(tmp_path)
    server = await make_server(
        add_handlers,
        auth_required=False,
        ssl_certfile=pem.server_cert,
        ssl_keyfile=pem.server_key,
        require_tls=True,
    )
    url = server.url.replace("http", "https", 1)
    trusted = ssl.create_default_context(cafile=pem.ca)
    async with await WebSocket.connect(url, WEBSOCKET, tls=trusted) as client:
        await client.opened()
        await client.join()
        data = os.urandom(300_000)
        await client.send('451-1["echo",{"_placeholder":true,"num":0}]', data)
        assert (await client.text(), await client.packet()) == ('461-1[{"_placeholder":true,"num":0}]', data)
        await client.send(*(f"42{n}{ECHO}" for n in range(200)))
        assert [await client.text() for _ in range(200)] == [f'43{n}["x"]' for n in range(200)]
        (sid,) = server.app.components.socket_server.eio.sockets
        server.app.components.socket_server.eio.close_transport(sid)
        assert await client.until_closed() == ([], None)
    async with await Wire.open(url, trusted) as wire:
        await wire.write(head_of("GET", POLLING))
        assert (await wire.read_answer()).text.startswith("0{")
    await eventually(lambda: server.app.components.socket_server.eio.leaving == set())
