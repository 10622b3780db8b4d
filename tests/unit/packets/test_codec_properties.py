"""Socket.IO packets of any kind: read as python-socketio writes them, or `BadPacket` and nothing else."""

from __future__ import annotations

import json
import string
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from socketio.packet import Packet as TheirPacket

from kit.parsing.checks import check_socketio_packet
from kit.parsing.properties import JSON, JSON_LEAVES, JSON_WITH_BYTES, TEXTS, json_values
from tradecast.packets.codec import (
    ACK,
    CONNECT,
    CONNECT_ERROR,
    DISCONNECT,
    EVENT,
    MAX_ATTACHMENTS,
    BadPacket,
    Incoming,
    decode_packet,
    encode_packet,
)

# What ends a namespace on the wire cannot be in it.
NAMESPACES = st.just("/") | TEXTS.map(lambda text: "/" + text.replace(",", "").replace("?", ""))
ACK_IDS = st.none() | st.integers(0, 10**20)
# With halves of surrogate pairs, and what looks like the escapes that JSON says them with.
PIECES = ["\ud83d", "\ude80", "\ud800", "\udfff", "\U0001f680", "\\", "\\ud83d", "\\ude80", "d83d", '"', "é", "\n"]
HALVES = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)
HEADS = st.from_regex(r"\A[0-7]?([0-9]{0,11}-)?(/[^,]{0,9},?)?[0-9]{0,3}", fullmatch=False).map(lambda text: text[:40])
BODIES = st.one_of(
    JSON.map(json.dumps),
    json_values(HALVES).map(json.dumps),
    st.sampled_from(
        ['["a",{"_placeholder":true,"num":0}]', '[{"_placeholder":true}]', "[" * 1_100, "NaN", "\\ud800", "²"]
    ),
    st.text(max_size=12),
    st.text(string.digits + '[]{}",:\\udc8 ', max_size=20),
)
TEXT_PACKETS = st.builds(lambda head, body: head + body, HEADS, BODIES) | st.text(max_size=30)


def whole(parts: list[str | bytes]) -> Incoming:
    """A packet with its attachments."""
    text, *attachments = parts
    packet = decode_packet(str(text))
    for number, attachment in enumerate(attachments, 1):
        assert isinstance(attachment, bytes)
        assert packet.attach(attachment) is (number == len(attachments))
    assert packet.due == 0
    return packet


@given(TEXT_PACKETS, st.lists(st.binary(max_size=9), max_size=MAX_ATTACHMENTS + 1))
@example("2²[]", [])
@example("51-[", [b""])
def test_any_text_is_a_packet_or_none(text: str, attachments: list[bytes]) -> None:
    check_socketio_packet(text, attachments)


@given(st.sampled_from([EVENT, ACK]), st.lists(JSON_WITH_BYTES, max_size=4), NAMESPACES, ACK_IDS)
def test_what_is_encoded_can_be_decoded(kind: int, data: list[Any], namespace: str, ack_id: int | None) -> None:
    parts = encode_packet(kind, data, namespace=namespace, ack_id=ack_id).parts
    if len(parts) > MAX_ATTACHMENTS + 1:
        return
    packet = whole(parts)
    assert (packet.kind, packet.namespace, packet.ack_id) == (kind, namespace, ack_id)
    assert packet.data == data


@given(
    st.sampled_from([CONNECT, DISCONNECT, CONNECT_ERROR]),
    st.none() | st.dictionaries(TEXTS, JSON, max_size=3),
    NAMESPACES,
)
def test_packets_without_attachments_can_be_decoded(kind: int, data: Any, namespace: str) -> None:
    (text,) = encode_packet(kind, data, namespace=namespace).parts
    packet = decode_packet(str(text))
    assert (packet.kind, packet.namespace, packet.ack_id, packet.data) == (kind, namespace, None, data)


@given(
    st.sampled_from([EVENT, ACK]),
    st.lists(json_values(JSON_LEAVES | TEXTS | st.binary(max_size=9), max_leaves=5), max_size=2),
    NAMESPACES,
    st.none() | st.integers(0, 10**9),
)
def test_python_socketio_and_we_understand_each_other(
    kind: int, arguments: list[Any], namespace: str, ack_id: int | None
) -> None:
    data = ["event", *arguments]
    said = TheirPacket(kind, data=data, namespace=namespace, id=ack_id).encode()
    parts = said if isinstance(said, list) else [said]
    if len(parts) > MAX_ATTACHMENTS + 1:
        return
    ours = whole(parts)
    assert (ours.kind, ours.namespace, ours.ack_id, ours.data) == (kind, namespace, ack_id, data)
    text, *attachments = encode_packet(kind, data, namespace=namespace, ack_id=ack_id).parts
    theirs = TheirPacket(encoded_packet=text)
    for attachment in attachments:
        theirs.add_attachment(attachment)
    assert (theirs.packet_type, theirs.namespace or "/", theirs.id) == (
        kind + (3 if attachments else 0),
        namespace,
        ack_id,
    )
    assert theirs.data == data


def mended(value: Any) -> Any:
    """A value with U+FFFD for each half of a surrogate pair, by way of UTF-16."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, list):
        return [mended(one) for one in value]
    if isinstance(value, dict):
        return {mended(key): mended(one) for key, one in value.items()}
    return value


@given(st.lists(HALVES, max_size=3) | json_values(JSON_LEAVES | HALVES))
def test_all_that_javascript_writes_is_read(value: Any) -> None:
    """JSON.stringify writes halves of pairs as escapes (well-formed JSON.stringify), and everything else as it is."""
    whole_pairs = json.loads(json.dumps(value))  # halves that stand beside each other are a pair
    text = json.dumps(["event", whole_pairs], ensure_ascii=True)
    assert decode_packet("2" + text).data == ["event", mended(whole_pairs)]


def is_read(text: str, *attachments: bytes) -> bool:
    """Whether this is a packet that is complete with these attachments; anything but `BadPacket` goes on up."""
    try:
        packet = decode_packet(text)
        for attachment in attachments:
            packet.attach(attachment)
    except BadPacket:
        return False
    return packet.due == 0


@given(st.integers(0, MAX_ATTACHMENTS + 2), st.integers(-1, MAX_ATTACHMENTS + 1), st.sampled_from(["5", "6"]))
def test_attachments_are_bounded_and_named_by_number(count: int, number: int, kind: str) -> None:
    taken = count <= MAX_ATTACHMENTS
    assert is_read(f'{kind}{count}-["a"]', *[b""] * count) is taken
    if taken and count:
        placeholder = json.dumps({"_placeholder": True, "num": number})
        assert is_read(f'{kind}{count}-["a",{placeholder}]', *[b""] * count) is (0 <= number < count)


@given(st.integers(98, 103), st.sampled_from(["2", "2/a,", "3", "3/a,"]), st.sampled_from(["[]", '["a"]', "", "{}"]))
def test_numbers_of_acknowledgements_are_bounded(digits: int, head: str, body: str) -> None:
    assert is_read(head + "9" * digits + body) is (digits <= 100)


@given(
    st.sampled_from([1, 100, 400, 900, 1_000, 1_019, 1_023, 1_024, 1_025, 5_000]), st.sampled_from(["2", "51-", "0"])
)
def test_nesting_is_read_or_refused_and_nothing_worse(depth: int, head: str) -> None:
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        text = f"{head}{opening * depth}1{closing * depth}"
        found = is_read(text, *([b""] if head == "51-" else []))
        assert found or depth > 300
        assert not found or depth <= 1_024
