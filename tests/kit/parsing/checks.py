"""What holds whatever a client, another server or Redis sends: checked with any bytes.

Tests of properties call these with what Hypothesis makes up, and the fuzzer (tests/fuzz) with what reaches code that
nothing has reached before.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from tradecast.cluster_rpc import protocol as messages
from tradecast.delivery.envelope import Envelope, decode_envelope, read_head
from tradecast.delivery.envelope import Malformed as BadEnvelope
from tradecast.delivery.ids import MAX_ID, parse_offset, write_offset
from tradecast.engine.frames import MAX_EMPTY_FRAGMENTS, MAX_FRAGMENTS, Frame, FrameReader, ProtocolError
from tradecast.engine.packets import MAX_CONTROL, MAX_PACKETS, Malformed, check_packet, split_payload
from tradecast.packets import json_values as values
from tradecast.packets.codec import (
    ACK,
    CONNECT,
    CONNECT_ERROR,
    DISCONNECT,
    EVENT,
    MAX_ATTACHMENTS,
    BadPacket,
    decode_packet,
    encode_packet,
)
from tradecast.polling_relay.sids import boot_of
from tradecast.polling_relay.signatures import signed_for
from tradecast.sessions.documents.document import SessionFields, decode_data, read_session
from tradecast.sessions.errors import AuthRefused
from tradecast.sessions.signing import MAX_LENGTH, unsign_session_id
from tradecast.sessions.stores.base import SessionRecord
from tradecast.user_id import read_user_id

# The most that a frame's head has: two bytes, eight of length, four of mask.
FRAME_HEAD = 14
KEYS = (b"k" * 32, b"o" * 32)
NOW = 1_800_000_000.0

FramesRead = tuple[list[Frame], tuple[int, str | None] | None, int | None]


def read_frames(pieces: Sequence[bytes], limit: int, reader_class: type[FrameReader] = FrameReader) -> FramesRead:
    """What is read, fragments too; what it is refused with; and what is left. What is held meanwhile is bounded."""
    reader = reader_class(limit)
    found: list[Frame] = []
    try:
        for piece in pieces:
            reader.push(piece)
            while (one := reader.pull()) is not None:
                found.append(one)
            assert reader.unread < FRAME_HEAD + max(limit, 125)
            assert len(reader._buffer) == reader.unread, "what was read is kept"
            assert sum(map(len, reader._fragments)) <= limit
            assert len(reader._fragments) <= MAX_FRAGMENTS
            assert reader._fragments.count(b"") <= MAX_EMPTY_FRAGMENTS
    except ProtocolError as error:
        return found, (error.code, error.limit), None
    finally:
        assert all(len(one.payload) <= (125 if one.kind & 0x08 else limit) for one in found)
    assert reader.empty is (not reader.unread and not reader._kind)
    return found, None, reader.unread


def check_payload(body: bytes) -> None:
    """A body is a payload or malformed: what is split off says what stood there."""
    try:
        packets = split_payload(body)
    except Malformed:
        return
    assert len(packets) == body.count(b"\x1e") + 1 <= MAX_PACKETS
    for packet, said in zip(packets, body.split(b"\x1e"), strict=True):
        if isinstance(packet, bytes):
            digits = said[1:].replace(b"\r", b"").replace(b"\n", b"").rstrip(b"=")
            assert said[:1] == b"b"
            # Bits behind the last whole byte mean nothing, and may be anything.
            assert base64.b64encode(packet).rstrip(b"=")[:-1] == digits[:-1]
            assert len(packet) == len(digits) * 3 // 4
        else:
            assert check_packet(packet) == packet
            assert packet.encode() == said
            assert packet[0] == "4" or (packet[0] in "012356" and len(packet) <= MAX_CONTROL)


def check_socketio_packet(text: str, attachments: Sequence[bytes]) -> None:
    """A text is a packet or none, with its attachments, and what it carries can be said in another one."""
    try:
        packet = decode_packet(text)
        assert 0 <= packet.due <= MAX_ATTACHMENTS
        assert packet.kind in (CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR)
        assert packet.namespace[0] == "/"
        assert packet.ack_id is None or packet.ack_id >= 0
        due = packet.due
        for attachment in attachments[:due]:
            packet.attach(attachment)
        assert packet.size == sum(map(len, attachments[:due]))
    except BadPacket:
        return
    again = encode_packet(ACK, [packet.data], namespace=packet.namespace, ack_id=packet.ack_id).parts
    assert isinstance(again[0], str)
    if len(again) > MAX_ATTACHMENTS + 1:
        return
    # Deeper by one level than what came, which is the deepest that can be read.
    with contextlib.suppress(BadPacket):
        repeated = decode_packet(again[0])
        for part in again[1:]:
            assert isinstance(part, bytes)
            repeated.attach(part)
        if not packet.due:
            assert (repeated.namespace, repeated.ack_id) == (packet.namespace, packet.ack_id)
            assert repeated.data == [packet.data]


def fields_of(envelope: Envelope) -> dict[str, Any]:
    """All that an envelope says, but where it stands."""
    found = {name: getattr(envelope, name) for name in Envelope.__slots__ if name not in ("id", "origin")}
    found["event"] = "".join("?" if letter < " " else letter for letter in envelope.event)
    return {name: list(one) if isinstance(one, tuple) else one for name, one in found.items()}


def check_envelope(data: bytes) -> None:
    """A message is an event or malformed; an event can be asked everything, and be sent on."""
    try:
        head, start = read_head(data)
        found = decode_envelope(data[start:], "room", head.id, head.origin)
    except BadEnvelope:
        return
    assert found.rooms
    assert all(isinstance(one, str) for one in (*found.rooms, *found.skip, *found.except_rooms, found.event))
    assert all(isinstance(one, bytes) for one in (found.packet, *found.attachments))
    assert sum(map(len, (found.packet, *found.attachments))) == len(data[start:].partition(b"\n")[2])
    assert isinstance(found.elsewhere, Mapping)
    assert all(type(at) is int and at >= 0 for at in found.elsewhere.values())
    assert fields_of(decode_envelope(found.encode(), found.rooms[0], head.id)) == fields_of(found)


def check_cluster_message(data: bytes) -> None:
    """What servers tell each other is a message or malformed; a message can be told again."""
    try:
        message = messages.decode_message(data)
    except BadEnvelope:
        return
    match message:
        case messages.Heartbeat():
            assert 0 <= message.connections <= messages.MAX_COUNT
            assert 0 < message.lease <= messages.MAX_LEASE
        case messages.Request():
            assert 0 <= message.number <= messages.MAX_COUNT
            assert isinstance(message.kind, str)
        case messages.Response():
            assert 0 <= message.part < message.parts <= messages.MAX_PARTS
            assert isinstance(message.items, list)
            assert isinstance(message.error, str)
    try:
        said = messages.encode_message(message)
    except TypeError:  # nested as deep as can be read: no deeper
        return
    assert messages.decode_message(said) == message
    if isinstance(message, messages.Request):
        with contextlib.suppress(ValueError):
            values.unpack_value(message.body)


def check_words(text: str) -> None:
    """Texts that clients send back to us are ours, or none."""
    for partitions in (1, 3):
        offset = parse_offset(text, partitions)
        if offset is not None:
            assert len(offset.ids) == partitions
            assert all(0 <= one <= MAX_ID for one in offset.ids)
            assert parse_offset(write_offset(*offset), partitions) == offset
    assert boot_of(text, KEYS) is None, "nobody has guessed a sid"
    assert signed_for(text.encode("utf-8", "replace"), KEYS, "GET", b"/", NOW) is None
    for secrets, require_signed in (((), False), (("a", "b"), False), (("a", "b"), True)):
        session_id = unsign_session_id(text, secrets, require_signed)
        if session_id is not None:
            assert session_id == text
            assert not require_signed
            assert len(session_id) <= MAX_LENGTH


def check_session(text: bytes) -> None:
    """A session that another application has written is one, or refused."""
    data = decode_data(text)
    for end in (None, NOW + 60):
        try:
            session = read_session(SessionRecord("sid", data, end), SessionFields(), NOW)
        except AuthRefused:
            continue
        assert NOW < session.expires_at <= NOW + (SessionFields().max_age if end is None else 60)
        assert read_user_id(session.user.id) == session.user.id
    with contextlib.suppress(orjson.JSONDecodeError, ValueError):
        read_user_id(orjson.loads(text))
