"""Clients that send what no client should, or do not read: they harm themselves at most."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from typing import Any

import httpx
import pytest
import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from kit.clients.raw import TEXT, WebSocket, client_frame
from kit.servers.in_process import MakeServer, RunningServer
from kit.waiting import eventually
from tradecast.engine.connection import Connection as Transported
from tradecast.engine.transports.websocket import WebSocketTransport

pytestmark = pytest.mark.serial


async def open_transport(server: RunningServer, **options: Any) -> ClientConnection:
    url = f"{server.url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket"
    client = await connect(url, compression=None, **options)
    await client.recv()
    return client


async def join(server: RunningServer, user_id: str = "u1", **options: Any) -> ClientConnection:
    client = await open_transport(server, **options)
    await client.send("40" + json.dumps(await server.session(user_id)))
    assert str(await client.recv()).startswith("40{")
    return client


async def until_closed(client: ClientConnection, *packets: str | bytes) -> list[str | bytes]:
    """Send until the server ends the connection; what it sent before that."""
    answers: list[str | bytes] = []
    async with asyncio.timeout(20):
        try:
            for packet in packets:
                await client.send(packet)
            while True:
                answers.append(await client.recv())
        except ConnectionClosed:
            return answers


def engine_sockets(server: RunningServer) -> dict[str, Transported]:
    sockets: dict[str, Transported] = server.app.components.socket_server.eio.sockets
    return sockets


def errors(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What was logged as an error: nothing that a client sends is one."""
    return [record for record in caplog.records if record.levelno >= logging.ERROR]


class Polling:
    """A bare polling client."""

    def __init__(self, http: httpx.AsyncClient, sid: str) -> None:
        self._http = http
        self.sid = sid
        self.path = f"/socket.io/?EIO=4&transport=polling&sid={sid}"

    @classmethod
    async def open(cls, http: httpx.AsyncClient) -> Polling:
        opened = await http.get("/socket.io/?EIO=4&transport=polling")
        return cls(http, json.loads(opened.text[1:])["sid"])

    async def post(self, body: str | bytes, **options: Any) -> httpx.Response:
        return await self._http.post(self.path, content=body, **options)

    async def get(self) -> httpx.Response:
        return await self._http.get(self.path)


@pytest.fixture
async def polling(server: RunningServer) -> Any:
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as http:
        client = await Polling.open(http)
        await client.post("40" + json.dumps(await server.session("u1")))
        assert (await client.get()).text.startswith("40{")
        yield client


# -- polling


async def test_every_packet_of_a_long_post_is_taken(server: RunningServer, polling: Polling) -> None:
    packets = [f'42{n}["subscribe:watchlist",{{"symbol":"S{n}"}}]' for n in range(40)]
    assert (await polling.post("\x1e".join(packets))).text == "ok"
    (connection,) = server.app.registry
    assert {room for room in connection.rooms if room.startswith("watchlist:")} == {
        f"watchlist:S{n}" for n in range(40)
    }


@pytest.mark.parametrize(
    "body", ["x", "", "7", "4", "49", "2" * 200, "\x1e".join(["3"] * 2000), b"\xff", "4" + "[" * 200_000]
)
async def test_what_is_no_payload_is_a_400_and_the_end(
    server: RunningServer, polling: Polling, body: str | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert (await polling.post(body)).status_code == 400
    await eventually(lambda: server.app.get_total_connection_count() == 0)
    assert (await polling.post('42["subscribe:trades"]')).status_code == 400
    await eventually(lambda: engine_sockets(server) == {})
    assert errors(caplog) == []


async def test_a_body_without_a_length_is_read(server: RunningServer, polling: Polling) -> None:
    async def chunks() -> Any:
        yield b'420["subscribe:'
        yield b'trades"]'

    assert (await polling._http.post(polling.path, content=chunks())).status_code == 200
    (connection,) = server.app.registry
    assert "trades:u1" in connection.rooms


async def test_a_body_that_is_too_large_is_refused(make_server: MakeServer) -> None:
    server = await make_server(max_http_buffer_size=1000)
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as http:
        client = await Polling.open(http)
        assert (await client.post("4" + "2" * 2000)).status_code == 413
        await eventually(lambda: engine_sockets(server) == {})


@pytest.mark.parametrize("size", [32_769, 900_000])
async def test_a_stranger_sends_small_messages_only(server: RunningServer, size: int) -> None:
    client = await open_transport(server)
    assert await until_closed(client, "40" + json.dumps({"x": "y" * size})) == []
    assert client.close_code == 1009
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as http:
        polling = await Polling.open(http)
        assert (await polling.post("40" + json.dumps({"x": "y" * size}))).status_code == 413
    await eventually(lambda: engine_sockets(server) == {})


async def test_a_handshake_of_the_size_of_a_head_is_read(server: RunningServer) -> None:
    claims = {**await server.session("u1"), "token": "t" * 30_000}
    client = await open_transport(server)
    await client.send("40" + json.dumps(claims))
    assert str(await client.recv()).startswith("40{")
    # Who is known may send as much as is announced, and has its transport for that.
    await client.send(f'421["subscribe:trades",{{"x":"{"y" * 900_000}"}}]')
    answers = [str(await client.recv()) for _ in range(2)]
    assert [answer[:3] for answer in answers if answer.startswith("431")] == ["431"]
    await client.close()


async def test_large_posts_of_a_client_that_is_known(server: RunningServer, polling: Polling) -> None:
    assert (await polling.post(f'421["subscribe:trades",{{"x":"{"y" * 900_000}"}}]')).text == "ok"
    assert "431[" in (await polling.get()).text


async def test_jsonp_is_refused(server: RunningServer) -> None:
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        assert (await http.get("/socket.io/?EIO=4&transport=polling&j=0")).status_code == 400


async def test_ended_polling_clients_do_not_count_against_the_server(make_server: MakeServer) -> None:
    server = await make_server(max_connections=3, connect_timeout=6)
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as http:
        for _ in range(3):
            await Polling.open(http)
        assert (await http.get("/socket.io/?EIO=4&transport=polling")).status_code == 503
        await eventually(lambda: engine_sockets(server) == {})
        await Polling.open(http)


# -- WebSocket


@pytest.mark.parametrize("frame", ["x", "", "7", "4", "49", "4[", "2" + "[" * 5000, "4" + "[" * 200_000])
async def test_garbage_ends_the_connection_and_leaves_nothing(
    server: RunningServer, frame: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = await join(server)
    await until_closed(client, frame)
    await eventually(lambda: server.app.get_total_connection_count() == 0 and engine_sockets(server) == {})
    assert errors(caplog) == []


@pytest.mark.parametrize("payload", [b"\xff", b"4\xff", b'42["\xed\xa0\x80"]', b"42" + b"\xc3" * 200])
async def test_a_text_that_is_not_utf8_is_no_error(
    server: RunningServer, payload: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with await WebSocket.connect(server.url) as client:
        await client.opened()
        await client.write(client_frame(TEXT, payload))
        assert (await client.until_closed())[1] == 1007
    assert errors(caplog) == []


async def test_half_an_emoji_is_answered(server: RunningServer, caplog: pytest.LogCaptureFixture) -> None:
    client = await join(server)
    await client.send('421["subscribe:watchlist",{"symbols":["AAPL","\\ud83d"]}]')
    answer = json.loads(str(await client.recv()).partition(",")[2][:-1])
    assert answer["symbols"] == ["AAPL"]
    assert [one["reason"] for one in answer["failed"]] == ["SYMBOL_INVALID"]
    await client.close()
    assert errors(caplog) == []


async def test_malformed_packets_are_counted(server: RunningServer) -> None:
    client = await open_transport(server)
    await until_closed(client, "7")
    assert b"tradecast_malformed_packets_total 1.0" in server.app.metrics.render_prometheus("")[1]


async def test_attachments_have_bounds(server: RunningServer) -> None:
    for packets in (
        ['451000000000-["x"]'],
        ['4511-["x",' + ",".join(f'{{"_placeholder":true,"num":{n}}}' for n in range(11)) + "]"],
        ['453-["x",{"_placeholder":true,"num":0}]', b"a" * 600_000, b"b" * 600_000],
        ['451-["x",{"_placeholder":true,"num":0}]', '42["y"]'],
    ):
        client = await join(server)
        await until_closed(client, *packets)
        await eventually(lambda: not server.app.components.socket_server.transport_table.incomplete)


async def test_a_binary_event_nested_too_deeply_is_answered(server: RunningServer) -> None:
    client = await join(server)
    await client.send('451-["x",' + "[" * 1000 + '{"_placeholder":true,"num":0}' + "]" * 1000 + "]")
    await client.send(b"\x00")
    answer = json.loads(str(await asyncio.wait_for(client.recv(), 20))[2:])
    assert (answer[0], answer[1]["reason"]) == ("error", "INVALID_PAYLOAD")
    await client.close()


async def test_a_long_namespace_is_not_echoed(server: RunningServer) -> None:
    client = await open_transport(server)
    assert await until_closed(client, "40/" + "a" * 100_000) == []


async def test_another_namespace_is_refused_as_in_node(server: RunningServer) -> None:
    client = await open_transport(server)
    await client.send("40/other")
    assert await client.recv() == '44/other,{"message":"Invalid namespace"}'
    await client.close()


async def test_a_refused_transport_may_ask_five_times_more_and_is_closed_then(server: RunningServer) -> None:
    client = await open_transport(server)
    assert len(await until_closed(client, *['40{"sessionID":"x","userId":"y"}'] * 50)) == 6


async def test_a_transport_that_left_the_namespace_is_closed(make_server: MakeServer) -> None:
    server = await make_server(connect_timeout=2)
    client = await join(server)
    await asyncio.sleep(2.2)  # past the time-out of the transport itself, which has no event
    await until_closed(client, "41")


@pytest.mark.parametrize("pause", [True, False])
async def test_order_is_kept_when_the_transport_pauses(server: RunningServer, pause: bool) -> None:
    client = await join(server)
    (connection,) = engine_sockets(server).values()
    protocol = connection.transport
    assert isinstance(protocol, WebSocketTransport)
    n = 0

    async def send() -> None:
        nonlocal n
        await server.app.broadcast("e", {"n": n})
        n += 1

    for _ in range(100):
        if pause:
            protocol.pause_writing()
        await send()
        await send()
        protocol.resume_writing()
        for _ in range(5):
            await asyncio.sleep(0)
            await send()
    got: list[int] = []
    async with asyncio.timeout(20):
        while len(got) < n:
            message = str(await client.recv())
            if message.startswith("42"):
                got.append(json.loads(message[2:])[1]["n"])
    assert got == list(range(n))
    await client.close()


async def test_a_client_that_stopped_reading_is_let_go_after_its_session(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradecast.engine.transports.websocket.LINGER", 0.2)
    monkeypatch.setattr("tradecast.engine.transports.websocket.GOODBYE", 3)
    client = await join(server, max_queue=1)
    (connection,) = engine_sockets(server).values()
    transport = connection.transport
    assert isinstance(transport, WebSocketTransport)
    client.transport.pause_reading()
    while not transport._paused:
        await server.app.broadcast("e", {"filler": "x" * 100_000})
        await asyncio.sleep(0)
    await server.app.sessions.revoke([server.app.registry.session_ids()[0]])
    await eventually(lambda: engine_sockets(server) == {} and connection.reason == "server disconnect")
    assert server.app.components.socket_server.eio.leaving == {transport}, "it is given time to read what waits"
    await eventually(lambda: server.app.components.socket_server.eio.count == 0)
    assert transport.transport.is_closing()
    client.transport.abort()


# -- what a client holds


async def test_a_subscription_of_a_client_that_left_meanwhile_is_given_back(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    limiter, asked, go_on = server.app.limiter, asyncio.Event(), asyncio.Event()
    grant = limiter.increment_subscription

    async def slow(user_id: str, member: str) -> bool:
        granted = await grant(user_id, member)
        asked.set()
        await go_on.wait()
        return granted

    monkeypatch.setattr(limiter, "increment_subscription", slow)
    client = await join(server)
    await client.send('42["subscribe:trades"]')
    await asked.wait()
    (connection,) = engine_sockets(server).values()
    connection.abort("transport error")
    await eventually(lambda: server.app.get_total_connection_count() == 0)
    go_on.set()

    async def has_no_subscription() -> bool:
        return not await limiter.get_subscription_count("u1")

    await eventually(has_no_subscription)


async def test_what_the_client_claimed_is_not_kept(server: RunningServer) -> None:
    client = await join(server)
    (connection,) = server.app.registry
    assert connection.claims is None
    await client.close()


# -- connections that may be dead


async def test_clients_that_come_and_go_on_one_transport_write_a_few_lines(make_server: MakeServer) -> None:
    server = await make_server(auth_required=False)
    with structlog.testing.capture_logs() as lines:
        for _ in range(5):
            client = await open_transport(server)
            await until_closed(client, *["40", "41"] * 30)
        await eventually(lambda: server.app.get_total_connection_count() == 0)
    told = Counter(line["event"] for line in lines)
    # The first of each transport, and then twenty.
    assert (told["connected"], told["disconnected"]) == (5 + 20, 5 + 20)
    assert b"tradecast_log_lines_left_out_total 0.0" not in server.app.metrics.render_prometheus("")[1]


async def test_refusals_write_a_few_lines_and_count_all(server: RunningServer) -> None:
    with structlog.testing.capture_logs() as lines:
        for _ in range(30):
            client = await open_transport(server)
            await client.send('40{"sessionID":"x","userId":"y"}')
            assert str(await client.recv()).startswith("44")
            await client.close()
    told = Counter(line["event"] for line in lines)
    assert told["connection refused"] == 20
    assert b'tradecast_connects_total{result="refused"} 30.0' in server.app.metrics.render_prometheus("")[1]


async def test_requests_that_are_refused_write_a_few_lines_of_each_kind(server: RunningServer) -> None:
    with structlog.testing.capture_logs() as lines:
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            for number in range(30):
                assert (await http.get(f"{server.url}/nothing/{number}")).status_code == 404
                assert (await http.post(f"{server.url}/api/emit", json={})).status_code == 401
                assert (await http.get(f"{server.url}/api/emit/schema")).status_code == 200
    told = Counter(line["path"] for line in lines if line["event"] == "request" and line["log_level"] == "info")
    assert told == {"other": 20, "/api/emit": 20}
    left_out = server.app.metrics.registry.get_sample_value("tradecast_log_lines_left_out_total")
    assert left_out == 20
