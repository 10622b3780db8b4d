"""Engine.IO v4: from polling to WebSocket, also while events come."""

from __future__ import annotations

import asyncio
import json

import pytest

from kit.clients.raw import WEBSOCKET, Answer, Polling, WebSocket, request, websocket_head
from kit.servers.in_process import MakeServer, RunningServer
from kit.waiting import eventually
from protocol.engine.conftest import add_handlers
from tradecast.background.tasks import cancel_and_wait
from tradecast.engine.transports.polling import PollingTransport


@pytest.fixture
async def client(open_server: RunningServer) -> Polling:
    client = await Polling.connect(open_server.url)
    await client.join()
    return client


async def probe(client: Polling) -> WebSocket:
    """A WebSocket of a polling client, which has been probed."""
    socket = await WebSocket.connect(client.url, f"{WEBSOCKET}&sid={client.sid}")
    await socket.send("2probe")
    assert await socket.text() == "3probe"
    return socket


async def test_probe_answer_switch(open_server: RunningServer, client: Polling) -> None:
    async with await probe(client) as socket:
        assert (await client.poll()).text == "6", "polls are let go"
        await socket.send("5", '421["echo","x"]')
        assert await socket.text() == '431["x"]'
        assert open_server.app.components.socket_server.eio.transport_of(client.sid) == "websocket"
        assert (await client.poll()).status == 400
        assert (await client.post("3")).status == 400
        await socket.send('422["echo"]')
        assert await socket.text() == "432[]", "of no effect"


async def test_poll_that_waits_is_let_go_by_the_probe(client: Polling) -> None:
    polling = asyncio.create_task(client.poll())
    await asyncio.sleep(0.05)  # it may come before the probe or behind it
    async with await probe(client) as socket:
        assert (await polling).text == "6"
        await socket.send("5", '421["echo"]')
        assert await socket.text() == "431[]"


async def test_what_waits_comes_by_websocket_in_order(open_server: RunningServer) -> None:
    client = await Polling.connect(open_server.url)
    await client.join({"recovery": False})  # else events have an offset behind them
    async with await probe(client) as socket:
        for n in range(3):
            await open_server.app.emit_to_room("market:status", "e", n)
        await socket.send("5")
        assert [await socket.text() for _ in range(3)] == [f'42["e",{n}]' for n in range(3)]


@pytest.mark.parametrize("packets", [("2",), ("5",), ("4x",), ("2probe", "2probe"), ("2probe", "6"), (b"\x00",)])
async def test_upgrade_that_goes_wrong_leaves_the_client_polling(
    client: Polling, packets: tuple[str | bytes, ...]
) -> None:
    async with await WebSocket.connect(client.url, f"{WEBSOCKET}&sid={client.sid}") as socket:
        await socket.send(*packets)
        await socket.until_closed()
    await client.post('421["echo"]')
    while (got := await client.packets()) == ["6"]:
        pass
    assert got == ["431[]"]


async def test_websocket_that_breaks_off_leaves_the_client_polling(open_server: RunningServer, client: Polling) -> None:
    socket = await probe(client)
    socket.writer.transport.abort()
    await client.post('421["echo"]')
    while (got := await client.packets()) == ["6"]:
        pass
    assert got == ["431[]"]
    polling = asyncio.create_task(client.packets())
    transport = open_server.app.components.socket_server.eio.sockets[client.sid].transport
    assert isinstance(transport, PollingTransport)
    await eventually(lambda: transport.polled)
    await client.post('422["echo"]')
    assert await polling == ["432[]"], "polls wait again"


async def test_upgrade_that_is_not_finished_is_given_up(make_server: MakeServer) -> None:
    server = await make_server(add_handlers, auth_required=False, upgrade_timeout=2)
    client = await Polling.connect(server.url)
    await client.join()
    async with await probe(client) as socket:
        assert await socket.until_closed() == ([], 1000)
    await client.post('421["echo"]')
    while (got := await client.packets()) == ["6"]:
        pass
    assert got == ["431[]"]


async def test_second_websocket_is_accepted_and_closed(client: Polling) -> None:
    async with await probe(client) as socket:
        await socket.send("5", '421["echo"]')
        assert await socket.text() == "431[]"
        async with await WebSocket.connect(client.url, f"{WEBSOCKET}&sid={client.sid}") as second:
            assert await second.until_closed() == ([], 1000)
        await socket.send('422["echo"]')
        assert await socket.text() == "432[]"


async def test_session_of_a_websocket_takes_no_other_one(open_server: RunningServer) -> None:
    async with await WebSocket.connect(open_server.url) as first:
        sid = (await first.opened())["sid"]
        async with await WebSocket.connect(open_server.url, f"{WEBSOCKET}&sid={sid}") as second:
            assert await second.until_closed() == ([], 1000)
        await first.join()


async def test_unknown_session_is_refused(open_server: RunningServer) -> None:
    answer = await request(open_server.url, websocket_head(f"{WEBSOCKET}&sid=nobody"))
    assert (answer.status, answer.json()["code"]) == (400, 1)


async def test_session_that_ends_meanwhile_is_not_switched(open_server: RunningServer, client: Polling) -> None:
    async with await probe(client) as socket:
        open_server.app.components.socket_server.eio.close_transport(client.sid)
        await socket.send("5")
        assert await socket.until_closed() == ([], 1000)


async def test_events_at_every_moment_of_an_upgrade_come_once_and_in_order(open_server: RunningServer) -> None:
    """Many clients, so that the moments differ; each does what a stock client does."""
    sent = 0
    emitting = True

    async def emit() -> None:
        nonlocal sent
        while emitting:
            await open_server.app.emit_to_room("market:status", "n", sent)
            sent += 1
            await asyncio.sleep(0.001)

    def numbers(packets: list[str]) -> list[int]:
        return [json.loads(packet[2:])[1] for packet in packets if packet.startswith('42["n"')]

    async def upgrading() -> tuple[list[int], WebSocket]:
        client = await Polling.connect(open_server.url)
        await client.post("40")
        got: list[int] = []
        upgrading = asyncio.Event()

        async def poll_on() -> None:
            while not upgrading.is_set():
                answer: Answer = await client.poll()
                assert answer.status == 200
                got.extend(numbers(answer.text.split("\x1e")))

        polling = asyncio.create_task(poll_on())
        await eventually(lambda: len(got) > 5)
        socket = await probe(client)
        upgrading.set()
        await polling  # the client lets its last poll end before it switches
        await socket.send("5")
        return got, socket

    emitter = asyncio.create_task(emit())
    try:
        clients = await asyncio.gather(*(upgrading() for _ in range(15)))
        await eventually(lambda: sent >= 400)
    finally:
        emitting = False
        await cancel_and_wait(emitter)
    await open_server.app.emit_to_room("market:status", "last", 0)
    for got, socket in clients:
        while not (packet := await socket.text()).startswith('42["last"'):
            got += numbers([packet])
        assert got == list(range(got[0], sent))
        await socket.__aexit__(None, None, None)


async def test_what_the_client_sends_around_the_switch_is_handled_in_order(make_server: MakeServer) -> None:
    handled: list[int] = []

    async def note(connection: object, n: int) -> None:
        await asyncio.sleep(0.01)
        handled.append(n)

    server = await make_server(lambda app: app.register_event_handler("note", note), auth_required=False)
    client = await Polling.connect(server.url)
    await client.join()
    posting = asyncio.create_task(client.post(*(f'42["note",{n}]' for n in range(10))))
    async with await probe(client) as socket:
        await eventually(lambda: handled)
        await posting
        await socket.send("5", *(f'42["note",{n}]' for n in range(10, 20)))
        await eventually(lambda: len(handled) == 20)
        assert handled == list(range(20))
