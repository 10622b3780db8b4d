"""Heads that ask for another protocol, or for a WebSocket in a way that is none."""

from __future__ import annotations

import pytest

from kit.clients.raw import KEY, WEBSOCKET, Wire, head_of, websocket_head
from kit.servers.in_process import RunningServer

OK_ROUTE = "/health"
H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")


async def test_other_protocols_are_ignored(open_server: RunningServer) -> None:
    """As RFC 9110 §7.8 wants it: `curl --http2` and Java's HttpClient ask for h2c with each request."""
    async with await Wire.open(open_server.url) as wire:
        await wire.write(head_of("GET", OK_ROUTE, *H2C))
        answer = await wire.read_answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await wire.read_to_end() == b""


async def test_websocket_behind_a_request_that_is_not_answered_is_dropped_and_the_answer_comes(
    open_server: RunningServer,
) -> None:
    async with await Wire.open(open_server.url) as wire:
        await wire.write(head_of("GET", OK_ROUTE) + websocket_head(WEBSOCKET))
        assert (await wire.read_answer()).status == 200
        assert await wire.read_to_end() == b""


@pytest.mark.parametrize("line", ["Content-Length: 3", "Transfer-Encoding: chunked"])
async def test_handshake_with_a_body_is_refused(open_server: RunningServer, line: str) -> None:
    async with await Wire.open(open_server.url) as wire:
        await wire.write(websocket_head(WEBSOCKET, line) + "abc")
        assert (await wire.read_answer()).status == 400


async def test_handshake_of_http_1_0_is_refused(open_server: RunningServer) -> None:
    """RFC 6455 §4.2.1: HTTP/1.1 or higher."""
    lines = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}")
    head = head_of("GET", WEBSOCKET, *lines).replace("HTTP/1.1", "HTTP/1.0")
    async with await Wire.open(open_server.url) as wire:
        await wire.write(head)
        assert (await wire.read_answer()).status == 400
