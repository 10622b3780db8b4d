"""Our frames read by the websockets package, and that package's frames read by us."""

from __future__ import annotations

import os
from collections.abc import Iterable

import pytest
from websockets.frames import Frame as TheirFrame
from websockets.frames import Opcode
from websockets.protocol import CLIENT, OPEN, Protocol

from tradecast.engine.frames import (
    BINARY,
    CLOSE,
    FRAGMENT,
    INVALID_DATA,
    NORMAL,
    PING,
    PONG,
    PROTOCOL_ERROR,
    TEXT,
    TOO_BIG,
    Frame,
    FrameReader,
    ProtocolError,
    close_frame,
    encode_frame,
    read_close,
)

SIZES = [0, 1, 125, 126, 127, 65_535, 65_536, 200_000]


def decode(data: bytes) -> list[TheirFrame]:
    """What a client reads; it fails on masked or malformed frames."""
    reader = Protocol(CLIENT, state=OPEN, max_size=None)
    reader.receive_data(data)
    assert reader.parser_exc is None
    return [event for event in reader.events_received() if isinstance(event, TheirFrame)]


def theirs(opcode: Opcode, payload: bytes, *, fin: bool = True) -> bytes:
    """A client's frame."""
    return TheirFrame(opcode, payload, fin=fin).serialize(mask=True)


def head(first: int, second: int, *rest: int) -> bytes:
    """The first bytes of a frame, and a mask of nulls."""
    return bytes((first, second, *rest, 0, 0, 0, 0))


def read(data: bytes, *, max_size: int = 1_000_000, chunk: int | None = None) -> list[Frame]:
    """All frames in these bytes, which come at once or in chunks. Nothing is left over."""
    reader = FrameReader(max_size)
    found: list[Frame] = []
    for start in range(0, len(data), chunk or max(len(data), 1)):
        reader.push(data[start : start + (chunk or len(data))])
        found += pulled(reader)
    assert reader.empty
    return found


def pulled(reader: FrameReader) -> Iterable[Frame]:
    """What can be pulled now, but for fragments."""
    while (one := reader.pull()) is not None:
        if one is not FRAGMENT:
            yield one


def code_of(data: bytes, max_size: int = 1_000_000) -> int:
    """The code that these bytes are refused with."""
    with pytest.raises(ProtocolError) as refused:
        read(data, max_size=max_size)
    return refused.value.code


# -- out


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("kind", "opcode"), [(TEXT, Opcode.TEXT), (BINARY, Opcode.BINARY)])
def test_frame_of_every_length_form_can_be_read(size: int, kind: int, opcode: Opcode) -> None:
    payload = b"x" * size
    (found,) = decode(encode_frame(kind, payload))
    assert found == TheirFrame(opcode, payload, fin=True)


def test_frames_in_one_write_are_read_in_order() -> None:
    assert [found.data for found in decode(encode_frame(TEXT, b"a") + encode_frame(BINARY, b"b"))] == [b"a", b"b"]


def test_control_frames_are_what_a_client_takes_them_for() -> None:
    ping, pong = decode(encode_frame(PING, b"p") + encode_frame(PONG, b"q"))
    assert (ping.opcode, ping.data, pong.opcode, pong.data) == (Opcode.PING, b"p", Opcode.PONG, b"q")
    (close,) = decode(close_frame(TOO_BIG))
    assert (close.opcode, close.data) == (Opcode.CLOSE, TOO_BIG.to_bytes(2, "big"))


# -- in


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("chunk", [None, 1, 7, 65_536])
def test_frame_of_every_length_form_is_read_in_whatever_pieces_it_comes(size: int, chunk: int | None) -> None:
    if chunk == 1 and size > 70_000:
        size = 65_536  # a byte at a time takes its time
    payload = os.urandom(size)
    assert read(theirs(Opcode.BINARY, payload), chunk=chunk) == [Frame(BINARY, payload)]


@pytest.mark.parametrize("chunk", [None, 1, 3, 50])
def test_frames_are_read_in_their_order(chunk: int | None) -> None:
    sent = [(Opcode.TEXT, TEXT), (Opcode.BINARY, BINARY), (Opcode.PING, PING), (Opcode.PONG, PONG), (Opcode.TEXT, TEXT)]
    data = b"".join(theirs(opcode, b"payload %d" % number) for number, (opcode, _) in enumerate(sent))
    assert read(data, chunk=chunk) == [Frame(kind, b"payload %d" % n) for n, (_, kind) in enumerate(sent)]


@pytest.mark.parametrize("chunk", [None, 1, 5])
def test_fragments_are_one_message_and_control_frames_come_between_them(chunk: int | None) -> None:
    data = theirs(Opcode.TEXT, b"a", fin=False) + theirs(Opcode.PING, b"p") + theirs(Opcode.CONT, b"", fin=False)
    data += theirs(Opcode.CONT, b"b", fin=False) + theirs(Opcode.PONG, b"q") + theirs(Opcode.CONT, b"c")
    data += theirs(Opcode.BINARY, b"d", fin=False) + theirs(Opcode.CONT, b"e") + theirs(Opcode.TEXT, b"f")
    assert read(data, chunk=chunk) == [
        Frame(PING, b"p"),
        Frame(PONG, b"q"),
        Frame(TEXT, b"abc"),
        Frame(BINARY, b"de"),
        Frame(TEXT, b"f"),
    ]


def test_reader_is_empty_between_messages_and_not_within_one() -> None:
    reader = FrameReader(1000)
    empty = [reader.empty]
    reader.push(theirs(Opcode.TEXT, b"a", fin=False))
    assert [reader.pull(), reader.pull()] == [FRAGMENT, None]
    empty.append(reader.empty)
    reader.push(theirs(Opcode.CONT, b"b"))
    assert [*pulled(reader)] == [Frame(TEXT, b"ab")]
    empty.append(reader.empty)
    reader.push(b"\x81")
    assert reader.pull() is None
    empty.append(reader.empty)
    assert empty == [True, False, True, False]


@pytest.mark.parametrize("first", [0xC1, 0xA1, 0x91, 0xF1, 0xC0, 0xC9, 0xA8])
def test_reserved_bit_is_refused(first: int) -> None:
    assert code_of(head(first, 0x80)) == PROTOCOL_ERROR


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_unknown_opcode_is_refused(opcode: int) -> None:
    assert code_of(head(0x80 | opcode, 0x80)) == PROTOCOL_ERROR


@pytest.mark.parametrize("kind", [TEXT, BINARY, PING, PONG, CLOSE])
def test_frame_that_is_not_masked_is_refused(kind: int) -> None:
    assert code_of(encode_frame(kind, b"ab")) == PROTOCOL_ERROR


@pytest.mark.parametrize("kind", [PING, PONG, CLOSE])
def test_control_frame_in_fragments_is_refused(kind: int) -> None:
    assert code_of(head(kind & 0x7F, 0x80)) == PROTOCOL_ERROR


@pytest.mark.parametrize("kind", [PING, PONG, CLOSE])
@pytest.mark.parametrize("length", [126, 127])
def test_control_frame_that_is_too_long_is_refused(kind: int, length: int) -> None:
    assert code_of(bytes((kind, 0x80 | length))) == PROTOCOL_ERROR


@pytest.mark.parametrize("size", [0, 125])
def test_control_frame_up_to_its_limit_is_taken(size: int) -> None:
    assert read(theirs(Opcode.PING, b"x" * size)) == [Frame(PING, b"x" * size)]


def test_continuation_of_nothing_is_refused() -> None:
    assert code_of(theirs(Opcode.CONT, b"x")) == PROTOCOL_ERROR
    assert code_of(theirs(Opcode.TEXT, b"x") + theirs(Opcode.CONT, b"x")) == PROTOCOL_ERROR


@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
def test_message_within_a_fragmented_one_is_refused(opcode: Opcode) -> None:
    assert code_of(theirs(Opcode.TEXT, b"x", fin=False) + theirs(opcode, b"y")) == PROTOCOL_ERROR


def test_length_with_its_highest_bit_is_refused() -> None:
    assert code_of(head(BINARY, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0)) == PROTOCOL_ERROR


def test_size_is_refused_by_what_the_head_announces() -> None:
    assert read(theirs(Opcode.TEXT, b"x" * 1000), max_size=1000) == [Frame(TEXT, b"x" * 1000)]
    assert code_of(theirs(Opcode.TEXT, b"x" * 1001)[:8], max_size=1000) == TOO_BIG
    assert code_of(head(BINARY, 0xFF, 0, 0, 0, 1, 0, 0, 0, 0)) == TOO_BIG


def test_fragments_count_together() -> None:
    data = theirs(Opcode.TEXT, b"x" * 600, fin=False) + theirs(Opcode.CONT, b"x" * 401)
    assert code_of(data, max_size=1000) == TOO_BIG
    assert len(read(data, max_size=1001)) == 1


def test_size_counts_again_with_each_message() -> None:
    one = theirs(Opcode.TEXT, b"x" * 600, fin=False) + theirs(Opcode.CONT, b"x" * 300)
    assert [len(found.payload) for found in read(one * 5, max_size=1000)] == [900] * 5


def test_control_frames_do_not_count_as_a_message() -> None:
    data = theirs(Opcode.TEXT, b"x" * 100, fin=False) + theirs(Opcode.PING, b"y" * 100) + theirs(Opcode.CONT, b"")
    assert len(read(data, max_size=100)) == 2


# -- close frames


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999])
@pytest.mark.parametrize("reason", ["", "gone", "é" * 60])
def test_close_code_that_may_be_sent_is_read(code: int, reason: str) -> None:
    assert read_close(code.to_bytes(2, "big") + reason.encode()) == code


def test_close_without_a_code_is_a_normal_one() -> None:
    assert read_close(b"") == NORMAL


@pytest.mark.parametrize("code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535])
def test_close_code_that_may_not_be_sent_is_refused(code: int) -> None:
    with pytest.raises(ProtocolError) as refused:
        read_close(code.to_bytes(2, "big"))
    assert refused.value.code == PROTOCOL_ERROR


def test_half_a_close_code_is_refused() -> None:
    with pytest.raises(ProtocolError) as refused:
        read_close(b"\x03")
    assert refused.value.code == PROTOCOL_ERROR


def test_close_reason_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(ProtocolError) as refused:
        read_close(b"\x03\xe8\xff\xfe")
    assert refused.value.code == INVALID_DATA
