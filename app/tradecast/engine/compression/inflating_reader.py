"""Reads the frames of a client that may compress its messages (RFC 7692 §6.2)."""

from __future__ import annotations

from tradecast.engine.compression.deflate import COMPRESSED, inflate_message
from tradecast.engine.frames import PROTOCOL_ERROR, Frame, FrameReader, ProtocolError


class InflatingFrameReader(FrameReader):
    """A `FrameReader` whose messages may be compressed; what comes out is inflated.

    A message is inflated once it is complete, so neither its fragments nor what they make is larger than `max_size`.
    """

    __slots__ = ()

    def _check_head(self, first: int, second: int) -> None:
        if first & COMPRESSED:
            if first & 0x0F not in (0x1, 0x2):  # a message is compressed as a whole, a control frame never is
                raise ProtocolError(PROTOCOL_ERROR, "a reserved bit is set")
            first &= ~COMPRESSED
        super()._check_head(first, second)

    def _add_fragment(self, first: int, payload: bytes) -> Frame:
        found = super()._add_fragment(first, payload)
        if not found.kind & COMPRESSED:
            return found
        content = inflate_message(found.payload, self.max_size)
        self.inflated += len(content)
        return Frame(found.kind & ~COMPRESSED, content)
