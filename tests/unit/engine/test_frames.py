"""Our frames, read by the websockets package."""

from __future__ import annotations

import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, OPEN, Protocol

from tradecast.engine.frames import BINARY, TEXT, frame


def decode(data: bytes) -> list[Frame]:
    """What a client reads; it fails on masked or malformed frames."""
    reader = Protocol(CLIENT, state=OPEN, max_size=None)
    reader.receive_data(data)
    assert reader.parser_exc is None
    return [event for event in reader.events_received() if isinstance(event, Frame)]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 200_000])
@pytest.mark.parametrize(("opcode", "kind"), [(TEXT, Opcode.TEXT), (BINARY, Opcode.BINARY)])
def test_frame_of_every_length_form_is_read_back(size: int, opcode: int, kind: Opcode) -> None:
    payload = b"x" * size
    (read,) = decode(frame(opcode, payload))
    assert read == Frame(kind, payload, fin=True)


def test_frames_in_one_write_are_read_in_order() -> None:
    assert [read.data for read in decode(frame(TEXT, b"a") + frame(BINARY, b"b"))] == [b"a", b"b"]
