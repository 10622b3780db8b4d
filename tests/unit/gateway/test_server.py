"""The Socket.IO server over the real engine, with transports and an application that are the test's."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import structlog

from kit.waiting import eventually
from tradecast.engine.connection import CLIENT_DISCONNECT
from tradecast.gateway import server as module
from tradecast.gateway.bounds.packet_allowances import BURST, PacketAllowances
from unit.gateway.cases import Case

# -- events


async def test_event_and_its_acknowledgement(case: Case) -> None:
    case.app.answer = lambda arguments: tuple(arguments) or None
    client = case.client()
    await client.join()
    client.send('2["none"]', '21["one",1]', '22["two",1,[2]]', '23["none"]')
    assert client.got == ["31[1]", "32[1,[2]]", "33[]"]
    assert case.app.of("event") == [("none",), ("one", 1), ("two", 1, [2]), ("none",)]


async def test_event_that_waits_is_acknowledged_later_and_keeps_its_turn(case: Case) -> None:
    go_on = asyncio.Event()

    async def later() -> str:
        await go_on.wait()
        return "later"

    case.app.answer = lambda arguments: later() if arguments == ["wait"] else "now"
    client = case.client()
    await client.join()
    client.send('21["e","wait"]', '22["e",1]')
    await asyncio.sleep(0.01)
    assert client.got == []
    go_on.set()
    assert await client.next(2) == ['31["later"]', '32["now"]']


async def test_binary_event_and_acknowledgement(case: Case) -> None:
    case.app.answer = lambda arguments: arguments[0]
    client = case.client()
    await client.join()
    client.send('52-1["e",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]', b"\x00", b"\x01")
    assert case.app.of("event") == [("e", b"\x01", b"\x00")]
    assert client.got == ['61-1[{"_placeholder":true,"num":0}]', b"\x01"]


@pytest.mark.parametrize("answer", [[], ["x"], None, {"a": None}, 0, ""])
async def test_answers(case: Case, answer: Any) -> None:
    case.app.answer = lambda arguments: answer
    client = case.client()
    await client.join()
    client.send('21["e"]')
    assert json.loads(str(client.got[0])[2:]) == ([] if answer is None else [answer])


@pytest.mark.parametrize(
    "packets",
    [
        ("x",),
        ("2{}",),
        ("2[]",),
        ("2[1]",),
        ('2/custom,["e"]',),
        ('2/other,["e"]',),
        (b"\x00",),
        ('51-["e",{"_placeholder":true,"num":0}]', '2["e"]'),
        ('51-["e",{"_placeholder":true,"num":1}]', b"\x00"),
        ('51-/custom,["e",{"_placeholder":true,"num":0}]',),
        ('51-["e",{"_placeholder":true,"num":0}]', b"x" * 1001),
        ('52-["e",{"_placeholder":true,"num":0}]', b"x" * 600, b"x" * 600),
        ("4{}",),
    ],
)
async def test_malformed_packet_is_answered_and_closes_the_transport(case: Case, packets: tuple[Any, ...]) -> None:
    client = case.client()
    await client.join()
    client.send(*packets)
    ((name, answer),) = (json.loads(str(one)[1:]) for one in client.got)
    assert (name, answer["reason"]) == ("error", "INVALID_PAYLOAD")
    assert client.transport.closed == 1000
    assert case.app.of("malformed") == [()]
    assert case.app.of("event") == []
    await eventually(lambda: case.app.of("disconnected"))
    assert case.transports.incomplete == {}


async def test_what_is_nested_too_deeply_is_answered_and_closes_nothing(case: Case) -> None:
    client = case.client()
    await client.join()
    client.send('2["e",' + "[" * 100_000 + "]" * 100_000 + "]")
    (packet,) = client.got
    assert "INVALID_PAYLOAD" in str(packet)
    client.send('21["e"]')
    assert client.got[-1] == "31[]"


async def test_event_before_the_connection_closes_without_an_answer(case: Case) -> None:
    client = case.client()
    client.send('2["e"]')
    assert (client.got, client.transport.closed) == ([], 1000)


@pytest.mark.parametrize(
    ("escape", "text"),
    [("\\ud800", "\ufffd"), ("\\udfff", "\ufffd"), ("\\ud83d\\ude80\\ud83d", "\U0001f680\ufffd")],
)
async def test_half_an_emoji_closes_nothing(case: Case, escape: str, text: str) -> None:
    client = case.client()
    await client.join(auth=f'{{"a":"{escape}"}}')
    client.send(f'21["{escape}",{{"{escape}":1}}]')
    assert client.got == ["31[]"]
    assert case.app.of("connecting")[0][1] == {"a": text}
    assert case.app.of("event") == [(text, {text: 1})]
    assert case.app.of("malformed") == []


# -- floods


async def test_attachments_are_no_packets_of_their_own(case: Case) -> None:
    client = case.client()
    await client.join()
    for _ in range(BURST):
        client.send('52-["e",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]', b"a", b"b")
    assert (client.transport.closed, len(case.app.of("event"))) == (None, BURST)


async def test_answers_that_the_server_asks_for_are_not_counted(case: Case) -> None:
    case.transports.allowances = PacketAllowances(3, 0)
    client = case.client()
    sid = await client.join()
    client.send('2["e"]')
    for _ in range(10):
        asking = asyncio.create_task(case.server.ask([sid], "question", [], 20))
        (packet,) = await client.next()
        client.send(f"3{packet[1 : packet.index('[')]}[]")
        await asking
    assert client.transport.closed is None


async def test_malformed_packets_write_a_few_lines(case: Case) -> None:
    with structlog.testing.capture_logs() as lines:
        for _ in range(100):
            case.client().send("x")
    assert [line["event"] for line in lines] == ["malformed packet"] * 20
    assert len(case.app.of("malformed")) == 100


# -- the end


async def test_client_that_says_goodbye_may_come_again_on_the_same_transport(case: Case) -> None:
    client = case.client()
    sid = await client.join()
    client.send("1", "1")
    assert case.app.of("disconnected") == [(sid, CLIENT_DISCONNECT)]
    assert len(case.transports.unconnected) == 1
    assert await client.join() != sid
    assert len(case.transports.unconnected) == 0


async def test_client_that_is_ended_is_notified_and_closed_a_moment_later(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LINGER", 0.05)
    client = case.client()
    sid = await client.join()
    await case.server.end(sid)
    assert client.got == ["1"]
    assert client.transport.discarded == [(sorted([sid, "room"]), [])], "of what waited nothing comes behind that"
    assert client.transport.closed is None
    await eventually(lambda: client.transport.closed == 1000)
    assert [one[0] for one in case.app.of("disconnected")] == [sid], "once"


async def test_client_that_is_ended_in_one_namespace_stays_in_the_other(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LINGER", 0.05)
    client = case.client()
    main, custom = await client.join(), await client.join("/custom")
    await case.server.end(custom, "/custom")
    assert await client.next() == ["1/custom,"]
    await asyncio.sleep(0.2)  # past LINGER, which has no event
    assert client.transport.closed is None
    assert [one[0] for one in case.app.of("disconnected")] == [custom]
    case.server.send(main, "e", 1)
    case.server.send(custom, "e", 1, "/custom")
    assert client.got == ['2["e",1]']


async def test_slow_client_is_reported_to_the_hub_before_it_is_forgotten(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = case.client()
    sid = await client.join()
    reported: list[tuple[str, str, bool]] = []

    def note(eio_sid: str, reason: str) -> None:
        reported.append((eio_sid, reason, case.server.hub.is_in(sid, "room")))

    monkeypatch.setattr(case.server.hub, "on_client_too_slow", note)
    case.server.eio.observer.client_too_slow(client.connection.sid, "slow")
    assert reported == [(client.connection.sid, "slow", True)]
    assert case.app.of("too slow") == [("slow",)]


async def test_lost_transport_leaves_all_namespaces_and_nothing_behind(case: Case) -> None:
    client = case.client()
    sids = {await client.join(), await client.join("/custom")}
    client.connection.lost("transport close")
    await eventually(lambda: len(case.app.of("disconnected")) == 2)
    assert {one[0] for one in case.app.of("disconnected")} == sids
    assert list(case.manager.get_namespaces()) == []
    assert dict(case.manager.room_sizes()) == {}
    assert case.server._ended == set()


async def test_closing_closes_the_transport_of_all_namespaces(case: Case) -> None:
    client = case.client()
    await client.join()
    custom = await client.join("/custom")
    case.server.close_transport(custom, "/custom")
    assert client.transport.discarded == [(sorted([f"/custom,{custom}", "/custom,room"]), [])]
    assert (client.got, client.transport.gone) == ([], True), "no DISCONNECT, which is final"


# -- to clients


async def test_rooms_of_namespaces_are_apart(case: Case) -> None:
    both, main = case.client(), case.client()
    await both.join()
    await both.join("/custom")
    await main.join()
    await case.hub.emit("e", [1], ["room"])
    await case.hub.emit("e", [2], ["/custom,room"], namespace="/custom")
    assert both.got == ['2["e",1]', '2/custom,["e",2]']
    assert main.got == ['2["e",1]']


@pytest.mark.parametrize(
    ("data", "packet"),
    [(None, '2["e"]'), ((), '2["e"]'), (1, '2["e",1]'), ((1, [2]), '2["e",1,[2]]'), ([1], '2["e",[1]]')],
)
async def test_event_to_one_client(case: Case, data: Any, packet: str) -> None:
    client = case.client()
    case.server.send(await client.join(), "e", data)
    case.server.send("nobody", "e", data)
    assert client.got == [packet]


async def test_clients_are_asked_and_answer(case: Case) -> None:
    clients = [case.client() for _ in range(3)]
    sids = [await client.join() for client in clients]
    asking = asyncio.create_task(case.server.ask(sids, "question", [1], 20))
    (packet,) = await clients[0].next()
    ack_id = packet[1 : packet.index("[")]
    assert packet == f'2{ack_id}["question",1]'
    clients[0].send(f'3{ack_id}["a",2]', f'3{ack_id}["again"]')
    clients[1].connection.lost("transport close")
    clients[2].send(f"3{ack_id}[]")
    asked = await asyncio.wait_for(asking, 20)
    assert set(asked.answers) == {sids[0], sids[2]}
    assert asked.silent == [sids[1]]
    assert len(case.server._acks) == 0


@pytest.mark.parametrize("packet", ["31[]", "3[]", "3999999999[]", "3/custom,1[]"])
async def test_acknowledgement_of_nothing_is_of_no_effect(case: Case, packet: str) -> None:
    client = case.client()
    await client.join()
    client.send(packet)
    assert (client.got, client.transport.closed) == ([], None)


async def test_how_many_use_which_transport(case: Case) -> None:
    for _ in range(2):
        await case.client().join()
    await case.client().join("/custom")
    assert dict(case.server.transports()) == {"websocket": 2}
