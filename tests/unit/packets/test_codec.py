"""Socket.IO v5 packets, out and in, by the words of the specification."""

from __future__ import annotations

import json
import random
from typing import Any

import orjson
import pytest
import socketio.packet

from tradecast.packets.codec import (
    ACK,
    BINARY_ACK,
    BINARY_EVENT,
    CONNECT,
    CONNECT_ERROR,
    DISCONNECT,
    EVENT,
    MAX_ATTACHMENTS,
    BadPacket,
    TooDeep,
    arguments_of,
    decode_packet,
    encode_event,
    encode_packet,
)
from tradecast.packets.socketio_packet import Packet

PLACEHOLDER = '{"_placeholder":true,"num":%d}'

# -- out


def test_event_is_what_python_socketio_would_send() -> None:
    data = ["watchlist:quote", {"symbol": "AAPL", "quote": {"price": 1.5, "name": "é"}, "n": None}]
    ours = Packet(encoded_packet=encode_event("watchlist:quote", [data[1]]).parts[0])
    theirs = socketio.packet.Packet(encoded_packet=socketio.packet.Packet(EVENT, data=data).encode())
    assert (ours.packet_type, ours.data) == (theirs.packet_type, theirs.data) == (EVENT, data)


@pytest.mark.parametrize(
    ("kind", "data", "options", "expected"),
    [
        (CONNECT, {"sid": "x"}, {}, ['0{"sid":"x"}']),
        (CONNECT, {"sid": "x"}, {"namespace": "/custom"}, ['0/custom,{"sid":"x"}']),
        (DISCONNECT, None, {}, ["1"]),
        (DISCONNECT, None, {"namespace": "/custom"}, ["1/custom,"]),
        (CONNECT_ERROR, {"message": "no"}, {"namespace": "/é"}, ['4/é,{"message":"no"}']),
        (EVENT, ["a", 1, "é", None], {}, ['2["a",1,"é",null]']),
        (EVENT, ["a"], {"ack_id": 0}, ['20["a"]']),
        (EVENT, ["a"], {"ack_id": 12, "namespace": "/c"}, ['2/c,12["a"]']),
        (ACK, [], {"ack_id": 7}, ["37[]"]),
        (ACK, [1, 2], {"ack_id": 7, "namespace": "/c"}, ["3/c,7[1,2]"]),
        (EVENT, ["a", b"\x01"], {}, [f'51-["a",{PLACEHOLDER % 0}]', b"\x01"]),
        (EVENT, ["a", b"\x01", bytearray(b"\x02")], {"namespace": "/c", "ack_id": 3}, None),
        (ACK, [{"x": [memoryview(b"\x01")]}], {"ack_id": 4}, [f'61-4[{{"x":[{PLACEHOLDER % 0}]}}]', b"\x01"]),
    ],
)
def test_packets(kind: int, data: Any, options: dict[str, Any], expected: list[str | bytes] | None) -> None:
    parts = encode_packet(kind, data, **options).parts
    if expected is None:
        expected = [f'52-/c,3["a",{PLACEHOLDER % 0},{PLACEHOLDER % 1}]', b"\x01", b"\x02"]
    assert parts == expected


def test_events_in_a_namespace() -> None:
    assert encode_event("e", [1, 2], namespace="/custom").parts == ['2/custom,["e",1,2]']


@pytest.mark.parametrize("data", [[object()], {"a": {1, 2}}, [b"x", object()]])
def test_what_json_cannot_say_is_an_error_to_the_caller(data: Any) -> None:
    with pytest.raises(TypeError):
        encode_event("x", [data])


def test_bytes_where_no_attachment_may_be_are_an_error_to_the_caller() -> None:
    with pytest.raises(TypeError):
        encode_packet(CONNECT, {"sid": b"x"})


@pytest.mark.parametrize(
    ("data", "arguments"), [(None, []), ((), []), (1, [1]), ((1, 2), [1, 2]), ([1, 2], [[1, 2]]), ((None,), [None])]
)
def test_arguments_that_stand_for_a_value(data: Any, arguments: list[Any]) -> None:
    assert arguments_of(data) == arguments


# -- in


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", (CONNECT, "/", None, None)),
        ('0{"token":"123"}', (CONNECT, "/", None, {"token": "123"})),
        ("0/admin", (CONNECT, "/admin", None, None)),
        ("0/admin,", (CONNECT, "/admin", None, None)),
        ('0/admin,{"token":"123"}', (CONNECT, "/admin", None, {"token": "123"})),
        ("0/admin?token=1234&uid=abc,", (CONNECT, "/admin", None, None)),
        ('0/,{"a":1}', (CONNECT, "/", None, {"a": 1})),
        ("0/é,", (CONNECT, "/é", None, None)),
        ("1", (DISCONNECT, "/", None, None)),
        ("1/admin,", (DISCONNECT, "/admin", None, None)),
        ("1/admin", (DISCONNECT, "/admin", None, None)),
        ('2["hello",1]', (EVENT, "/", None, ["hello", 1])),
        ('2["hello",{"a":[null,true,1.5]}]', (EVENT, "/", None, ["hello", {"a": [None, True, 1.5]}])),
        ('20["a"]', (EVENT, "/", 0, ["a"])),
        ('2456["project:delete",123]', (EVENT, "/", 456, ["project:delete", 123])),
        ('2/admin,["a"]', (EVENT, "/admin", None, ["a"])),
        ('2/admin,456["project:delete",123]', (EVENT, "/admin", 456, ["project:delete", 123])),
        ('2/a/b,["a"]', (EVENT, "/a/b", None, ["a"])),
        ('2["a,b",",/x,"]', (EVENT, "/", None, ["a,b", ",/x,"])),
        (' 2["a"]'[1:], (EVENT, "/", None, ["a"])),
        ("3456[]", (ACK, "/", 456, [])),
        ("3/admin,456[1]", (ACK, "/admin", 456, [1])),
        ("3[]", (ACK, "/", None, [])),
        ('4{"message":"no"}', (CONNECT_ERROR, "/", None, {"message": "no"})),
        ("2" + "9" * 100 + '["a"]', (EVENT, "/", int("9" * 100), ["a"])),
    ],
)
def test_packets_of_clients(text: str, expected: tuple[int, str, int | None, Any]) -> None:
    packet = decode_packet(text)
    assert (packet.kind, packet.namespace, packet.ack_id, packet.data) == expected
    assert packet.due == 0


@pytest.mark.parametrize(
    ("text", "kind", "namespace", "ack_id", "due"),
    [
        (f'51-["a",{PLACEHOLDER % 0}]', EVENT, "/", None, 1),
        (f'52-/admin,["a",{PLACEHOLDER % 0},{PLACEHOLDER % 1}]', EVENT, "/admin", None, 2),
        (f'51-/admin,456["a",{PLACEHOLDER % 0}]', EVENT, "/admin", 456, 1),
        (f'51-13["a",{PLACEHOLDER % 0}]', EVENT, "/", 13, 1),
        (f"61-15[{PLACEHOLDER % 0}]", ACK, "/", 15, 1),
        (f"61-/admin,456[{PLACEHOLDER % 0}]", ACK, "/admin", 456, 1),
        (f"5{MAX_ATTACHMENTS}-[]", EVENT, "/", None, MAX_ATTACHMENTS),
    ],
)
def test_packets_with_attachments(text: str, kind: int, namespace: str, ack_id: int | None, due: int) -> None:
    packet = decode_packet(text)
    assert (packet.kind, packet.namespace, packet.ack_id, packet.due) == (kind, namespace, ack_id, due)


def test_attachments_take_their_places_in_whatever_order_these_stand() -> None:
    packet = decode_packet(
        f'53-["a",{PLACEHOLDER % 2},{{"x":[{PLACEHOLDER % 0}],"y":1}},{PLACEHOLDER % 1},{PLACEHOLDER % 1}]'
    )
    assert [packet.attach(part) for part in (b"0", b"11", b"")] == [False, False, True]
    assert packet.data == ["a", b"", {"x": [b"0"], "y": 1}, b"11", b"11"]
    assert packet.size == 3


def test_zero_attachments_are_complete_at_once() -> None:
    assert decode_packet('50-["a"]').due == 0


def test_what_only_looks_like_a_placeholder_stays() -> None:
    packet = decode_packet('51-["a",{"_placeholder":false,"num":0},{"_placeholder":1,"num":0},{"num":0}]')
    assert packet.attach(b"x")
    assert packet.data == ["a", {"_placeholder": False, "num": 0}, {"_placeholder": 1, "num": 0}, {"num": 0}]


@pytest.mark.parametrize("num", ["1", "-1", "0.0", '"0"', "null", "true", "[]"])
def test_placeholder_without_its_attachment_is_malformed(num: str) -> None:
    packet = decode_packet('51-["a",{"_placeholder":true,"num":' + num + "}]")
    with pytest.raises(BadPacket):
        packet.attach(b"x")


def test_placeholder_without_a_number_is_malformed() -> None:
    with pytest.raises(BadPacket):
        decode_packet('51-["a",{"_placeholder":true}]').attach(b"x")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "7[]",
        "9",
        "x",
        "-1",
        " 2[]",
        "\x00",
        "٢[]",
        '2["a"',
        '2["a"]x',
        '2["a"] []',
        "2[NaN]",
        "2[Infinity]",
        "2['a']",
        "2[,]",
        "2x[]",
        "2 [",
        "2-[]",
        "2,[]",
        '212-["a"]',
        '2"a"]',
        "22[1]2",
        "2" + "9" * 101 + '["a"]',
        "2" + "9" * 5000 + '["a"]',
        "2²[]",
        "2٣[]",
        '2/admin,"',
        "0x",
        "0{",
        "0/admin,{",
        "01-{}",
        "31-[]",
        "5[]",
        "5-[]",
        "5x-[]",
        "5-1-[]",
        '511-["a"]',
        '599999999999-["a"]',
        "599999999-[]",
        "6[]",
        "51[",
        '2["\ud800"]',
    ],
)
def test_what_is_no_packet_is_malformed(text: str) -> None:
    with pytest.raises(BadPacket) as refused:
        decode_packet(text)
    assert not isinstance(refused.value, TooDeep)


@pytest.mark.parametrize("text", ["2{}", "2", "2null", '2"a"', "3", "3{}", '0"x"', "0[]", "1[1]"])
def test_what_it_carries_is_left_to_the_server_above(text: str) -> None:
    assert decode_packet(text).kind == int(text[0])


@pytest.mark.parametrize("depth", [100, 500, 1000])
def test_nesting_that_can_be_read_is_read(depth: int) -> None:
    assert decode_packet('2["a",' + "[" * depth + "]" * depth + "]").data[0] == "a"


@pytest.mark.parametrize("head", ["2", "23", "2/n,", "2/n,5", "3", "51-", "0"])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_nesting_that_would_exhaust_the_stack_is_refused(head: str, opening: str, closing: str) -> None:
    with pytest.raises(TooDeep):
        decode_packet(head + '["a",' + opening * 100_000 + "1" + closing * 100_000 + "]")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("\\ud800", "\ufffd"),
        ("\\uDBFF", "\ufffd"),
        ("\\udc00", "\ufffd"),
        ("\\uDFFFx", "\ufffdx"),
        ("\\ud800\\ud800", "\ufffd\ufffd"),
        ("\\udc00\\ud800", "\ufffd\ufffd"),
        ("\\ud800\\ud83d\\ude80\\ude80", "\ufffd\U0001f680\ufffd"),
        ("\\ud800\\\\udc00", "\ufffd\\udc00"),
        ("\\\\ud800\\ud800", "\\ud800\ufffd"),
        ("\\\\\\ud800\\n\\\\", "\\\ufffd\n\\"),
        ("\\ud800\\u0041", "\ufffdA"),
    ],
)
def test_half_a_surrogate_pair_is_replaced(written: str, read: str) -> None:
    assert decode_packet(f'2["{written}",{{"{written}":["{written}"]}}]').data == [read, {read: [read]}]


@pytest.mark.parametrize(
    "text", ['2["\\ud800"', "2[\\ud800]", '2["\\ud800\\x"]', '2["\\ud80"]', '2["\\ud8zz"]', '2["\0\\ud800"]']
)
def test_what_is_no_json_for_another_reason_as_well_is_malformed(text: str) -> None:
    with pytest.raises(BadPacket):
        decode_packet(text)


def test_replaced_is_what_node_would_send_on() -> None:
    """Any mixture of escapes, as the standard library reads it and UTF-8 can say it."""
    pieces = ["\\ud83d", "\\ude80", "\\uD800", "\\\\", "\\n", "\\u0041", "u", "d", "d83d", "é", "\\uDC00", '\\"']
    chance = random.Random(7)
    for _ in range(5_000):
        text = "".join(chance.choices(pieces, k=chance.randint(1, 8)))
        wanted = json.loads(f'"{text}"').encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        try:
            found = orjson.loads(f'"{text}"')
        except orjson.JSONDecodeError:
            found = decode_packet(f'2["{text}"]').data[0]
        assert found == wanted, text


def test_nesting_that_exhausts_the_stack_with_the_attachments_is_refused() -> None:
    depth = 1000
    packet = decode_packet('51-["a",' + "[" * depth + PLACEHOLDER % 0 + "]" * depth + "]")
    with pytest.raises(TooDeep):
        packet.attach(b"x")


@pytest.mark.parametrize("kind", [EVENT, ACK])
@pytest.mark.parametrize("namespace", ["/", "/custom"])
@pytest.mark.parametrize("ack_id", [None, 0, 17])
@pytest.mark.parametrize("data", [["a"], ["a", 1, None, {"é": [True]}], ["a", b"\x00", {"x": b""}]])
def test_what_is_encoded_can_be_decoded(kind: int, namespace: str, ack_id: int | None, data: list[Any]) -> None:
    text, *attachments = encode_packet(kind, data, namespace=namespace, ack_id=ack_id).parts
    packet = decode_packet(str(text))
    for attachment in attachments:
        assert isinstance(attachment, bytes)
        packet.attach(attachment)
    assert (packet.kind, packet.namespace, packet.ack_id, packet.data) == (kind, namespace, ack_id, data)
    assert packet.due == 0


def test_binary_kinds_are_told_apart_on_the_wire_only() -> None:
    assert str(encode_packet(EVENT, ["a", b""]).parts[0])[0] == str(BINARY_EVENT)
    assert str(encode_packet(ACK, [b""], ack_id=1).parts[0])[0] == str(BINARY_ACK)
    assert json.loads(str(encode_packet(EVENT, ["a", b""]).parts[0])[3:])[1] == {"_placeholder": True, "num": 0}
