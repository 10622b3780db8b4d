"""The public app mounted in another one, under servers that hand over no raw connection: slower, but the same."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import hypercorn.asyncio
import hypercorn.config
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from kit.clients.raw import (
    CLOSE,
    POLLING,
    TEXT,
    WEBSOCKET,
    Polling,
    WebSocket,
    client_frame,
    head_of,
    request,
    websocket_head,
)
from kit.servers.in_process import settings_for_tests
from kit.waiting import eventually
from protocol.socketio.conftest import CUSTOM, RawClient, add_handlers, packet
from tradecast.server import WebSocketServer

Serve = Callable[[ASGIApp], AbstractAsyncContextManager[str]]


@contextlib.asynccontextmanager
async def under_uvicorn(app: ASGIApp) -> AsyncIterator[str]:
    """The address of an app under uvicorn as others set it up."""
    config = uvicorn.Config(app, http="httptools", ws="websockets-sansio", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await eventually(lambda: server.started)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


@contextlib.asynccontextmanager
async def under_hypercorn(app: ASGIApp) -> AsyncIterator[str]:
    """The address of an app under hypercorn."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    config = hypercorn.config.Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.graceful_timeout = 1
    stop = asyncio.Event()
    serving = asyncio.create_task(
        hypercorn.asyncio.serve(app, config, shutdown_trigger=stop.wait)  # type: ignore[arg-type]  # its own ASGI types
    )
    url = f"http://127.0.0.1:{port}"
    try:
        yield url
    finally:
        stop.set()
        await serving


beating = pytest.mark.parametrize("app", [{"ping_interval": 1, "ping_timeout": 3}], ids=["beating"], indirect=True)
"""With heartbeats that a test can wait for; elsewhere none comes between what is sent."""


@pytest.fixture
async def app(request: pytest.FixtureRequest) -> AsyncIterator[WebSocketServer]:
    """A server that nobody serves yet."""
    server = WebSocketServer(settings_for_tests(auth_required=False, **getattr(request, "param", {})))
    add_handlers(server)
    await server.initialize()
    yield server
    await server.shutdown()


@pytest.fixture(params=[under_uvicorn, under_hypercorn])
async def url(app: WebSocketServer, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """Where it is served, mounted in an application of somebody else's."""

    async def own(request: Request) -> PlainTextResponse:
        return PlainTextResponse("own")

    serve: Serve = request.param
    async with serve(Starlette(routes=[Route("/own", own), Mount("/", app.public_app())])) as address:
        yield address


@pytest.fixture(params=["websocket", "polling"])
async def client(url: str, request: pytest.FixtureRequest) -> AsyncIterator[RawClient]:
    client = await RawClient.connect(url, request.param)
    yield client
    await client.close()


async def test_application_around_it_serves_its_own_routes(url: str) -> None:
    answer = await request(url, head_of("GET", "/own", "Connection: close"))
    assert (answer.status, answer.text) == (200, "own")
    assert (await request(url, head_of("GET", "/health", "Connection: close"))).status == 200


async def test_both_namespaces_over_either_transport(client: RawClient) -> None:
    for namespace in ("/", CUSTOM):
        await client.join(namespace)
        assert await client.ask("echo", 1, "é", [2], namespace=namespace) == [1, "é", [2]]
    await client.send('51-/custom,3["echo",{"_placeholder":true,"num":0}]', b"\x00" * 100_000)
    assert await client.next() == '61-/custom,3[{"_placeholder":true,"num":0}]'
    assert await client.next() == b"\x00" * 100_000


async def test_events_keep_their_order(app: WebSocketServer, client: RawClient) -> None:
    await client.join()
    await client.ask("join", "room")
    for n in range(200):
        await app.emit_to_room("room", "e", n)
    assert [await client.next() for _ in range(200)] == [packet(2, data=["e", n]) for n in range(200)]


@beating
async def test_heartbeats(app: WebSocketServer, client: RawClient) -> None:
    await client.join()
    await client.send(packet(2, data=["tell", 1]))
    assert await client.next() == packet(2, data=["told", 1])
    waiting = asyncio.create_task(client.next())  # answers heartbeats meanwhile
    await asyncio.sleep(5.5)  # an interval and a time-out, and more: that nothing happens has no event
    assert app.get_total_connection_count() == 1
    await app.emit_to_room("market:status", "last")
    assert await waiting == packet(2, data=["last"])


@beating
async def test_client_that_does_not_answer_heartbeats_is_ended(app: WebSocketServer, url: str) -> None:
    async with await WebSocket.connect(url) as socket_:
        await socket_.opened()
        packets, code = await socket_.until_closed()
        assert (packets, code) == (["2"], 1012)
    await eventually(lambda: app.components.socket_server.eio.sockets == {})


async def test_upgrade(app: WebSocketServer, url: str) -> None:
    client = await Polling.connect(url)
    await client.join({"recovery": False})
    async with await WebSocket.connect(url, f"{WEBSOCKET}&sid={client.sid}") as socket_:
        await socket_.send("2probe")
        assert await socket_.text() == "3probe"
        assert (await client.poll()).text == "6"
        for n in range(3):
            await app.emit_to_room("market:status", "e", n)
        await socket_.send("5", '421["echo",1]')
        assert [await socket_.text() for _ in range(4)] == [*(f'42["e",{n}]' for n in range(3)), "431[1]"]
        async with await WebSocket.connect(url, f"{WEBSOCKET}&sid={client.sid}") as second:
            assert await second.until_closed() == ([], 1000)


async def test_end_of_either_side(app: WebSocketServer, url: str) -> None:
    async with await WebSocket.connect(url) as socket_:
        await socket_.opened()
        await socket_.join()
        await socket_.write(client_frame(CLOSE, b"\x03\xe8"))
        assert (await socket_.frame())[0] == CLOSE
    await eventually(lambda: app.get_total_connection_count() == 0)
    async with await WebSocket.connect(url) as socket_:
        sid = (await socket_.opened())["sid"]
        await socket_.join()
        app.components.socket_server.eio.close_transport(sid)
        assert await socket_.until_closed() == ([], 1012)
    await eventually(lambda: app.components.socket_server.eio.sockets == {})


async def test_refusals(url: str) -> None:
    for target, status in (
        (f"{WEBSOCKET}&sid=nobody", 400),
        ("/socket.io/?EIO=3&transport=websocket", 400),
        ("/socket.io/?EIO=4&transport=polling", 400),
    ):
        assert (await request(url, websocket_head(target))).status == status
    for target in (f"{POLLING}&sid=nobody", "/socket.io/?EIO=4&transport=abc", "/socket.io/?EIO=4&transport=websocket"):
        assert (await request(url, head_of("GET", target, "Connection: close"))).status == 400


async def test_sub_protocol(url: str) -> None:
    answer = await request(url, websocket_head(WEBSOCKET, "Sec-WebSocket-Protocol: chat, superchat"))
    assert (answer.status, answer.headers["sec-websocket-protocol"]) == (101, "chat")


async def test_packets_that_are_none_end_it(app: WebSocketServer, url: str) -> None:
    async with await WebSocket.connect(url) as socket_:
        await socket_.opened()
        await socket_.write(client_frame(TEXT, "7"))
        assert await socket_.until_closed() == ([], 1000)
    await eventually(lambda: app.components.socket_server.eio.sockets == {})


async def test_large_messages_pass(url: str) -> None:
    async with await WebSocket.connect(url) as socket_:
        await socket_.opened()
        await socket_.join({"recovery": False})
        data = os.urandom(900_000)
        await socket_.send('451-1["echo",{"_placeholder":true,"num":0}]', data)
        assert await socket_.until("461-1") == '461-1[{"_placeholder":true,"num":0}]'
        assert await socket_.packet() == data


async def test_mounted_below_a_path(app: WebSocketServer) -> None:
    async with under_uvicorn(Starlette(routes=[Mount("/push", app.public_app())])) as url:
        assert (await request(url, head_of("GET", "/push/health", "Connection: close"))).status == 200
        assert (await request(url, head_of("GET", f"/push{POLLING}", "Connection: close"))).status == 200
