from __future__ import annotations

from tradecast.engine.frames import BINARY, TEXT, encode_frame
from tradecast.engine.message import Message


def test_text_is_a_message_packet_in_one_frame() -> None:
    assert Message(['2["é"]']).frames == encode_frame(TEXT, '42["é"]'.encode())


def test_attachments_follow_in_binary_frames() -> None:
    assert Message(['51-["x",{"_placeholder":true,"num":0}]', b"\x00\x01"]).frames == (
        encode_frame(TEXT, b'451-["x",{"_placeholder":true,"num":0}]') + encode_frame(BINARY, b"\x00\x01")
    )


def test_it_is_encoded_once() -> None:
    message = Message(['2["x"]'])
    assert message.frames is message.frames
    assert message.payload is message.payload


def test_polling_gets_binary_parts_in_base64() -> None:
    assert Message(["51-[]", b"\x00"]).payload == b"451-[]\x1ebAA=="


def test_a_single_binary_part_is_a_message() -> None:
    message = Message([b"\x00\x01"])
    assert message.frames == encode_frame(BINARY, b"\x00\x01")
    assert message.payload == b"bAAE="
    assert message.packets == [b"\x00\x01"]


def test_its_parts_are_as_they_were_given() -> None:
    message = Message(["51-[]", b"\x00"])
    assert message.parts == ["51-[]", b"\x00"]
    assert message.packets == ["451-[]", b"\x00"]
    assert message.size == 7


def test_compressed_frames_are_made_once_and_part_by_part() -> None:
    class Maker:
        """Makes frames that can be told from others."""

        def __init__(self) -> None:
            self.made: list[tuple[int, bytes]] = []

        def make_frame(self, kind: int, payload: bytes) -> bytes:
            self.made.append((kind, payload))
            return b"<" + payload + b">"

    maker = Maker()
    message = Message(["51-[]", b"\x00", b"\x01"])
    assert message.deflate(maker) == b"<451-[]><\x00><\x01>"
    assert message.deflate(maker) is message.deflate(maker)
    assert maker.made == [(TEXT, b"451-[]"), (BINARY, b"\x00"), (BINARY, b"\x01")]
    assert message.frames == encode_frame(TEXT, b"451-[]") + encode_frame(BINARY, b"\x00") + encode_frame(
        BINARY, b"\x01"
    )
    assert Message([b"\x00"]).deflate(maker) == b"<\x00>"
    assert Message.of_bytes(b"2[]").deflate(maker) == b"<42[]>"
