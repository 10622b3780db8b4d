"""Requests that are relayed, as a client sees them."""

from __future__ import annotations

from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

from kit.servers.fleet import (
    Poller,
)
from kit.servers.in_process import RunningServer
from kit.waiting import eventually


def said(answer: httpx.Response) -> tuple[int, Any]:
    return answer.status_code, answer.json()


async def through(owner: RunningServer, edge: RunningServer, client: Poller, **options: Any) -> ClientConnection:
    """Upgrade a connection through another server than its own."""
    socket_ = await connect(
        edge.url.replace("http", "ws") + client.path("websocket"), compression=None, proxy=None, **options
    )
    await socket_.send("2probe")
    assert await socket_.recv() == "3probe"
    await socket_.send("5")
    await eventually(lambda: owner.app.components.socket_server.eio.transport_of(client.sid) == "websocket")
    return socket_
