"""Socket.IO v5 over both transports: connecting, events, acknowledgements, attachments."""

from __future__ import annotations

import asyncio
import json

import pytest

from kit.clients.raw import Polling, WebSocket
from kit.servers.in_process import MakeServer, RunningServer
from kit.waiting import eventually
from protocol.socketio.conftest import CUSTOM, NO_RECOVERY, MakeClient, RawClient, add_handlers, packet
from tradecast.connections.connection import Connection
from tradecast.packets.json_values import unpack_value
from tradecast.server import WebSocketServer

PLACEHOLDER = '{"_placeholder":true,"num":%d}'
each = pytest.mark.parametrize("namespace", ["/", CUSTOM])


# -- connecting


@each
async def test_connect_is_answered_with_a_sid_of_its_own(
    namespaces: RunningServer, make_client: MakeClient, namespace: str
) -> None:
    client = await make_client(namespaces)
    sid = await client.join(namespace)
    assert len(sid) >= 20
    assert sid not in namespaces.app.components.socket_server.eio.sockets, (
        "the id of the transport is a secret, this one is none"
    )


@pytest.mark.parametrize("text", ["0", "0{}", '0{"token":"x"}', "0/,", "0/?a=b,"])
async def test_connect_to_the_main_namespace_however_it_is_said(
    namespaces: RunningServer, make_client: MakeClient, text: str
) -> None:
    client = await make_client(namespaces)
    await client.send(text)
    assert json.loads((await client.next())[1:])["sid"]


@pytest.mark.parametrize("text", ["0/custom,", "0/custom", '0/custom,{"token":"x"}', "0/custom?token=x,"])
async def test_connect_to_another_namespace_however_it_is_said(
    namespaces: RunningServer, make_client: MakeClient, text: str
) -> None:
    client = await make_client(namespaces)
    await client.send(text)
    answer = await client.next()
    assert answer.startswith('0/custom,{"sid":')


@each
async def test_second_connect_closes_the_transport_as_in_node(
    namespaces: RunningServer, make_client: MakeClient, namespace: str
) -> None:
    client = await make_client(namespaces, namespace)
    await client.send(packet(0, namespace))
    await eventually(lambda: namespaces.app.components.socket_server.eio.sockets == {})


@pytest.mark.parametrize("name", ["/random", "/custom/more", "/Custom", "/é"])
async def test_unknown_namespace_is_refused_and_the_transport_stays(
    namespaces: RunningServer, make_client: MakeClient, name: str
) -> None:
    client = await make_client(namespaces)
    await client.send(packet(0, name))
    assert await client.next() == packet(4, name, {"message": "Invalid namespace"})
    await client.join(CUSTOM)
    await client.send(packet(0, name, {"again": True}))
    assert await client.next() == packet(4, name, {"message": "Invalid namespace"})
    assert await client.ask("echo", 1, namespace=CUSTOM) == [1]


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_client_that_connects_to_nothing_is_closed(make_server: MakeServer, transport: str) -> None:
    server = await make_server(add_handlers, auth_required=False, connect_timeout=2)
    if transport == "websocket":
        async with await WebSocket.connect(server.url) as socket:
            await socket.opened()
            assert await socket.until_closed() == ([], None)
    else:
        client = await Polling.connect(server.url)
        assert (await client.poll()).text == "6"
        assert (await client.poll()).status == 400


async def test_client_that_is_refused_everywhere_is_closed_in_time(
    make_server: MakeServer, make_client: MakeClient
) -> None:
    server = await make_server(add_handlers, auth_required=False, connect_timeout=3)
    client = await make_client(server)
    await client.send("0/nowhere,")
    assert await client.until_closed() == ['4/nowhere,{"message":"Invalid namespace"}']


# -- what a connect handler may do


async def test_connect_handler_may_use_timeouts_and_task_groups(make_server: MakeServer) -> None:
    """It is somebody else's coroutine, so it runs in a task from its first instruction."""

    def prepare(app: WebSocketServer) -> None:
        add_handlers(app)

        async def welcome(connection: Connection) -> None:
            async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
                tasks.create_task(asyncio.sleep(0))
            connection.send("welcome", connection.claims)

        app.set_connect_handler(welcome)

    server = await make_server(prepare, auth_required=False)
    client = await RawClient.connect(server.url, "websocket")
    await client.join()
    await client.send(packet(2, data=["echo"], ack_id=1))
    first = await client.next()
    await client.close()
    assert first == packet(2, data=["welcome", NO_RECOVERY])


# -- events


@each
async def test_acknowledgement_carries_what_was_returned(
    namespaces: RunningServer, make_client: MakeClient, namespace: str
) -> None:
    client = await make_client(namespaces, namespace)
    for arguments in ([], [1], [1, "é", None, [2, {"a": True}]], [[1, 2]], [None, None]):
        assert await client.ask("echo", *arguments, namespace=namespace) == arguments
    for ack_id in (0, 1, 456, 2**31, 10**18):
        assert await client.ask("echo", 1, namespace=namespace, ack_id=ack_id) == [1]


@each
async def test_event_to_the_client_has_as_many_arguments_as_were_sent(
    namespaces: RunningServer, make_client: MakeClient, namespace: str
) -> None:
    client = await make_client(namespaces, namespace)
    for arguments in ([], [1], [1, "é", None, [2]], [[1, 2]]):
        await client.send(packet(2, namespace, ["tell", *arguments]))
        assert await client.next() == packet(2, namespace, ["told", *arguments])


@each
async def test_handler_knows_where_the_client_is(
    namespaces: RunningServer, make_client: MakeClient, namespace: str
) -> None:
    client = await make_client(namespaces, namespace)
    assert await client.ask("where", namespace=namespace) == [namespace]


@each
async def test_events_are_handled_in_order(namespaces: RunningServer, make_client: MakeClient, namespace: str) -> None:
    client = await make_client(namespaces, namespace)
    await client.send(*(packet(2, namespace, ["echo" if n % 3 else "join", f"r{n}"], n) for n in range(60)))
    heads = [(await client.next()).partition("[")[0] for _ in range(60)]
    assert heads == [packet(3, namespace, ack_id=n) for n in range(60)]


# -- attachments


@each
async def test_attachments_pass_both_ways(namespaces: RunningServer, make_client: MakeClient, namespace: str) -> None:
    client = await make_client(namespaces, namespace)
    head = "" if namespace == "/" else f"{namespace},"
    body = f'["echo",{PLACEHOLDER % 1},{{"a":[{PLACEHOLDER % 0}],"b":1}},{PLACEHOLDER % 2}]'
    await client.send(f"53-{head}12{body}", b"zero", b"", bytes(range(256)))
    answer = f'[{PLACEHOLDER % 0},{{"a":[{PLACEHOLDER % 1}],"b":1}},{PLACEHOLDER % 2}]'
    assert await client.next() == f"63-{head}12{answer}"
    assert [await client.next() for _ in range(3)] == [b"", b"zero", bytes(range(256))]


@each
async def test_event_to_the_client_with_attachments(
    namespaces: RunningServer, make_client: MakeClient, namespace: str
) -> None:
    client = await make_client(namespaces, namespace)
    assert await client.ask("join", "room", namespace=namespace) == [["room"]]
    await namespaces.app.emit_to_room("room", "e", {"data": b"\x00\x01"}, "text", b"\x02", namespace=namespace)
    head = "" if namespace == "/" else f"{namespace},"
    assert await client.next() == f'52-{head}["e",{{"data":{PLACEHOLDER % 0}}},"text",{PLACEHOLDER % 1}]'
    assert [await client.next(), await client.next()] == [b"\x00\x01", b"\x02"]


async def test_event_without_attachments_said_to_have_some(namespaces: RunningServer, make_client: MakeClient) -> None:
    client = await make_client(namespaces, "/")
    await client.send('50-1["echo",1]')
    assert await client.next() == "31[1]"
    await client.send('51-2["echo",2]', b"not used")
    assert await client.next() == "32[2]"


# -- acknowledgements of clients


async def test_client_acknowledges_with_several_arguments_and_attachments(
    namespaces: RunningServer, make_client: MakeClient
) -> None:
    client = await make_client(namespaces)
    sid = await client.join()
    for answer, attachments, expected in (
        ("[]", [], []),
        ('[1,"two",[3]]', [], [1, "two", [3]]),
        (f"[{PLACEHOLDER % 0}]", [b"\x01"], [b"\x01"]),
    ):
        asking = asyncio.create_task(namespaces.app.components.socket_server.ask([sid], "question", ["x"], 20))
        question = await client.next()
        ack_id = question[1 : question.index("[")]
        assert question == f'2{ack_id}["question","x"]'
        await client.send((f"6{len(attachments)}-" if attachments else "3") + ack_id + answer, *attachments)
        asked = await asking
        assert asked.silent == asked.refused == []
        assert unpack_value(json.loads(asked.answers[sid])) == expected


# -- what breaks the rules


@pytest.mark.parametrize(
    "packets",
    [
        ("",),
        ("abc",),
        ("7",),
        ("2",),
        ("2{}",),
        ("2[]",),
        ("2[1]",),
        ('2["echo"',),
        ('2/custom,["echo"]',),
        ('2/nowhere,["echo"]',),
        ("4{}",),
        ("5",),
        ("51-[]x",),
        ('511-["echo"]',),
        (b"\x00",),
        ('51-["echo",' + PLACEHOLDER % 0 + "]", '2["echo"]'),
        ('51-["echo",' + PLACEHOLDER % 1 + "]", b"\x00"),
        ('51-["echo",{"_placeholder":true}]', b"\x00"),
    ],
)
async def test_packet_that_is_none_closes_the_transport(
    namespaces: RunningServer, make_client: MakeClient, packets: tuple[str | bytes, ...]
) -> None:
    client = await make_client(namespaces, "/")
    await client.send(*packets)
    for answer in await client.until_closed():
        assert json.loads(answer[1:])[1]["reason"] == "INVALID_PAYLOAD"
    await eventually(lambda: namespaces.app.components.socket_server.eio.sockets == {})
    assert namespaces.app.get_total_connection_count() == 0


@pytest.mark.parametrize("text", ["1/nowhere,", "1/custom,", "3999[]", "3/custom,1[]", "0/nowhere,"])
async def test_what_means_nothing_here_is_of_no_effect(
    namespaces: RunningServer, make_client: MakeClient, text: str
) -> None:
    client = await make_client(namespaces, "/")
    await client.send(text)
    await client.send(packet(2, data=["echo"], ack_id=1))
    while (answer := await client.next()) != "31[]":
        assert answer == packet(4, "/nowhere", {"message": "Invalid namespace"})
