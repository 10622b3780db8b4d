"""What a client may send as one Engine.IO packet. Checked before python-engineio decodes it, which raises at random."""

from __future__ import annotations

from collections.abc import Sequence

SEPARATOR = "\x1e"
MAX_PACKETS = 1_000
# Heartbeats, probes and the like carry a word at most; only messages are long.
MAX_CONTROL = 100


class Malformed(ValueError):
    """No Engine.IO packet, or not one that carries a Socket.IO packet."""


def check_packet(packet: str) -> str:
    """The packet, if it is one: a type from 0 to 6, and in a message a Socket.IO type from 0 to 6.

    Raises:
        Malformed: It is not.
    """
    if packet[:1] == "4":
        if packet[1:2] not in tuple("0123456"):
            raise Malformed("a message that is no Socket.IO packet")
    elif packet[:1] not in tuple("012356") or len(packet) > MAX_CONTROL:
        raise Malformed("no Engine.IO packet")
    return packet


def split_payload(body: bytes) -> Sequence[str]:
    """The packets of a POST (https://github.com/socketio/engine.io-protocol#packet-encoding), base64 ones as they are.

    Raises:
        Malformed: The body is no UTF-8, has too many packets, or one that is none.
    """
    try:
        parts = body.decode().split(SEPARATOR)
    except UnicodeDecodeError:
        raise Malformed("no UTF-8") from None
    if len(parts) > MAX_PACKETS:
        raise Malformed(f"more than {MAX_PACKETS} packets")
    return [part if part[:1] == "b" else check_packet(part) for part in parts]
