"""A connection whose session is claimed by another one, which may be older: a claim can wait for Redis for long."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from kit.servers.in_process import RunningServer


async def _joined(connection: ClientConnection, auth: dict[str, Any]) -> dict[str, Any]:
    """Connect to the namespace; what the server answers."""
    assert str(await connection.recv()).startswith("0")
    await connection.send("40" + json.dumps(auth))
    while not (packet := str(await connection.recv())).startswith("40"):
        assert packet == "2"
    return dict(json.loads(packet[2:]))


async def test_who_is_displaced_may_come_back(server: RunningServer) -> None:
    """DISCONNECT would be final for a stock client: the transport is closed, and whoever is alive comes back."""
    url = server.url.replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket"
    auth: dict[str, Any] = dict(await server.session("u1"))
    async with connect(url) as first, connect(url) as second, connect(url) as third:
        mine = await _joined(first, auth)
        other = await _joined(second, {**auth, "pid": mine["pid"]})
        assert other == mine
        with contextlib.suppress(ConnectionClosed):
            async for packet in first:
                assert not str(packet).startswith("41")
        assert await _joined(third, {**auth, "pid": mine["pid"]}) == mine
