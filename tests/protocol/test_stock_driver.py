"""The clients that the protocol tests use, against a server of a few lines: what they report must be true."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import socketio
from aiohttp import web

from kit.clients import node as node_client
from kit.clients import node_packages
from kit.clients.interface import AckTimeout, Client, Clients, Refused
from kit.clients.node import NodeProcess, StockClients
from kit.clients.node_packages import NodeFailed, NodeMissing
from kit.clients.python import PythonClients
from kit.network.aiohttp_server import close_runner

FAST: dict[str, Any] = {"reconnectionDelay": 20, "reconnectionDelayMax": 50, "randomizationFactor": 0}


@dataclass
class Tiny:
    """A server with one handler of each kind."""

    url: str = ""
    connects: int = 0
    acks: list[Any] = field(default_factory=list)
    sio: Any = None


@pytest.fixture
async def tiny() -> AsyncIterator[Tiny]:
    sio = socketio.AsyncServer(async_mode="aiohttp", ping_interval=5)
    state = Tiny(sio=sio)

    async def connect(sid: str, environ: Any, auth: Any) -> None:
        state.connects += 1
        if isinstance(auth, dict) and "refuse" in auth:
            raise socketio.exceptions.ConnectionRefusedError("go away", {"code": auth["refuse"]})

    async def echo(sid: str, *args: Any) -> tuple[Any, ...]:
        await sio.emit("echoed", tuple(args), to=sid)
        return tuple(args)

    async def silent(sid: str, *args: Any) -> None:
        await asyncio.Event().wait()

    async def ask(sid: str) -> None:
        await sio.emit("question", {"n": 1}, to=sid, callback=lambda *args: state.acks.append(args))

    for handler in (connect, echo, silent, ask):
        sio.event(handler)
    app = web.Application()
    sio.attach(app)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    state.url = f"http://{host}:{port}"
    yield state
    await sio.shutdown()
    await close_runner(runner, aborts=True)
    left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


@pytest.mark.parametrize("turns", range(5))
async def test_server_that_ends_closes_what_it_is_accepting(turns: int) -> None:
    """Whatever turn of the event loop the end comes in: a connection that is left open is found in another test."""
    runner = web.AppRunner(web.Application(), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    with socket.create_connection(runner.addresses[0][:2], timeout=5) as client:
        for _ in range(turns):
            await asyncio.sleep(0)
        await close_runner(runner, aborts=True)
        with contextlib.suppress(ConnectionError):
            assert await asyncio.to_thread(client.recv, 1) == b""


@pytest.fixture(params=["stock", "python"])
def clients(request: pytest.FixtureRequest) -> Clients:
    name = "stock_clients" if request.param == "stock" else "python_clients"
    made: Clients = request.getfixturevalue(name)
    return made


@pytest.mark.parametrize(
    ("transports", "transport"),
    [(["websocket"], "websocket"), (["polling"], "polling"), (["polling", "websocket"], "websocket")],
)
async def test_transport_is_the_one_asked_for(
    tiny: Tiny, clients: Clients, transports: list[str], transport: str
) -> None:
    client = await clients.connect(tiny.url, transports=transports)
    if len(transports) > 1:
        await client.wait_upgrade()
    assert client.connected
    assert client.transport == transport


async def test_events_are_found_whenever_they_came_and_taken_once(tiny: Tiny, clients: Clients) -> None:
    client = await clients.connect(tiny.url, transports=["websocket"])
    assert await client.call("echo", "a", {"b": [1, None, "é"]}) == ["a", {"b": [1, None, "é"]}]
    await client.emit("echo", "second")
    assert await client.wait_for("echoed", lambda args: args == ["second"]) == ["second"]
    assert await client.wait_for("echoed") == ["a", {"b": [1, None, "é"]}]
    with pytest.raises(AssertionError, match="no 'echoed'"):
        await client.wait_for("echoed", timeout=0.05)
    assert len(client.events("echoed")) == 2


async def test_bytes_go_both_ways(tiny: Tiny, clients: Clients) -> None:
    client = await clients.connect(tiny.url, transports=["websocket"])
    assert await client.call("echo", {"blob": b"\x00\xff"}) == [{"blob": b"\x00\xff"}]


async def test_missing_acknowledgement_is_reported(tiny: Tiny, clients: Clients) -> None:
    client = await clients.connect(tiny.url, transports=["websocket"])
    with pytest.raises(AckTimeout):
        await client.call("silent", timeout=0.1)


async def test_client_answers_the_server(tiny: Tiny, clients: Clients) -> None:
    client = await clients.connect(tiny.url, transports=["websocket"])
    await client.emit("ask")
    await client.wait_for("question")
    await client.call("echo")
    assert tiny.acks == [({"received": "question"},)]


async def test_refusal_carries_message_and_data(tiny: Tiny, clients: Clients) -> None:
    with pytest.raises(Refused) as caught:
        await clients.connect(tiny.url, {"refuse": "NO"}, transports=["websocket"])
    assert caught.value.message == "go away"
    assert caught.value.code == "NO"


async def test_dropped_client_reconnects(tiny: Tiny, clients: Clients) -> None:
    client = await clients.connect(tiny.url, transports=["websocket"], **FAST)
    await client.drop()
    await client.wait_disconnect()
    await client.wait_connect()
    assert tiny.connects == 2
    assert not client.final


async def test_dropped_polling_client_reconnects(tiny: Tiny, stock_clients: StockClients) -> None:
    client = await stock_clients.connect(tiny.url, transports=["polling"], **FAST)
    await client.drop()
    assert await client.wait_disconnect() == "transport close"
    assert await client.wait_reconnect_attempt() == 1
    await client.wait_connect()
    assert tiny.connects == 2


async def test_client_that_leaves_stays_away(tiny: Tiny, stock_clients: StockClients) -> None:
    client = await stock_clients.connect(tiny.url, transports=["websocket"], **FAST)
    await client.disconnect()
    assert await client.wait_disconnect() == "io client disconnect"
    assert client.final
    assert (await client.state())["active"] is False
    await client.reconnect()
    assert client.connected


async def test_failure_to_connect_is_not_final(stock_clients: StockClients, tiny: Tiny) -> None:
    client = await stock_clients.open(tiny.url, transports=["websocket"], path="/nowhere", **FAST)
    assert (await client.wait_connect_error()).message == "websocket error"
    assert await client.wait_reconnect_attempt() == 1
    assert not client.final


async def test_raw_packets_are_sent_as_they_are(tiny: Tiny, clients: Clients) -> None:
    client = await clients.connect(tiny.url, transports=["websocket"])
    await client.raw('2["echo",1]', count=3)
    await client.raw('51-["echo",{"_placeholder":true,"num":0}]', b"abc")
    assert await client.wait_for("echoed", lambda args: args != [1]) == [b"abc"]
    assert client.events("echoed") == [[1], [1], [1], [b"abc"]]


async def test_frames_go_below_engine_io(tiny: Tiny, stock_clients: StockClients) -> None:
    client = await stock_clients.connect(tiny.url, transports=["websocket"])
    await client.frame('42["echo",7]')
    assert await client.wait_for("echoed") == [7]


async def test_clients_do_not_see_each_others_events(tiny: Tiny, clients: Clients) -> None:
    first = await clients.connect(tiny.url, transports=["websocket"])
    second = await clients.connect(tiny.url, transports=["websocket"])
    await first.call("echo", 1)
    await second.call("echo", 2)
    assert await first.wait_for("echoed") == [1]
    assert second.events("echoed") == [[2]]


async def test_clients_are_closed(tiny: Tiny, stock_node: NodeProcess) -> None:
    gone = asyncio.Event()
    tiny.sio.on("disconnect", lambda sid, reason: gone.set())
    made: list[Client] = []
    for kind in (StockClients(stock_node), PythonClients()):
        async with kind as clients:
            made.append(await clients.connect(tiny.url, transports=["websocket"]))
        await asyncio.wait_for(gone.wait(), 20)
        gone.clear()


async def test_what_fails_in_node_is_reported(tiny: Tiny, stock_clients: StockClients) -> None:
    client = await stock_clients.connect(tiny.url, transports=["polling"])
    with pytest.raises(NodeFailed, match="frames need"):
        await client.frame("2")
    with pytest.raises(NodeFailed, match="reserved event name"):
        await client.emit("connect")


@pytest.mark.usefixtures("stock_node")  # skipped where there is no Node.js
async def test_dead_node_is_reported() -> None:
    node = NodeProcess()
    clients = StockClients(node)
    node.close()
    assert not node.running
    with pytest.raises(NodeFailed, match="the Node process is gone"):
        await clients.open("http://127.0.0.1:1")
    await clients.close()


def test_missing_node_is_reported_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NodeMissing, match=r"Node\.js is not installed: .*apt-get install nodejs npm"):
        node_client.install()


@pytest.mark.usefixtures("stock_node")  # skipped where there is no Node.js
def test_packages_are_installed_again_when_the_lock_file_changed(tmp_path: Path) -> None:
    """In a folder of its own: in the shared one, other tests are using what is there."""
    for name in ("package.json", "package-lock.json"):
        shutil.copy(node_client.STOCK / name, tmp_path)
    stamp = tmp_path / "node_modules" / ".stamp"
    node_packages.install(tmp_path)
    stamp.write_text("another")
    node_packages.install(tmp_path)
    assert stamp.read_text() != "another"
    assert (tmp_path / "node_modules" / "socket.io-client").is_dir()
