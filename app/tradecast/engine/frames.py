"""WebSocket frames as a server sends them: one frame a message, unmasked, uncompressed (RFC 6455 §5.2)."""

from __future__ import annotations

TEXT = 0x81
BINARY = 0x82


def frame(opcode: int, payload: bytes) -> bytes:
    """The bytes of a final frame that carries `payload`."""
    size = len(payload)
    if size < 126:
        return bytes((opcode, size)) + payload
    if size < 65_536:
        return bytes((opcode, 126)) + size.to_bytes(2, "big") + payload
    return bytes((opcode, 127)) + size.to_bytes(8, "big") + payload
