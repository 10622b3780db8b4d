from __future__ import annotations

import contextlib
import os
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tradecast.engine.compression import deflate as module
from tradecast.engine.compression.deflate import COMPRESSED, MAX_FINAL_BLOCKS, Deflater, inflate_message
from tradecast.engine.frames import BINARY, INVALID_DATA, POLICY_VIOLATION, TEXT, TOO_BIG, ProtocolError, encode_frame

LIMIT = 1_000
# RFC 7692 §7.2.3: "Hello" in one block, without compression, in a last block, and in two blocks.
HELLO = (
    b"\xf2\x48\xcd\xc9\xc9\x07\x00",
    b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
    b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
    b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
)


class Counts:
    """Notes compressed messages."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, int]] = []

    def message_compressed(self, before: int, after: int) -> None:
        self.sizes.append((before, after))


def compressed(content: bytes, flush: int = zlib.Z_SYNC_FLUSH, window: int = 15) -> bytes:
    """A client's message."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -window)
    return (compressor.compress(content) + compressor.flush(flush)).removesuffix(b"\0\0\xff\xff")


def refusal(payload: bytes, limit: int = LIMIT) -> tuple[int, str | None]:
    with pytest.raises(ProtocolError) as raised:
        inflate_message(payload, limit)
    return raised.value.code, raised.value.limit


# -- out


def test_only_what_is_larger_is_compressed() -> None:
    counts = Counts()
    deflater = Deflater(100, counts)
    assert deflater.make_frame(TEXT, b"x" * 100) == encode_frame(TEXT, b"x" * 100)
    made = deflater.make_frame(TEXT, b"x" * 101)
    assert made[0] == TEXT | COMPRESSED
    assert inflate_message(made[2:], LIMIT) == b"x" * 101
    assert counts.sizes == [(101, len(made) - 2)]


def test_what_does_not_shrink_is_sent_as_it_is() -> None:
    counts, data = Counts(), os.urandom(2_000)
    assert Deflater(100, counts).make_frame(BINARY, data) == encode_frame(BINARY, data)
    assert counts.sizes == []


def test_what_would_take_too_long_is_sent_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST", 200)
    deflater = Deflater(100, Counts())
    assert deflater.make_frame(TEXT, b"x" * 200)[0] == TEXT | COMPRESSED
    assert deflater.make_frame(TEXT, b"x" * 201) == encode_frame(TEXT, b"x" * 201)


def test_no_message_refers_to_an_earlier_one() -> None:
    deflater = Deflater(0, Counts())
    assert deflater.make_frame(TEXT, b"abcdefgh" * 50) == deflater.make_frame(TEXT, b"abcdefgh" * 50)


# -- in


@pytest.mark.parametrize("payload", HELLO)
def test_examples_of_the_rfc(payload: bytes) -> None:
    assert inflate_message(payload, LIMIT) == b"Hello"


def test_empty_messages() -> None:
    assert inflate_message(b"\0", LIMIT) == b""  # §7.2.3.6
    assert inflate_message(b"", LIMIT) == b""


def test_empty_blocks_are_nothing() -> None:
    assert inflate_message(b"\0\0\0\xff\xff" * 50 + HELLO[0], LIMIT) == b"Hello"


def test_last_block_may_be_followed_by_others() -> None:
    """§7.2.1: BFINAL ends a block, not the message; what follows may refer to what was before."""
    first = compressed(b"Hello, Hello", zlib.Z_FINISH)
    second = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=b"Hello, Hello")
    rest = (second.compress(b", Hello") + second.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\0\0\xff\xff")
    assert inflate_message(first + rest, LIMIT) == b"Hello, Hello, Hello"
    # Without the empty block behind it, which the RFC asks for and some leave out.
    assert inflate_message(first, LIMIT) == b"Hello, Hello"


def test_last_blocks_are_bounded() -> None:
    empty = b"\x03\x00"
    assert inflate_message(empty * (MAX_FINAL_BLOCKS - 1) + b"\0", LIMIT) == b""
    assert refusal(empty * 500_000) == (POLICY_VIOLATION, "inflated")


@pytest.mark.parametrize("window", range(9, 16))
def test_any_window_can_be_inflated(window: int) -> None:
    data = bytes(range(256)) * 200
    assert inflate_message(compressed(data, window=window), len(data)) == data


def test_content_is_bounded() -> None:
    assert inflate_message(compressed(b"x" * LIMIT), LIMIT) == b"x" * LIMIT
    assert refusal(compressed(b"x" * (LIMIT + 1))) == (TOO_BIG, "inflated")
    several = compressed(b"x" * (LIMIT // 2), zlib.Z_FINISH) + compressed(b"x" * (LIMIT // 2 + 1))
    assert refusal(several) == (TOO_BIG, "inflated")


def test_bomb_is_not_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not beyond the limit: what zlib made of it is seen, by a stand-in for its inflater."""
    made: list[int] = []
    original = zlib.decompressobj

    class Counting:
        def __init__(self, window: int) -> None:
            self._inflater = original(window)

        def decompress(self, data: bytes, most: int) -> bytes:
            made.append(len(self._inflater.decompress(data, most)))
            return b"x" * made[-1]

    monkeypatch.setattr(zlib, "decompressobj", Counting)
    assert refusal(compressed(b"x" * 100_000_000)) == (TOO_BIG, "inflated")
    assert made == [LIMIT + 1]


@pytest.mark.parametrize(
    "payload",
    [
        b"\x07",  # a block of a kind that there is none of
        b"\x00\x05\x00\xfa\xfe",  # a length that its complement contradicts
        b"\xff" * 20,
        HELLO[0][:3],
        HELLO[1][:8],
        b"\x00\x20\x00\xdf\xffHello",  # of which 27 bytes are missing
        compressed(b"Hello" * 100)[:-5],
        compressed(b"Hello", zlib.Z_FINISH) + b"\xff",
    ],
)
def test_what_is_not_compressed_data(payload: bytes) -> None:
    assert refusal(payload) == (INVALID_DATA, None)


@given(st.binary(max_size=2_000), st.integers(0, 9), st.booleans())
@example(b"", 6, True)
def test_what_a_client_compresses_is_inflated(content: bytes, level: int, last: bool) -> None:
    compressor = zlib.compressobj(level, zlib.DEFLATED, -15)
    data = compressor.compress(content) + compressor.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)
    assert inflate_message(data + b"\0" if last else data.removesuffix(b"\0\0\xff\xff"), 2_000) == content


@given(st.binary(max_size=200) | st.binary(max_size=100).map(compressed), st.integers(0, 300))
def test_anything_is_inflated_or_refused(payload: bytes, limit: int) -> None:
    with contextlib.suppress(ProtocolError):
        assert len(inflate_message(payload, limit)) <= limit
