"""A WebSocket's opening handshake (RFC 6455 §4), and what comes with its head."""

from __future__ import annotations

import asyncio

import pytest

from kit.clients.raw import (
    KEY,
    TEXT,
    WEBSOCKET,
    Polling,
    WebSocket,
    Wire,
    client_frame,
    head_of,
    request,
    websocket_head,
)
from kit.servers.in_process import MakeServer, RunningServer
from protocol.engine.heads import LARGE


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (("Sec-WebSocket-Version: 13",), 400),
        (("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: short"), 400),
        (("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + "A" * 64), 400),
        ((f"Sec-WebSocket-Key: {KEY}",), 426),
        (("Sec-WebSocket-Version: 8", f"Sec-WebSocket-Key: {KEY}"), 426),
    ],
)
async def test_opening_handshake_that_breaks_the_rules(
    open_server: RunningServer, lines: tuple[str, ...], status: int
) -> None:
    answer = await request(
        open_server.url, head_of("GET", WEBSOCKET, "Upgrade: websocket", "Connection: Upgrade", *lines)
    )
    assert answer.status == status
    if status == 426:
        assert answer.headers["sec-websocket-version"] == "13"


@pytest.mark.parametrize("connection", ["upgrade", "keep-alive, Upgrade", "Upgrade , keep-alive", "UPGRADE"])
@pytest.mark.parametrize("upgrade", ["websocket", "WebSocket"])
async def test_words_of_the_handshake_may_be_written_in_any_case(
    open_server: RunningServer, connection: str, upgrade: str
) -> None:
    lines = (
        f"upgrade: {upgrade}",
        f"CONNECTION: {connection}",
        "sec-websocket-version: 13",
        f"sec-websocket-key: {KEY}",
    )
    assert (await request(open_server.url, head_of("GET", WEBSOCKET, *lines))).status == 101


async def test_several_connection_headers_are_one(open_server: RunningServer) -> None:
    lines = ("Connection: Upgrade", "Connection: keep-alive", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    answer = await request(open_server.url, head_of("GET", WEBSOCKET, *lines, f"Sec-WebSocket-Key: {KEY}"))
    assert answer.status == 101


async def test_no_extension_is_agreed_to(open_server: RunningServer) -> None:
    async with await Wire.open(open_server.url) as wire:
        offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
        await wire.write(websocket_head(WEBSOCKET, offer))
        answer = await wire.read_answer()
        assert (answer.status, answer.headers.get("sec-websocket-extensions")) == (101, None)


@pytest.mark.parametrize(("offered", "taken"), [("a", "a"), ("chat, superchat", "chat"), (" x ,y", "x")])
async def test_first_sub_protocol_is_echoed(open_server: RunningServer, offered: str, taken: str) -> None:
    answer = await request(open_server.url, websocket_head(WEBSOCKET, f"Sec-WebSocket-Protocol: {offered}"))
    assert (answer.status, answer.headers["sec-websocket-protocol"]) == (101, taken)


async def test_without_sub_protocols_none_is_named(open_server: RunningServer) -> None:
    answer = await request(open_server.url, websocket_head(WEBSOCKET))
    assert "sec-websocket-protocol" not in answer.headers


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_opening_handshake_is_a_get(open_server: RunningServer, method: str) -> None:
    """RFC 6455 §4.1: the method of the request must be GET."""
    head = websocket_head(WEBSOCKET).replace("GET ", f"{method} ", 1)
    assert (await request(open_server.url, head)).status == 400


async def test_upgrade_to_something_else_is_refused(open_server: RunningServer) -> None:
    head = head_of("GET", WEBSOCKET, "Upgrade: h2c", "Connection: Upgrade")
    assert (await request(open_server.url, head)).status == 400
    assert open_server.app.components.socket_server.eio.sockets == {}


@pytest.mark.parametrize("piece", [1, 7, 100])
async def test_head_that_comes_in_pieces(open_server: RunningServer, piece: int) -> None:
    async with await WebSocket.open(open_server.url) as client:
        head = websocket_head(WEBSOCKET).encode()
        for start in range(0, len(head), piece):
            await client.write(head[start : start + piece])
            await asyncio.sleep(0)
        assert (await client.read_answer()).status == 101
        await client.opened()
        await client.join()


async def test_frames_behind_the_head_in_the_same_piece(open_server: RunningServer) -> None:
    async with await WebSocket.open(open_server.url) as client:
        frames = client_frame(TEXT, "40") + client_frame(TEXT, '421["echo","early"]')
        await client.write(websocket_head(WEBSOCKET).encode() + frames)
        assert (await client.read_answer()).status == 101
        await client.opened()
        assert await client.until("43") == '431["early"]'


async def test_frames_behind_the_head_while_it_is_decided_about(make_server: MakeServer) -> None:
    """Handshakes wait for their turn; what has come meanwhile is not lost."""
    server = await make_server(auth_required=False, accept_rate=2, accept_burst=1, accept_wait=15)
    await Polling.connect(server.url)  # the one that has not to wait
    async with await WebSocket.open(server.url) as client:
        await client.write(websocket_head(WEBSOCKET).encode() + client_frame(TEXT, "40"))
        for _ in range(20):
            await client.write(client_frame(TEXT, '421["echo","' + "x" * 10_000 + '"]'))
        assert (await client.read_answer()).status == 101
        await client.opened()
        for _ in range(20):
            await client.until("43")


async def test_half_a_frame_behind_the_head(open_server: RunningServer) -> None:
    async with await WebSocket.open(open_server.url) as client:
        frame = client_frame(TEXT, "40")
        await client.write(websocket_head(WEBSOCKET).encode() + frame[:5])
        assert (await client.read_answer()).status == 101
        await client.opened()
        await client.write(frame[5:])
        await client.until("40{")


@pytest.mark.parametrize("which", list(LARGE))
async def test_large_head_of_a_websocket(open_server: RunningServer, which: str) -> None:
    more, lines = LARGE[which]
    async with await WebSocket.connect(open_server.url, WEBSOCKET + more, *lines) as client:
        await client.opened()
        await client.join()
