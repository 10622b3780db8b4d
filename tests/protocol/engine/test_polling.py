"""Engine.IO v4 over HTTP long-polling."""

from __future__ import annotations

import asyncio
import base64

import pytest

from kit.clients.raw import Polling, Wire, head_of, request
from kit.servers.in_process import MakeServer, RunningServer
from kit.waiting import eventually
from protocol.engine.conftest import PATIENT, add_handlers
from tradecast.engine.connection import INBOX
from tradecast.engine.message import Message
from tradecast.engine.transports.polling import PollingTransport


@pytest.fixture
async def client(open_server: RunningServer) -> Polling:
    client = await Polling.connect(open_server.url)
    await client.join()
    return client


def count(server: RunningServer) -> int:
    """How many sessions the server has."""
    return len(server.app.components.socket_server.eio.sockets)


def transport_of(server: RunningServer, client: Polling) -> PollingTransport:
    """What carries a client that polls."""
    transport = server.app.components.socket_server.eio.sockets[client.sid].transport
    assert isinstance(transport, PollingTransport)
    return transport


# -- packets


async def test_several_packets_of_one_post_are_handled_in_order(client: Polling) -> None:
    answer = await client.post('421["echo",1]', '422["echo",2]', "3", '423["echo",3]')
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"ok", "text/html")
    got: list[str] = []
    while len(got) < 3:
        got += await client.packets()
    assert got == ["431[1]", "432[2]", "433[3]"]


async def test_poll_waits_until_there_is_something(open_server: RunningServer, client: Polling) -> None:
    polling = asyncio.create_task(client.packets())
    await eventually(lambda: transport_of(open_server, client).polled)
    assert not polling.done()
    await client.post('421["echo","x"]')
    assert await polling == ['431["x"]']


async def test_answer_is_plain_text_and_is_not_kept_by_anybody(client: Polling) -> None:
    await client.post('421["echo"]')
    answer = await client.poll()
    assert answer.headers["content-type"].replace(" ", "").lower() == "text/plain;charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"


async def test_unicode_passes_both_ways(client: Polling) -> None:
    await client.post('421["echo","é€\U0001f680\\u0000\u2028"]')
    assert await client.packets() == ['431["é€\U0001f680\\u0000\u2028"]']


async def test_binary_passes_both_ways_in_base64(client: Polling) -> None:
    data = bytes(range(256))
    await client.post('451-1["echo",{"_placeholder":true,"num":0}]', b"b" + base64.b64encode(data))
    assert await client.packets() == [
        '461-1[{"_placeholder":true,"num":0}]',
        "b" + base64.b64encode(data).decode(),
    ]


async def test_post_without_a_length_is_read_in_chunks(open_server: RunningServer, client: Polling) -> None:
    async with await Wire.open(open_server.url) as wire:
        await wire.write(head_of("POST", client.target, "Transfer-Encoding: chunked"))
        for chunk in ("421[", '"echo",', "1]"):
            await wire.write(f"{len(chunk):x}\r\n{chunk}\r\n")
        await wire.write("0\r\n\r\n")
        assert (await wire.read_answer()).body == b"ok"
    assert await client.packets() == ["431[1]"]


async def test_post_whose_client_waits_for_100_continue(open_server: RunningServer, client: Polling) -> None:
    body = '421["echo",1]'
    async with await Wire.open(open_server.url) as wire:
        await wire.write(head_of("POST", client.target, f"Content-Length: {len(body)}", "Expect: 100-continue"))
        assert (await wire.read_answer()).status == 100
        await wire.write(body)
        answer = await wire.read_answer()
        assert (answer.status, answer.body) == (200, b"ok")
    assert await client.packets() == ["431[1]"]


async def test_requests_one_behind_the_other_without_waiting(open_server: RunningServer, client: Polling) -> None:
    """HTTP pipelining (RFC 9112 §9.3.2)."""
    body = '421["echo",1]'
    post = head_of("POST", client.target, f"Content-Length: {len(body)}") + body
    async with await Wire.open(open_server.url) as wire:
        await wire.write(post + head_of("GET", client.target) + post + head_of("GET", client.target))
        answers = [(await wire.read_answer()).body for _ in range(4)]
    assert answers == [b"ok", b"431[1]", b"ok", b"431[1]"]


async def test_many_requests_on_one_connection(open_server: RunningServer, client: Polling) -> None:
    async with await Wire.open(open_server.url) as wire:
        for n in range(50):
            body = f'42{n}["echo",{n}]'
            await wire.write(head_of("POST", client.target, f"Content-Length: {len(body)}") + body)
            assert (await wire.read_answer()).body == b"ok"
            await wire.write(head_of("GET", client.target))
            assert (await wire.read_answer()).text == f"43{n}[{n}]"


# -- what breaks the rules


@pytest.mark.parametrize(
    "body", [b"", b"abc", b"\x1e", b"40\x1e", b"b$$$", b"\xff\xfe", b"2", b"0{}", b"5", b"6", b"4\x1e" * 2000]
)
async def test_body_that_is_no_payload_ends_the_session(
    open_server: RunningServer, client: Polling, body: bytes
) -> None:
    answer = await client.post(body)
    assert (answer.status, answer.json()["code"]) == (400, 3)
    assert (await client.poll()).status == 400
    await eventually(lambda: count(open_server) == 0)


async def test_body_that_is_too_large_is_refused(make_server: MakeServer) -> None:
    server = await make_server(add_handlers, auth_required=False, max_http_buffer_size=1000)
    client = await Polling.connect(server.url)
    await client.join()
    assert (await client.post('42["echo","' + "x" * 980 + '"]')).status == 200
    assert (await client.post("4" + "x" * 1000)).status == 413
    assert (await client.poll()).status == 400


async def test_second_poll_at_the_same_time_ends_the_session(open_server: RunningServer, client: Polling) -> None:
    first = asyncio.create_task(client.poll())
    await eventually(lambda: transport_of(open_server, client).polled)
    assert (await client.poll()).status == 400
    answer = await first
    assert (answer.status, answer.text) == (200, "1")
    assert (await client.poll()).status == 400
    await eventually(lambda: count(open_server) == 0)


async def test_second_post_at_the_same_time_ends_the_session(open_server: RunningServer, client: Polling) -> None:
    async with await Wire.open(open_server.url) as wire:
        await wire.write(head_of("POST", client.target, "Content-Length: 10") + "42[")
        await eventually(lambda: transport_of(open_server, client).posting)
        assert (await client.post("3")).status == 400
        await eventually(lambda: count(open_server) == 0)
        await wire.write('"echo"]')
        assert (await wire.read_answer()).status == 400


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
async def test_other_methods_are_refused_and_end_nothing(
    open_server: RunningServer, client: Polling, method: str
) -> None:
    answer = await request(open_server.url, head_of(method, client.target, "Content-Length: 0"))
    assert (answer.status, answer.json()["code"]) == (400, 2)
    await client.post('421["echo"]')
    assert await client.packets() == ["431[]"]


async def test_session_of_a_websocket_is_not_polled(open_server: RunningServer, client: Polling) -> None:
    answer = await request(open_server.url, head_of("GET", client.target.replace("polling", "websocket")))
    assert (answer.status, answer.json()["code"]) == (400, 3)


# -- the end


async def test_close_packet_ends_the_session_and_lets_the_poll_go(open_server: RunningServer, client: Polling) -> None:
    polling = asyncio.create_task(client.poll())
    await eventually(lambda: transport_of(open_server, client).polled)
    assert (await client.post("1")).body == b"ok"
    answer = await polling
    assert (answer.status, answer.text) == (200, "6")
    assert (await client.poll()).status == 400
    await eventually(lambda: open_server.app.get_total_connection_count() == 0)


async def test_disconnect_of_the_server_lets_the_poll_go(open_server: RunningServer, client: Polling) -> None:
    polling = asyncio.create_task(client.packets())
    await eventually(lambda: transport_of(open_server, client).polled)
    open_server.app.components.socket_server.eio.close_transport(client.sid)
    assert await polling == ["6"]
    assert (await client.poll()).status == 400


async def test_what_waits_between_two_polls_is_not_lost_when_the_server_closes_the_transport(
    open_server: RunningServer, client: Polling
) -> None:
    """A server that drains hangs up on everybody, whether they poll just now or not."""
    engine = open_server.app.components.socket_server.eio
    engine.deliver((client.sid,), Message(["2last"]))
    engine.close_transport(client.sid)
    answer = await client.poll()
    assert (answer.status, answer.text) == (200, "42last")
    assert (await client.poll()).status == 400


async def test_abandoned_poll_ends_the_session(open_server: RunningServer, client: Polling) -> None:
    """What is taken for it would be lost, and nobody would know."""
    async with await Wire.open(open_server.url) as wire:
        await wire.write(head_of("GET", client.target))
        await eventually(lambda: transport_of(open_server, client).polled)
    await eventually(lambda: count(open_server) == 0)


# -- heartbeats


async def test_server_asks_and_client_answers(patient_server: RunningServer) -> None:
    client = await Polling.connect(patient_server.url)
    await client.join()
    for _ in range(4):
        assert await client.packets() == ["2"]
        assert (await client.post("3")).status == 200
    assert count(patient_server) == 1


async def test_client_that_does_not_answer_is_ended(beating_server: RunningServer) -> None:
    client = await Polling.connect(beating_server.url)
    assert await client.packets() == ["2"]
    polls = [await client.poll()]
    while polls[-1].status == 200:
        polls.append(await client.poll())
    assert [answer.text for answer in polls[:-1]] in (["6"], [])
    assert polls[-1].json()["code"] == 1
    assert count(beating_server) == 0


async def test_client_that_does_not_even_ask_is_ended(beating_server: RunningServer) -> None:
    await Polling.connect(beating_server.url)
    await eventually(lambda: count(beating_server) == 0)


async def test_client_whose_handler_takes_long_is_asked_and_answers_meanwhile(make_server: MakeServer) -> None:
    """Stock clients send one POST at a time: the answer to a heartbeat comes in the one behind the event's."""
    go_on = asyncio.Event()

    async def wait(connection: object, data: object) -> str:
        await go_on.wait()
        return "done"

    server = await make_server(lambda app: app.register_event_handler("wait", wait), auth_required=False, **PATIENT)
    client = await Polling.connect(server.url)
    await client.join()
    assert (await client.post('421["wait"]')).body == b"ok"
    for _ in range(5):
        assert await client.packets() == ["2"]
        assert (await client.post("3")).body == b"ok"
    go_on.set()
    while (packets := await client.packets()) == ["2"]:
        await client.post("3")
    assert packets == ['431["done"]']


async def test_client_that_floods_is_kept_waiting(make_server: MakeServer) -> None:
    go_on = asyncio.Event()
    handled: list[int] = []

    async def wait(connection: object, n: int) -> None:
        await go_on.wait()
        handled.append(n)

    server = await make_server(lambda app: app.register_event_handler("wait", wait), auth_required=False)
    client = await Polling.connect(server.url)
    await client.join()
    posting = asyncio.create_task(client.post(*(f'42["wait",{n}]' for n in range(INBOX * 2))))
    await eventually(lambda: server.app.components.socket_server.eio.sockets[client.sid]._paused)
    await asyncio.sleep(0.1)  # what must not happen has no event
    assert not posting.done()
    go_on.set()
    assert (await posting).body == b"ok"
    await eventually(lambda: handled == list(range(INBOX * 2)))
