from __future__ import annotations

import pytest
import socketio.packet
from socketio.packet import ACK, EVENT

from tradecast.packets.codec import Packet, TooDeep, encode, encode_event


def test_event_is_what_python_socketio_would_send() -> None:
    data = ["watchlist:quote", {"symbol": "AAPL", "quote": {"price": 1.5, "name": "é"}, "n": None}]
    ours = Packet(encoded_packet=encode_event("watchlist:quote", [data[1]]).parts[0])
    theirs = socketio.packet.Packet(encoded_packet=socketio.packet.Packet(EVENT, data=data).encode())
    assert (ours.packet_type, ours.data) == (theirs.packet_type, theirs.data) == (EVENT, data)


def test_acknowledgement_carries_its_id() -> None:
    assert encode(ACK, [1], ack_id=7).parts == ["37[1]"]


def test_binary_event_has_its_attachments_behind() -> None:
    parts = encode_event("file", [{"content": b"\x01"}]).parts
    assert parts[1] == b"\x01"
    assert str(parts[0]).startswith("51-")


def test_what_json_cannot_say_is_an_error_to_the_caller() -> None:
    with pytest.raises(TypeError):
        encode_event("x", [object()])


def test_python_socketio_itself_is_left_as_it_was() -> None:
    assert socketio.packet.Packet.json is not Packet.json


def test_nesting_that_would_exhaust_the_stack_is_refused() -> None:
    with pytest.raises(TooDeep):
        Packet(encoded_packet='2["x",' + "[" * 100_000 + "]" * 100_000 + "]")
