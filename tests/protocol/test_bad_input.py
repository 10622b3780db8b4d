"""Bad input: a clear error to the sender, nothing lost, nobody else affected."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from kit.clients.interface import Client
from protocol.contract import Connect, MakeServer, Server, ask, assert_alive, assert_error, barrier, refusal

SUBSCRIBE = ["subscribe:portfolio", "subscribe:trades", "subscribe:watchlist", "session:refresh", "admin:broadcast"]


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


async def assert_others_are_served(server: Server, other: Client, user_id: str) -> None:
    """Another client is served, and gets its events."""
    await assert_alive(other)
    await server.app.emit_notification(user_id, {"still": "here"})
    await other.wait_for("notification")


# -- size and depth


@pytest.mark.parametrize("event", SUBSCRIBE)
async def test_large_payload_up_to_the_limit_is_answered(server: Server, connect: Connect, event: str) -> None:
    client = await connect(server, await server.session("u1", is_admin=True))
    padding = "x" * 900_000
    for key in ("symbol", "sessionID", "userId", "event"):
        answer = await ask(client, event, {key: padding})
        assert len(json.dumps(answer)) < 1_000
        # the others are not looked at by all events: whoever ignores them carries the event out
        if key == {"admin:broadcast": "event", "session:refresh": "sessionID"}.get(event, "userId"):
            assert event == "subscribe:watchlist" or not answer.get("success")
        if not answer.get("success"):
            assert_error(answer)
    assert_error(await ask(client, event, [padding]), "INVALID_PAYLOAD")


async def test_long_event_name_is_unknown(server: Server, connect: Connect) -> None:
    client = await connect(server, await server.session("u1"))
    assert (await refusal(client, "x" * 500_000))[0] == "UNKNOWN_EVENT"


async def test_payload_over_the_limit_ends_the_connection_only(server: Server, connect: Connect) -> None:
    client = await connect(server, await server.session("u1"))
    other = await connect(server, await server.session("u2"))
    await client.emit("subscribe:portfolio", {"padding": "x" * 1_200_000})
    await client.wait_disconnect()
    await client.wait_connect()
    await assert_alive(client)
    assert client.events("subscribed:portfolio") == []
    await assert_others_are_served(server, other, "u2")


@pytest.mark.parametrize("event", SUBSCRIBE)
async def test_nested_payload_is_answered(server: Server, connect: Connect, event: str) -> None:
    client = await connect(server, await server.session("u1"))
    await client.raw(f'2["{event}",{nested(500)}]')
    (answer,) = await client.wait_for("error")
    assert_error(answer)
    await client.raw(f'2["{event}",{{"symbol":{nested(500)},"sessionID":{nested(500)}}}]')
    await assert_alive(client)


@pytest.mark.parametrize("payload", [nested(100_000), '{"a":' * 100_000 + "1" + "}" * 100_000])
async def test_payload_nested_too_deeply_is_answered(server: Server, connect: Connect, payload: str) -> None:
    client = await connect(server, await server.session("u1"))
    other = await connect(server, await server.session("u2"))
    await client.raw(f'2["subscribe:trades",{payload}]')
    (answer,) = await client.wait_for("error")
    assert_error(answer, "INVALID_PAYLOAD")
    assert client.connected
    await assert_alive(client)
    await assert_others_are_served(server, other, "u2")


async def test_nesting_that_broadcast_cannot_pass_on_is_refused(server: Server, stock_connect: Connect) -> None:
    admin = await stock_connect(server, await server.session("root", is_admin=True))
    other = await stock_connect(server, await server.session("u2"))
    for depth in (100, 250, 253, 254, 255, 256, 500, 1000, 1019, 1020):
        await admin.raw(f'2["admin:broadcast",{{"event":"deep","data":{nested(depth)}}}]')
    await barrier(admin, other)
    for args in admin.events("error")[:-1]:
        assert_error(args[0], "INVALID_PAYLOAD")
    assert len(admin.events("admin:broadcasted")) == len(other.events("deep")) >= 1
    await assert_others_are_served(server, other, "u2")


# -- packets that are no events


@pytest.mark.parametrize(
    "packet",
    [
        "2[]",
        "2{}",
        "2[1]",
        "2[null,{}]",
        '2[{"a":1},{}]',
        "2[[]]",
        '2"subscribe:trades"',
        "2",
        "2null",
        '2["subscribe:trades"',
        "2[NaN]",
        "2\x00",
        "7[]",
        "9",
        "hello",
        "-1",
        "",
        "2/",
        "2/x,",
        '299999999999999999999999["subscribe:trades"]',
        "3[]",
        "31[1]",
        "3x[1]",
        '4{"message":"no"}',
        "5",
        "5-[]",
        "51-[]",
        '599999999-["a"]',
        "5x-[]",
        '51-["subscribe:trades",{"_placeholder":true,"num":5}]',
        '51-["subscribe:trades",{"_placeholder":true,"num":"x"}]',
        '52-["subscribe:trades",{"_placeholder":true,"num":0}]',
        "1/nowhere,",
        "0/nowhere,",
    ],
)
async def test_malformed_packet_hurts_its_sender_only(server: Server, stock_connect: Connect, packet: str) -> None:
    client = await stock_connect(server, await server.session("u1"))
    other = await stock_connect(server, await server.session("u2"))
    await ask(other, "subscribe:trades")
    await client.raw(packet)
    await assert_others_are_served(server, other, "u2")
    assert server.app.get_user_connection_count("u2") == 1
    # it is still there, or comes back: a malformed packet is no reason to be turned away for good
    again = await stock_connect(server, await server.session("u1"))
    await assert_alive(again)
    assert not client.final
    for args in client.events("error"):
        assert_error(args[0], "INVALID_PAYLOAD")


@pytest.mark.parametrize("name", ["connect", "disconnect", "connect_error", "disconnecting", "newListener", "error"])
async def test_reserved_names_sent_as_events_do_nothing(server: Server, connect: Connect, name: str) -> None:
    client = await connect(server, await server.session("u1"))
    other = await server.session("u2")
    await client.raw(f'2["{name}",{json.dumps(other)},{json.dumps(other)}]')
    await client.raw(f'2["{name}"]')
    (answer,) = await client.wait_for("error")
    assert_error(answer, "UNKNOWN_EVENT")
    await assert_alive(client)
    answer = await ask(client, "subscribe:trades")
    assert answer["userId"] == "u1"
    assert server.app.get_total_connection_count() == 1


async def test_acknowledgement_number_may_be_any(server: Server, stock_connect: Connect) -> None:
    client = await stock_connect(server, await server.session("u1"))
    await client.raw('2999999999["subscribe:trades"]')
    await client.wait_for("subscribed:trades")
    await assert_alive(client)


# -- binary


@pytest.mark.parametrize("event", [*SUBSCRIBE, "no:such:event"])
async def test_binary_payload_is_answered(server: Server, connect: Connect, event: str) -> None:
    client = await connect(server, await server.session("u1"))
    for payload in (b"\x00\xff", {"symbol": b"AAPL", "userId": b"u1", "sessionID": b"x", "event": b"x"}):
        answer = await ask(client, event, payload)
        assert_error(answer)
    await assert_alive(client)


async def test_binary_symbols_fail_one_by_one(server: Server, connect: Connect) -> None:
    client = await connect(server, await server.session("u1"))
    answer = await ask(client, "subscribe:watchlist", {"symbols": ["AAPL", b"IBM"]})
    assert (answer["symbols"], [item["reason"] for item in answer["failed"]]) == (["AAPL"], ["SYMBOL_INVALID"])


async def test_broadcast_carries_bytes_or_refuses_them(server: Server, connect: Connect) -> None:
    admin = await connect(server, await server.session("root", is_admin=True))
    other = await connect(server, await server.session("u2"))
    answer = await ask(admin, "admin:broadcast", {"event": "blob", "data": {"bytes": b"\x00\x01"}})
    await barrier(other)
    if answer.get("success"):
        assert [args[0] for args in other.events("blob")] == [{"bytes": b"\x00\x01"}]
    else:
        assert_error(answer, "INVALID_PAYLOAD")
        assert other.events("blob") == []


async def test_attachments_that_nobody_announced(server: Server, stock_connect: Connect) -> None:
    client = await stock_connect(server, await server.session("u1"))
    other = await stock_connect(server, await server.session("u2"))
    await client.raw(b"\x00\x01\x02")
    await assert_others_are_served(server, other, "u2")
    assert not client.final


async def test_event_in_place_of_an_attachment(server: Server, stock_connect: Connect) -> None:
    client = await stock_connect(server, await server.session("u1"))
    other = await stock_connect(server, await server.session("u2"))
    await client.raw('51-["subscribe:trades",{"_placeholder":true,"num":0}]', '2["subscribe:portfolio"]')
    await assert_others_are_served(server, other, "u2")
    assert not client.final


async def test_too_many_attachments(server: Server, stock_connect: Connect) -> None:
    client = await stock_connect(server, await server.session("u1"))
    other = await stock_connect(server, await server.session("u2"))
    await client.raw('5100-["subscribe:trades",{"_placeholder":true,"num":0}]', *[b"x" * 50_000] * 100)
    await assert_others_are_served(server, other, "u2")


# -- Unicode


@pytest.mark.parametrize("text", ["\x00", "\u2028", "\U0001f680" * 100, "\u202e", "e\u0301", "𝔸𝔸ℙ𝕃"])
async def test_unicode_is_a_string_like_any_other(server: Server, connect: Connect, text: str) -> None:
    client = await connect(server, await server.session("u1"))
    assert (await refusal(client, text))[0] == "UNKNOWN_EVENT"
    answer = await ask(client, "subscribe:watchlist", {"symbols": ["AAPL", text]})
    assert answer["failed"][0]["symbol"] == text[:64]


async def test_lone_surrogates_hurt_nobody(server: Server, stock_connect: Connect) -> None:
    client = await stock_connect(server, await server.session("u1"))
    other = await stock_connect(server, await server.session("u2"))
    await client.raw('21["subscribe:watchlist",{"symbols":["AAPL","\\ud800"]}]')
    await client.raw('2["\\udfff",{}]')
    await assert_others_are_served(server, other, "u2")
    assert not client.final


async def test_numbers_beyond_a_double(server: Server, stock_connect: Connect) -> None:
    client = await stock_connect(server, await server.session("u1", is_admin=True))
    await client.raw(f'2["subscribe:watchlist",{{"symbol":{"9" * 4_000}}}]')
    await client.raw('2["subscribe:watchlist",{"symbol":1e999}]')
    await client.raw('2["admin:broadcast",{"event":"n","data":18446744073709551616}]')
    await client.raw('2["admin:broadcast",{"event":"n","data":1e400}]')
    again = await stock_connect(server, await server.session("u1"))
    await assert_alive(again)
    assert not client.final


# -- polling below Socket.IO


@pytest.mark.parametrize(
    ("method", "query", "body"),
    [
        ("GET", "EIO=4&transport=polling&sid=unknown", b""),
        ("POST", "EIO=4&transport=polling&sid=unknown", b'42["a"]'),
        ("GET", "EIO=3&transport=polling", b""),
        ("GET", "transport=polling", b""),
        ("GET", "EIO=4&transport=carrier-pigeon", b""),
        ("GET", "EIO=4&transport=websocket", b""),
        ("POST", "EIO=4&transport=polling", b""),
        ("PUT", "EIO=4&transport=polling", b""),
        ("GET", "", b""),
    ],
)
async def test_bad_requests_are_answered_as_such(server: Server, method: str, query: str, body: bytes) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        response = await http.request(method, f"{server.url}/socket.io/?{query}", content=body)
    assert 400 <= response.status_code < 500
    assert "Traceback" not in response.text
    assert "Error(" not in response.text
    assert server.app.get_total_connection_count() == 0


@pytest.mark.parametrize("body", [b"", b"x", b"\xff\xfe", b"4", b"b!!!", b"9", b"\x1e\x1e\x1e", b"4" * 2_000_000])
async def test_bad_polling_bodies_hurt_their_sender_only(server: Server, stock_connect: Connect, body: bytes) -> None:
    other = await stock_connect(server, await server.session("u2"))
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        opened = await http.get(f"{server.url}/socket.io/?EIO=4&transport=polling")
        sid = json.loads(opened.text[1:])["sid"]
        response = await http.post(f"{server.url}/socket.io/?EIO=4&transport=polling&sid={sid}", content=body)
    assert response.status_code < 500
    assert "Traceback" not in response.text
    await assert_others_are_served(server, other, "u2")


async def test_limit_on_size_is_a_setting(make_server: MakeServer, stock_connect: Connect) -> None:
    server = await make_server(max_http_buffer_size=2_000)
    client = await stock_connect(server, await server.session("u1"))
    payload: dict[str, Any] = {"padding": "x" * 1_000}
    assert (await ask(client, "subscribe:trades", payload))["success"] is True
    await client.emit("subscribe:portfolio", {"padding": "x" * 5_000})
    await client.wait_disconnect()
    await client.wait_connect()
    await assert_alive(client)
