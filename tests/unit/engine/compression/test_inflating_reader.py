from __future__ import annotations

import zlib

import pytest

from kit.clients.raw import client_frame
from tradecast.engine.compression.inflating_reader import InflatingFrameReader
from tradecast.engine.frames import (
    BINARY,
    FRAGMENT,
    INVALID_DATA,
    MAX_FRAGMENTS,
    PING,
    POLICY_VIOLATION,
    PROTOCOL_ERROR,
    TEXT,
    TOO_BIG,
    Frame,
    ProtocolError,
)

RSV1, RSV2, RSV3 = 0x40, 0x20, 0x10
CONTENT = b'42["event",' + b"x" * 200 + b"]"


def compressed(content: bytes = CONTENT) -> bytes:
    """The payload of a client's message."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (compressor.compress(content) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\0\0\xff\xff")


def fragments(payload: bytes, size: int, first: int = RSV1 | 0x1) -> list[bytes]:
    """A message in fragments of so many bytes."""
    parts = [payload[at : at + size] for at in range(0, len(payload), size)]
    return [
        client_frame(0 if number else first, part, fin=number == len(parts) - 1) for number, part in enumerate(parts)
    ]


def read(*frames: bytes, limit: int = 1_000) -> tuple[list[Frame], InflatingFrameReader]:
    """The frames that are complete, and the reader."""
    reader = InflatingFrameReader(limit)
    reader.push(b"".join(frames))
    found = []
    while (one := reader.pull()) is not None:
        if one is not FRAGMENT:
            found.append(one)
    return found, reader


def refusal(*frames: bytes, limit: int = 1_000) -> tuple[int, str | None]:
    with pytest.raises(ProtocolError) as raised:
        read(*frames, limit=limit)
    return raised.value.code, raised.value.limit


@pytest.mark.parametrize("kind", [TEXT, BINARY])
def test_message_is_inflated(kind: int) -> None:
    found, reader = read(client_frame(RSV1 | kind & 0x0F, compressed()), client_frame(1, b"plain"))
    assert found == [Frame(kind, CONTENT), Frame(TEXT, b"plain")]
    assert reader.inflated == len(CONTENT)
    assert reader.empty


@pytest.mark.parametrize("size", [1, 2, 10])
def test_message_in_fragments(size: int) -> None:
    """RFC 7692 §6.1: the bit is in the first one only. Control frames may be between them."""
    parts = fragments(compressed(), size)
    mixed = [frame for part in parts for frame in (client_frame(9, b"p"), part)]
    found, _ = read(*mixed)
    assert found[-1] == Frame(TEXT, CONTENT)
    assert found[:-1] == [Frame(PING, b"p")] * len(parts)


def test_messages_that_are_not_compressed_may_be_in_fragments_between_those_that_are() -> None:
    plain = fragments(b"abc", 1, first=0x2)
    found, _ = read(*fragments(compressed(), 10), *plain, client_frame(RSV1 | 0x1, compressed()))
    assert found == [Frame(TEXT, CONTENT), Frame(BINARY, b"abc"), Frame(TEXT, CONTENT)]


@pytest.mark.parametrize("opcode", [0x8, 0x9, 0xA])
def test_no_control_frame_is_compressed(opcode: int) -> None:
    assert refusal(client_frame(RSV1 | opcode, b"\x03\xe8")) == (PROTOCOL_ERROR, None)
    assert refusal(fragments(compressed(), 10)[0], client_frame(RSV1 | opcode)) == (PROTOCOL_ERROR, None)


def test_only_the_first_fragment_says_so() -> None:
    first, second, *_ = fragments(compressed(), 10)
    assert refusal(first, bytes((second[0] | RSV1,)) + second[1:]) == (PROTOCOL_ERROR, None)
    assert refusal(client_frame(RSV1)) == (PROTOCOL_ERROR, None)


@pytest.mark.parametrize("bit", [RSV2, RSV3, RSV1 | RSV2, RSV1 | RSV3, RSV2 | RSV3, RSV1 | RSV2 | RSV3])
def test_other_reserved_bits_are_not_agreed_to(bit: int) -> None:
    assert refusal(client_frame(bit | 0x1, compressed())) == (PROTOCOL_ERROR, None)


@pytest.mark.parametrize("opcode", [0x3, 0x7, 0xB])
def test_unknown_opcodes(opcode: int) -> None:
    assert refusal(client_frame(RSV1 | opcode)) == (PROTOCOL_ERROR, None)


def test_bounds_hold_before_and_after() -> None:
    assert refusal(client_frame(RSV1 | 0x1, b"x" * 101), limit=100) == (TOO_BIG, None)
    assert refusal(client_frame(RSV1 | 0x1, compressed(b"x" * 101)), limit=100) == (TOO_BIG, "inflated")
    assert refusal(*fragments(compressed(b"x" * 101), 2), limit=100) == (TOO_BIG, "inflated")
    assert refusal(client_frame(RSV1 | 0x1, b"\xff" * 9)) == (INVALID_DATA, None)
    many = [client_frame(RSV1 | 0x1, b"\0", fin=False)] + [client_frame(0, b"\0", fin=False)] * MAX_FRAGMENTS
    assert refusal(*many, limit=10_000) == (POLICY_VIOLATION, "fragments")
