from __future__ import annotations

from engineio import packet

from tradecast.engine import Message
from tradecast.engine.frames import BINARY, TEXT, frame


def test_text_is_a_message_packet_in_one_frame() -> None:
    assert Message(['2["é"]']).frames == frame(TEXT, '42["é"]'.encode())


def test_attachments_follow_in_binary_frames() -> None:
    assert Message(['51-["x",{"_placeholder":true,"num":0}]', b"\x00\x01"]).frames == (
        frame(TEXT, b'451-["x",{"_placeholder":true,"num":0}]') + frame(BINARY, b"\x00\x01")
    )


def test_it_is_encoded_once() -> None:
    message = Message(['2["x"]'])
    assert message.frames is message.frames
    assert message.packets[0] is message.packets[0]


def test_binary_packets_are_not_shared_because_polling_encodes_them_otherwise() -> None:
    message = Message(["51-[]", b"\x00"])
    over_websocket, over_polling = message.packets[1], message.packets[1]
    assert over_websocket.encode() == b"\x00"
    assert over_polling.encode(b64=True) == "bAA=="
    assert over_websocket.packet_type == packet.MESSAGE
