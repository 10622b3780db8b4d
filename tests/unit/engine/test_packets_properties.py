"""Payloads of any kind: split as python-engineio joins them, or malformed and nothing else."""

from __future__ import annotations

import base64

from engineio.packet import MESSAGE, Packet
from engineio.payload import Payload
from hypothesis import given
from hypothesis import strategies as st

from kit.parsing.checks import check_payload
from kit.parsing.properties import TEXTS, damaged
from tradecast.engine.message import Message
from tradecast.engine.packets import MAX_CONTROL, MAX_PACKETS, SEPARATOR, Malformed, split_payload

# A text may not hold what separates packets: no JSON does.
WORDS = TEXTS.map(lambda text: text.replace(SEPARATOR, ""))
PARTS = st.lists(WORDS | st.binary(max_size=40), min_size=1, max_size=12)
PACKETS = st.one_of(
    WORDS.map(lambda text: b"4" + text.encode()),
    st.binary(max_size=40).map(lambda data: b"b" + base64.b64encode(data)),
    st.sampled_from([b"", b"1", b"2", b"2probe", b"3", b"5", b"6", b"0{}", b"7", b"b", b"bA", b"b=", b"bAQ\r\nI"]),
    st.integers(MAX_CONTROL - 2, MAX_CONTROL + 1).map(lambda size: b"2" + b"x" * size),
    st.text(alphabet="AQg+/=\r\n -_é", max_size=9).map(lambda text: b"b" + text.encode()),
)
PAYLOADS = st.lists(PACKETS, max_size=6).map(SEPARATOR.encode().join)


@given(st.binary(max_size=80) | PAYLOADS | damaged(PAYLOADS, [b"\x1e", b"b", b"4", b"="]))
def test_any_body_is_a_payload_or_malformed(body: bytes) -> None:
    check_payload(body)


@given(PARTS)
def test_what_polls_are_answered_with_can_be_read(parts: list[str | bytes]) -> None:
    body = SEPARATOR.encode().join(Message([part]).payload for part in parts)
    assert split_payload(body) == [part if isinstance(part, bytes) else "4" + part for part in parts]


@given(st.lists(WORDS.map("☃".__add__) | st.binary(max_size=40), min_size=1, max_size=12))
def test_python_engineio_and_we_understand_each_other(parts: list[str | bytes]) -> None:
    """With texts that are no JSON, which it would decode."""
    theirs = Payload(packets=[Packet(MESSAGE, part) for part in parts]).encode()
    assert split_payload(theirs.encode()) == [part if isinstance(part, bytes) else "4" + part for part in parts]
    ours = SEPARATOR.join(Message([part]).payload.decode() for part in parts)
    assert [one.data for one in Payload(encoded_payload=ours).packets] == parts


@given(st.binary(max_size=60), st.integers(1, 80), st.sampled_from([b"\n", b"\r\n"]), st.booleans())
def test_base64_in_lines_or_without_padding_says_the_same(data: bytes, width: int, end: bytes, padded: bool) -> None:
    text = base64.b64encode(data) if padded else base64.b64encode(data).rstrip(b"=")
    lines = end.join(text[start : start + width] for start in range(0, len(text), width))
    assert split_payload(b"b" + lines) == [data]


@given(st.integers(MAX_PACKETS - 1, MAX_PACKETS + 2))
def test_number_of_packets_is_bounded(count: int) -> None:
    try:
        taken = len(split_payload(SEPARATOR.encode().join([b"4"] * count)))
    except Malformed:
        taken = 0
    assert taken == (count if count <= MAX_PACKETS else 0)
