"""From an event to the wire, against real clients on a real server."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any, cast

from websockets.asyncio.client import ClientConnection, connect

from kit.clients.node import StockClients
from kit.servers.in_process import MakeServer, RunningServer
from kit.waiting import eventually
from tradecast.engine.transports.polling import PollingTransport
from tradecast.engine.transports.websocket import WebSocketTransport
from tradecast.packets.codec import encode_event


async def join(server: RunningServer, user_id: str) -> ClientConnection:
    """A bare WebSocket client that is in the namespace."""
    session = await server.session(user_id)
    client = await connect(f"{server.url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket", compression=None)
    await client.recv()
    await client.send("40" + json.dumps(session))
    assert str(await client.recv()).startswith("40{")
    return client


async def numbers(client: ClientConnection, count: int) -> list[int]:
    """The first `count` numbered events that come."""
    got: list[int] = []
    while len(got) < count:
        message = str(await client.recv())
        if message.startswith("42"):
            got.append(json.loads(message[2:])[1]["n"])
    return got


def transport_of(server: RunningServer) -> WebSocketTransport:
    """The transport of the only client."""
    (connection,) = server.app.components.socket_server.eio.sockets.values()
    transport = connection.transport
    assert isinstance(transport, WebSocketTransport)
    return transport


async def test_order_is_kept_between_all_ways_of_sending(server: RunningServer) -> None:
    client = await join(server, "u1")
    eio = server.app.components.socket_server.eio
    ((eio_sid, connection),) = eio.sockets.items()
    (registered,) = server.app.registry
    for n in range(0, 500, 5):
        await server.app.broadcast("e", {"n": n})
        registered.send("e", {"n": n + 1})
        await eio.send(eio_sid, "2" + json.dumps(["e", {"n": n + 2}]))
        connection.deliver(encode_event("e", [{"n": n + 3}]))
        await server.app.emit_to_user("u1", "e", {"n": n + 4})
        if n % 50 == 0:
            await asyncio.sleep(0)
    assert await asyncio.wait_for(numbers(client, 500), 20) == list(range(500))
    await client.close()


class Wire:
    """A connection that notes what is written to it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(bytes(data))
        self.transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)


async def test_events_of_one_turn_leave_in_one_write_at_its_end(server: RunningServer) -> None:
    client = await join(server, "u1")
    transport = transport_of(server)
    wire = Wire(transport.transport)
    transport.transport = cast(asyncio.Transport, wire)
    (eio_sid,) = server.app.components.socket_server.eio.sockets
    tasks = asyncio.all_tasks()
    messages = [encode_event("e", [{"n": n}]) for n in range(3)]
    for message in messages:
        server.app.components.socket_server.eio.deliver((eio_sid,), message)
    assert wire.written == []
    assert asyncio.all_tasks() == tasks, "nobody has to run before it leaves"
    await asyncio.sleep(0)
    assert wire.written == [b"".join(message.frames for message in messages)]
    assert await asyncio.wait_for(numbers(client, 3), 20) == [0, 1, 2]
    await client.close()


async def test_client_that_does_not_read_is_cut_off_and_nobody_else(make_server: MakeServer) -> None:
    server = await make_server(send_queue_limit=50)
    session = await server.session("slow")
    raw = await asyncio.to_thread(socket.create_connection, ("127.0.0.1", int(server.url.rpartition(":")[2])))
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.sendall(
        b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert (await asyncio.to_thread(raw.recv, 4096)).startswith(b"HTTP/1.1 101")
    connect_packet = b"40" + json.dumps(session).encode()
    mask = b"\0\0\0\0"  # masked, with a mask that changes nothing (RFC 6455 §5.3)
    raw.sendall(bytes((0x81, 0x80 | len(connect_packet))) + mask + connect_packet)
    await eventually(lambda: server.app.get_total_connection_count() == 1)
    quick = await join(server, "quick")
    reading = asyncio.create_task(numbers(quick, 400))
    for n in range(400):
        await server.app.broadcast("e", {"n": n, "filler": "x" * 50_000})
        await asyncio.sleep(0)
    assert await asyncio.wait_for(reading, 30) == list(range(400))
    await eventually(lambda: server.app.get_total_connection_count() == 1)
    assert server.app.get_user_connection_count("quick") == 1
    raw.close()
    await quick.close()


async def test_events_during_an_upgrade_arrive_once_and_in_order(
    server: RunningServer, stock_clients: StockClients
) -> None:
    session = await server.session("u1")
    client = await stock_clients.open(server.url, session, transports=["polling", "websocket"])
    sent = 0
    async with asyncio.timeout(20):
        while sent < 50 or client.transport != "websocket":
            if server.app.get_total_connection_count():
                await server.app.broadcast("e", {"n": sent})
                sent += 1
            await asyncio.sleep(0.002)
    await server.app.broadcast("last", {})
    await client.wait_for("last")
    assert [event[0]["n"] for event in client.events("e")] == list(range(sent))


async def test_an_aborted_poll_ends_the_connection_and_one_that_was_answered_does_not(make_server: MakeServer) -> None:
    """As in Node: what is taken from the queue for a poll that nobody waits for would be lost without a word."""
    server = await make_server(auth_required=False)
    import httpx

    async with httpx.AsyncClient(base_url=server.url, timeout=20) as http:
        opened = (await http.get("/socket.io/?EIO=4&transport=polling")).text
        url = f"/socket.io/?EIO=4&transport=polling&sid={json.loads(opened[1:])['sid']}"
        await http.post(url, content=b"40")
        assert (await http.get(url)).text.startswith("40")
        (socket_,) = server.app.components.socket_server.eio.sockets.values()
        polling = asyncio.create_task(http.get(url))
        assert isinstance(socket_.transport, PollingTransport)
        transport = socket_.transport
        await eventually(lambda: transport.polled)
        polling.cancel()
        await eventually(lambda: socket_.closed)
        await eventually(lambda: server.app.get_total_connection_count() == 0)
        await server.app.broadcast("lost", {})
        assert (await http.get(url)).status_code == 400


async def test_upgrade_that_never_ends_is_given_up_and_polling_continues(make_server: MakeServer) -> None:
    server = await make_server(upgrade_timeout=5)
    session = await server.session("u1")
    import httpx

    async with httpx.AsyncClient(base_url=server.url, timeout=20) as http:
        opened = (await http.get("/socket.io/?EIO=4&transport=polling")).text
        sid = json.loads(opened[1:])["sid"]
        path = f"/socket.io/?EIO=4&transport=polling&sid={sid}"
        assert (await http.post(path, content="40" + json.dumps(session))).status_code == 200
        assert (await http.get(path)).text.startswith("40{")
        probe = await connect(
            f"{server.url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket&sid={sid}", compression=None
        )
        await probe.send("2probe")
        assert await probe.recv() == "3probe"
        await asyncio.wait_for(probe.wait_closed(), 20)  # no "5": the server gives up
        await server.app.broadcast("e", {"n": 1})
        async with asyncio.timeout(20):
            text = ""
            while '"n":1' not in text:
                text = (await http.get(path)).text


async def test_transport_without_a_namespace_is_closed(make_server: MakeServer) -> None:
    server = await make_server(connect_timeout=0.3)
    client = await connect(f"{server.url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket", compression=None)
    await client.recv()
    await asyncio.wait_for(client.wait_closed(), 20)


async def test_transport_with_a_namespace_stays(make_server: MakeServer) -> None:
    server = await make_server(connect_timeout=4)
    client = await join(server, "u1")
    await asyncio.sleep(4.5)  # what must not happen has no event
    await server.app.broadcast("e", {"n": 1})
    assert await asyncio.wait_for(numbers(client, 1), 20) == [1]
    await client.close()
