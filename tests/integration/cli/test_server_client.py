"""A command and what answers it."""

from __future__ import annotations

import asyncio

from integration.cli.commands import TOKEN
from kit.servers.process import tradecast


async def test_emit_to_what_is_no_tradecast_server() -> None:
    done = await tradecast("emit", "market:status", '"open"', "--url", "http://127.0.0.1:1", API_TOKEN=TOKEN)
    assert done.code == 1
    assert "cannot reach the server, http://127.0.0.1:1: " in done.err

    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n[]")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(other, "127.0.0.1", 0) as listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        done = await tradecast("emit", "market:status", '"open"', "--url", url, API_TOKEN=TOKEN)
    assert done.code == 1
    assert "not as a tradecast server" in done.err
