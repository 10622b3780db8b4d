"""Engine.IO v4 packets (https://github.com/socketio/socket.io/blob/main/docs/engine.io-protocol/v4-current.md)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Final

CLOSE: Final = "1"
PONG: Final = "3"
MESSAGE: Final = "4"
UPGRADE: Final = "5"
PROBE: Final = "2probe"

SEPARATOR: Final = "\x1e"
MAX_PACKETS: Final = 1_000
# Everything but a message carries a word at most.
MAX_CONTROL: Final = 100
_CONTROL_TYPES: Final = frozenset("012356")
# Java's client breaks base64 into lines, as MIME does (RFC 2045 §6.8).
_LINE_BREAKS: Final = str.maketrans("", "", "\r\n")


class Malformed(ValueError):
    """Not an Engine.IO packet, or not a payload of them."""


def check_packet(packet: str) -> str:
    """The packet, if its type exists and only a message is long.

    Raises:
        Malformed: It is not one.
    """
    kind = packet[:1]
    if kind != MESSAGE and (kind not in _CONTROL_TYPES or len(packet) > MAX_CONTROL):
        raise Malformed("not an Engine.IO packet")
    return packet


def split_payload(body: bytes) -> Sequence[str | bytes]:
    """The packets in the body of a POST: texts with their type, and the bytes of binary messages.

    Raises:
        Malformed: The body is not UTF-8, or holds something that is not a packet, or more than `MAX_PACKETS`.
    """
    try:
        parts = body.decode().split(SEPARATOR)
    except UnicodeDecodeError:
        raise Malformed("not UTF-8") from None
    if len(parts) > MAX_PACKETS:
        raise Malformed(f"more than {MAX_PACKETS} packets")
    return [_decode_binary(part) if part[:1] == "b" else check_packet(part) for part in parts]


def _decode_binary(part: str) -> bytes:
    text = part[1:].translate(_LINE_BREAKS)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise Malformed("a binary message that is not base64") from None
