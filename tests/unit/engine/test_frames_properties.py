"""Frames of any kind, in any pieces: by the rules, within bounds, and as the websockets package reads them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.exceptions import ProtocolError as TheirError
from websockets.frames import Close
from websockets.frames import Frame as TheirFrame
from websockets.protocol import CLIENT, OPEN, SERVER, Protocol

from kit.parsing.checks import read_frames
from kit.parsing.properties import PLACES, TEXTS, cut, damaged
from tradecast.engine.frames import (
    BINARY,
    CLOSE,
    FIN,
    INVALID_DATA,
    MAX_EMPTY_FRAGMENTS,
    MAX_FRAGMENTS,
    NORMAL,
    PING,
    POLICY_VIOLATION,
    PONG,
    PROTOCOL_ERROR,
    TEXT,
    TOO_BIG,
    Frame,
    ProtocolError,
    encode_frame,
    read_close,
)
from tradecast.engine.masking import apply_mask, apply_mask_slowly

LIMIT = 300
KINDS = [TEXT, BINARY, CLOSE, PING, PONG]
SIZES = st.integers(0, 20) | st.sampled_from([124, 125, 126, 127, 150, LIMIT - 1, LIMIT, LIMIT + 1, 65_536])


@st.composite
def client_frames(
    draw: st.DrawFn, first: st.SearchStrategy[int], sizes: st.SearchStrategy[int] = SIZES, *, masked: bool = True
) -> bytes:
    """One frame, its length in any of the forms that can say it, but for a control frame's."""
    size, kind = draw(sizes), draw(first)
    seed = draw(st.binary(min_size=1, max_size=4))
    payload = (seed * (size // len(seed) + 1))[:size]
    forms = [(127, size.to_bytes(8, "big")), *([(126, size.to_bytes(2, "big"))] if size < 65_536 else [])]
    if size < 126:
        forms = [(size, b""), *(forms if not kind & 0x08 else [])]
    short, rest = draw(st.sampled_from(forms))
    head = bytes((kind, short | (0x80 if masked else 0))) + rest
    mask = draw(st.binary(min_size=4, max_size=4)) if masked else b""
    return head + mask + (apply_mask(payload, mask) if masked else payload)


PROPER = st.sampled_from([*KINDS, TEXT & 0x0F, BINARY & 0x0F, 0x00, FIN])
ANY_FRAME = client_frames(PROPER) | client_frames(PROPER | st.integers(0, 255)) | client_frames(PROPER, masked=False)
STREAMS = st.lists(client_frames(PROPER) | ANY_FRAME, max_size=8).map(b"".join)


@st.composite
def conversations(draw: st.DrawFn) -> bytes:
    """Messages that are in order, in fragments too, with control frames between and within them."""
    found = []
    control = client_frames(st.sampled_from([PING, PONG]), st.integers(0, 125))
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from([TEXT, BINARY]))
        parts = draw(st.integers(1, 4))
        for part in range(parts):
            found += draw(st.lists(control, max_size=1))
            first = (kind & 0x0F if part == 0 else 0) | (FIN if part == parts - 1 else 0)
            found.append(draw(client_frames(st.just(first))))
    return b"".join(found)


@given(STREAMS | damaged(conversations()) | st.binary(max_size=60), PLACES)
@example(b"\x82\xfe\0\0\0\0\0\0", range(9))
@example(b"\x82\xff" + b"\0" * 12, range(15))
def test_pieces_in_which_bytes_come_change_nothing(data: bytes, places: Sequence[int]) -> None:
    assert read_frames(cut(data, places), LIMIT) == read_frames([data], LIMIT)


def theirs(data: bytes) -> tuple[list[tuple[int, bytes]], bool]:
    """The frames that the websockets package reads, fragments by themselves, and whether it refuses what follows.

    Without a limit: it would count control frames as a part of the message around them.
    """
    protocol = Protocol(SERVER, state=OPEN, max_size=None)
    protocol.receive_data(data)
    frames = [one for one in protocol.events_received() if isinstance(one, TheirFrame)]
    assert protocol.parser_exc is None or isinstance(protocol.parser_exc, TheirError)
    return [(one.opcode | (FIN if one.fin else 0), bytes(one.data)) for one in frames], protocol.parser_exc is not None


def joined(frames: Sequence[tuple[int, bytes]]) -> tuple[list[Frame], int]:
    """Fragments put together as RFC 6455 §5.4 says it, and how large the largest message is, a part of one included."""
    found: list[Frame] = []
    kind, parts, largest = 0, b"", 0
    for first, payload in frames:
        if first & 0x08:
            found.append(Frame(first, payload))
            continue
        kind, parts = first & 0x0F or kind, parts + payload
        largest = max(largest, len(parts))
        if first & FIN:
            found.append(Frame(kind | FIN, parts))
            kind, parts = 0, b""
    return found, largest


IN_TURN = client_frames(st.sampled_from([0x00, FIN, TEXT, BINARY, PING, PONG, 0x01, 0x02]))


@given(st.lists(IN_TURN | IN_TURN | ANY_FRAME.filter(lambda frame: frame[0] & 0x0F != 0x08), max_size=8))
@example([encode_frame(TEXT, b"a")])
@example([b"\x91\x80\0\0\0\0"])
def test_complete_frames_are_taken_or_refused_as_the_websockets_package_does(frames: list[bytes]) -> None:
    """Whole ones: that package looks at some rules only when a frame is complete, this one when its head is."""
    for number in range(len(frames)):
        data = b"".join(frames[: number + 1])
        found, refused, _ = read_frames([data], LIMIT)
        heard, they_refuse = theirs(data)
        expected, largest = joined(heard)
        if refused is not None and refused[0] == TOO_BIG:
            assert largest > LIMIT
            return
        assert largest <= LIMIT
        assert [one for one in found if one.kind] == expected
        assert refused == ((PROTOCOL_ERROR, None) if they_refuse else None)
        if refused is not None:
            return


@given(conversations(), PLACES)
def test_messages_that_are_in_order_are_taken(data: bytes, places: Sequence[int]) -> None:
    found, refused, left = read_frames(cut(data, places), 1_000_000)
    assert (refused, left) == (None, 0)
    expected, _ = joined(theirs(data)[0])
    assert [one for one in found if one.kind] == expected


@given(st.integers(-1, 2), st.sampled_from([MAX_FRAGMENTS, MAX_EMPTY_FRAGMENTS]), st.booleans())
def test_fragments_of_a_message_are_bounded_in_number(more: int, bound: int, behind: bool) -> None:
    """Empty ones by themselves; a message before them does not count."""
    size = int(bound == MAX_FRAGMENTS)
    frames = [bytes((0x00, 0x80 | size)) + b"\0" * 4 + b"x" * size] * (bound + more)
    frames[0] = bytes((BINARY & 0x0F,)) + frames[0][1:]
    before = [head + frames[0][1:] for head in (b"\x02", b"\x80")] if behind else []
    _, refused, _ = read_frames([*before, *frames], 1_000_000)
    assert refused == ((POLICY_VIOLATION, "fragments") if more > 0 else None)


@given(st.sampled_from(KINDS), SIZES, st.binary(min_size=1, max_size=3))
def test_what_is_written_is_read_by_a_client(kind: int, size: int, seed: bytes) -> None:
    payload = (seed * (size // len(seed) + 1))[: size if kind in (TEXT, BINARY) else min(size, 125)]
    if kind == CLOSE:
        payload = NORMAL.to_bytes(2, "big") + b"x" * min(len(payload), 123)
    client = Protocol(CLIENT, state=OPEN, max_size=None)
    client.receive_data(encode_frame(kind, payload))
    (found,) = client.events_received()
    assert isinstance(found, TheirFrame)
    assert (found.fin, found.opcode | FIN, bytes(found.data)) == (True, kind, payload)


@given(st.binary(max_size=70), st.binary(min_size=4, max_size=4))
def test_masking_is_what_the_rfc_says(data: bytes, mask: bytes) -> None:
    expected = bytes(one ^ mask[place % 4] for place, one in enumerate(data))
    assert bytes(apply_mask(data, mask)) == apply_mask_slowly(data, mask) == expected


CODES = st.integers(900, 5_100) | st.sampled_from([1000, 3000])


@given(
    st.builds(lambda code, text: code.to_bytes(2, "big") + text.encode(), CODES, TEXTS)
    | damaged(st.builds(lambda text: b"\x03\xe8" + text.encode(), TEXTS))
    | st.binary(max_size=125)
)
@example(b"\x03\xe8\xff")
def test_close_is_read_as_the_websockets_package_reads_it(payload: bytes) -> None:
    refused: int | None = None
    try:
        close = Close.parse(payload or NORMAL.to_bytes(2, "big"))
        close.check()
    except (TheirError, UnicodeDecodeError) as error:
        refused = INVALID_DATA if isinstance(error, UnicodeDecodeError) else PROTOCOL_ERROR
    if refused is None:
        assert read_close(payload) == close.code
        return
    with pytest.raises(ProtocolError) as raised:
        read_close(payload)
    # Where both the code and the reason are wrong, either may be said.
    assert raised.value.code in (refused, PROTOCOL_ERROR)
