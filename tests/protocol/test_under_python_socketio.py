"""The engine alone, under python-socketio's own server as it comes: what anybody who takes the folder can do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import socketio

from kit.clients.node import StockClients
from kit.waiting import eventually
from tradecast.engine.http.request import Request
from tradecast.engine.server import EngineServer
from tradecast.engine.uvicorn.websocket_handshake import Upgrades
from tradecast.lifecycle.process import Listener, Process, ProcessHooks

pytestmark = pytest.mark.node


class Server(socketio.AsyncServer):
    """python-socketio's server on this engine; all else is theirs."""

    def _engineio_server_class(self) -> type[EngineServer]:
        return EngineServer


class OpenDoor:
    """Lets everybody in."""

    def admit(self, request: Request) -> None:
        return None


class Served:
    """A server, and where it is."""

    def __init__(self) -> None:
        self.sio = Server(async_mode="asgi", cors_allowed_origins="*")
        self.environs: list[dict[str, Any]] = []
        self.gone: list[str] = []
        self.url = ""


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    served = Served()
    sio = served.sio

    @sio.event
    async def connect(sid: str, environ: dict[str, Any], auth: Any) -> None:
        served.environs.append(environ)
        await sio.save_session(sid, {"name": auth["name"]})
        await sio.enter_room(sid, "all")

    @sio.event
    async def greet(sid: str, one: Any, other: Any) -> tuple[Any, ...]:
        async with asyncio.timeout(5):  # their handlers run in tasks
            await asyncio.sleep(0)
        session = await sio.get_session(sid)
        return session["name"], one, other

    @sio.event
    async def ask(sid: str) -> Any:
        return await sio.call("question", {"n": 1}, to=sid, timeout=10)

    @sio.event
    def disconnect(sid: str, reason: str) -> None:
        served.gone.append(reason)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await sio.handle_request(scope, receive, send)

    listener = Listener("public", app, "127.0.0.1", 0, upgrades=Upgrades(sio.eio, OpenDoor()))
    process = Process([listener], ProcessHooks(), grace=1)
    await process.start()
    served.url = f"http://127.0.0.1:{process.ports['public']}"
    yield served
    await sio.eio.close_all(1)
    await process.stop()
    await sio.shutdown()


@pytest.mark.parametrize("transports", [["websocket"], ["polling"], ["polling", "websocket"]])
async def test_standard_clients_can_do_everything(
    served: Served, stock_clients: StockClients, transports: list[str]
) -> None:
    client = await stock_clients.open(served.url, {"name": "Ann"}, transports)
    await client.wait_connect()
    assert served.environs[0]["PATH_INFO"] == "/socket.io/"
    assert "transport=" in served.environs[0]["QUERY_STRING"]
    assert await client.call("greet", 1, {"two": 2}) == ["Ann", 1, {"two": 2}]
    await served.sio.emit("news", {"bytes": b"\x00\x01"}, to="all")
    (news,) = await client.wait_for("news")
    assert bytes(news["bytes"]) == b"\x00\x01"
    await client.disconnect()
    await eventually(lambda: served.gone)
    assert served.gone == ["client disconnect"]


async def test_the_server_ends_a_client(served: Served, stock_clients: StockClients) -> None:
    client = await stock_clients.open(served.url, {"name": "Ann"}, ["websocket"])
    await client.wait_connect()
    (sid,) = [sid for sid, _ in served.sio.manager.get_participants("/", None)]
    await served.sio.disconnect(sid)
    await eventually(lambda: not client.connected)
    assert served.gone == ["server disconnect"]
