"""A WebSocket that has agreed to permessage-deflate, on a connection that only notes what is written."""

from __future__ import annotations

import asyncio
import zlib
from typing import cast

import pytest

from kit.clients.raw import client_frame
from kit.network.recording_transport import RecordingTransport
from tradecast.engine import turns
from tradecast.engine.compression.deflate import COMPRESSED, Deflater
from tradecast.engine.connection import TRANSPORT_ERROR, Connection
from tradecast.engine.frames import BINARY, TEXT, close_frame, encode_frame
from tradecast.engine.message import Message
from tradecast.engine.transports.deflating_websocket import DeflatingWebSocketTransport
from unit.engine.hosts import FakeHost

LARGE = '2["event","' + "x" * 500 + '"]'


class Wire(RecordingTransport):
    """The connection."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0


class Case:
    """A WebSocket with its connection."""

    def __init__(self, deflater: Deflater | None = None, host: FakeHost | None = None) -> None:
        self.host = host or FakeHost(max_size=5_000)
        self.wire = Wire()
        self.deflater = deflater or Deflater(100, self.host.notes)
        self.transport = DeflatingWebSocketTransport(
            self.host, cast(asyncio.Transport, self.wire), set(), self.deflater
        )
        self.connection = Connection(self.host, "sid", self.transport)
        self.transport.receiver = self.connection


def compressed(content: str | bytes) -> bytes:
    """A client's frame."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = content.encode() if isinstance(content, str) else content
    payload = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return client_frame(0x40 | (0x1 if isinstance(content, str) else 0x2), payload[:-4])


@pytest.fixture
async def case() -> Case:
    return Case()


async def test_large_messages_are_compressed_and_small_ones_are_not(case: Case) -> None:
    for message in (Message(["2[]"]), Message([LARGE]), Message(["51-[]", b"\0" * 10, b"\0" * 200])):
        case.transport.send(message)
        case.host.flush()
    small, large, parts = (
        encode_frame(TEXT, b"42[]"),
        case.deflater.make_frame(TEXT, b"4" + LARGE.encode()),
        b"\0" * 200,
    )
    assert large[0] == TEXT | COMPRESSED
    binary = encode_frame(TEXT, b"451-[]") + encode_frame(BINARY, b"\0" * 10) + case.deflater.make_frame(BINARY, parts)
    assert case.wire.written == small + large + binary


async def test_message_to_many_is_compressed_once() -> None:
    host = FakeHost()
    deflater = Deflater(100, host.notes)
    message = Message([LARGE])
    cases = [Case(deflater, host) for _ in range(50)]
    for case in cases:
        case.transport.send(message)
    host.flush()
    assert {case.wire.written for case in cases} == {message.deflate(deflater)}
    assert len(host.notes.told) == 1
    assert host.notes.told[0][:2] == ("compressed", str(len(LARGE) + 1))


async def test_control_frames_are_never_compressed() -> None:
    case = Case(Deflater(0, FakeHost().notes))
    case.transport.data_received(client_frame(9, b"x" * 125))
    case.transport.close(1000)
    assert case.wire.written == encode_frame(0x8A, b"x" * 125) + close_frame(1000)


async def test_compressed_messages_reach_the_connection(case: Case) -> None:
    case.transport.data_received(compressed("4" + LARGE) + compressed(b"\0" * 500) + client_frame(1, "4plain"))
    assert case.host.handled == [LARGE, b"\0" * 500, "plain"]


async def test_text_is_checked_once_it_is_inflated(case: Case) -> None:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = compressor.compress(b"4\xff\xfe") + compressor.flush(zlib.Z_SYNC_FLUSH)
    case.transport.data_received(client_frame(0x41, data[:-4]))
    assert (case.wire.written, case.host.gone) == (close_frame(1007), [("sid", TRANSPORT_ERROR)])


async def test_garbage_ends_it(case: Case) -> None:
    case.transport.data_received(client_frame(0x41, b"\xff" * 20))
    assert (case.wire.written, case.host.notes.told) == (close_frame(1007), [("malformed",)])


async def test_bomb_ends_it_and_is_counted_as_a_limit(case: Case) -> None:
    case.transport.data_received(compressed("4" + "x" * 5_000))
    assert (case.wire.written, case.host.notes.told) == (close_frame(1009), [("limit", "inflated")])


async def test_one_turn_reads_a_share_of_what_is_inflated(case: Case) -> None:
    """Not of what came: a few bytes may become many."""
    one = compressed("4" + "x" * 4_000)
    assert len(one) < 100
    case.transport.data_received(one * 20)
    share = turns.BYTES_PER_TURN // 4_000 + 1
    assert len(case.host.handled) == share
    assert not case.wire.reading
    assert case.transport.read_on()
    assert len(case.host.handled) == 2 * share
    while case.transport.read_on():
        pass
    assert len(case.host.handled) == 20


async def test_ten_thousand_tiny_ones_are_read_by_turns(case: Case) -> None:
    case.transport.data_received(compressed("4") * 10_000)
    assert len(case.host.handled) == turns.PACKETS_PER_TURN
    count = 1
    while case.transport.read_on():
        count += 1
    assert len(case.host.handled) == 10_000
    assert count == pytest.approx(10_000 / turns.PACKETS_PER_TURN, abs=2)


async def test_what_waits_is_compressed_when_it_is_sent(case: Case) -> None:
    """So what a newer one has replaced meanwhile costs nothing."""
    case.transport.pause_writing()
    for number in range(10):
        message = Message([f"{LARGE}{number}"])
        message.key = "one"
        case.transport.send(message)
    assert case.host.notes.told == []
    case.transport.resume_writing()
    newest = b"4" + LARGE.encode() + b"9"
    assert case.wire.written == case.deflater.make_frame(TEXT, newest)
    case.transport.pause_writing()
    case.transport.send(Message([LARGE]))
    case.transport.close(1000)
    assert case.wire.written.endswith(case.deflater.make_frame(TEXT, b"4" + LARGE.encode()) + close_frame(1000))
