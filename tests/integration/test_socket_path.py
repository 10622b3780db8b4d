"""Socket.IO at another path: of the server's own, below one that an application mounts it at, and behind proxies."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import InvalidStatus

from kit.clients.node import StockClients
from kit.servers.fleet import known_to
from kit.servers.in_process import MakeServer, RunningServer
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from protocol.contract import FAST, assert_alive
from tradecast.config.settings import load_settings
from tradecast.server import WebSocketServer

PATH = "/push/socket.io/"
TRANSPORTS = (["websocket"], ["polling"], ["polling", "websocket"])


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        yield client


@asynccontextmanager
async def served(app: Any, **options: Any) -> AsyncIterator[str]:
    """An app under uvicorn without anything of ours."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="error", **options))
        task = asyncio.ensure_future(server.serve(sockets=[bound]))
        await eventually(lambda: server.started)
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


@asynccontextmanager
async def initialized(**settings: Any) -> AsyncIterator[WebSocketServer]:
    app = WebSocketServer(load_settings({}, auth_required=False, **settings))
    await app.initialize()
    try:
        yield app
    finally:
        await app.shutdown()


@pytest.mark.parametrize("written", [PATH, "push/socket.io", "/push/socket.io"])
async def test_standard_clients_at_another_path(
    make_server: MakeServer, stock_clients: StockClients, written: str
) -> None:
    server = await make_server(socket_path=written)
    for transports in TRANSPORTS:
        for path in (PATH, PATH[:-1]):
            client = await stock_clients.connect(server.url, await server.session("u1"), transports, path=path, **FAST)
            await assert_alive(client)
            await client.close()


async def test_who_asks_elsewhere_learns_where(make_server: MakeServer, http: httpx.AsyncClient) -> None:
    server = await make_server(socket_path=PATH)
    for path in ("/socket.io/", "/socket.io", "/push", "/push/socket.io.evil/", "/pushy/socket.io/", "/"):
        answer = await http.get(f"{server.url}{path}?EIO=4&transport=polling")
        assert (answer.status_code, answer.json()["message"]) == (404, f"Socket.IO is at {PATH}"), path
        with pytest.raises(InvalidStatus) as caught:
            await open_websocket(f"{server.url.replace('http', 'ws')}{path}?EIO=4&transport=websocket", proxy=None)
        assert caught.value.response.status_code == 404
    for path in ("/health", "/health/ready", "/metrics"):
        assert (await http.get(server.url + path)).status_code == 200
    assert (await http.get(server.admin_url + "/health/ready")).status_code == 200


async def test_servers_pass_on_what_comes_at_another_path(redis_server: RedisServer, http: httpx.AsyncClient) -> None:
    environ = {"REDIS_URL": redis_server.url, "TRANSPORTS": "websocket,polling", "SOCKET_PATH": PATH}
    settings = load_settings(environ, port=0, admin_port=0, internal_port=0, host="127.0.0.1", auth_required=False)
    async with RunningServer(settings) as owner, RunningServer(settings) as other:
        await eventually(lambda: known_to(owner) == known_to(other) == 1)
        opened = await http.get(f"{owner.url}{PATH}?EIO=4&transport=polling")
        sid = opened.text.partition('"sid":"')[2].partition('"')[0]
        url = f"{other.url}{PATH}?EIO=4&transport=polling&sid={sid}"
        answer = await http.post(url, content="40")
        assert (answer.status_code, answer.text) == (200, "ok")
        assert (await http.get(url)).text.startswith("40{")


@pytest.mark.parametrize(
    ("mount", "root", "socket_path", "path"),
    [
        ("/push", "", "/socket.io/", "/push/socket.io/"),
        ("/a/b", "", "/ws", "/a/b/ws/"),
        ("", "/push", "/socket.io/", "/socket.io/"),
        ("", "/push/", "/socket.io/", "/socket.io/"),
        ("/api", "/push", "/socket.io/", "/api/socket.io/"),
    ],
)
async def test_mounted_and_behind_a_proxy(
    stock_clients: StockClients, http: httpx.AsyncClient, mount: str, root: str, socket_path: str, path: str
) -> None:
    """`root`: what a proxy has taken away, of which uvicorn is told by --root-path."""
    async with initialized(socket_path=socket_path) as app:
        public = app.public_app()
        outer = Starlette(routes=[Mount(mount, public)]) if mount else public
        async with served(outer, root_path=root) as url:
            for transports in TRANSPORTS:
                client = await stock_clients.connect(url, None, transports, path=path, **FAST)
                await client.close()
            assert (await http.get(f"{url}{mount}/health")).status_code == 200
            assert (await http.get(f"{url}{mount}/nowhere")).status_code == 404
