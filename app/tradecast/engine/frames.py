"""WebSocket frames (RFC 6455 §5), as a server writes and reads them. Pure: bytes in, bytes or events out.

A frame with a reserved bit is a protocol error here; `compression/` reads those of permessage-deflate.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tradecast.engine.masking import apply_mask

FIN: Final = 0x80
CONTINUATION: Final = 0x0
TEXT: Final = 0x81
BINARY: Final = 0x82
CLOSE: Final = 0x88
PING: Final = 0x89
PONG: Final = 0x8A

# Close codes (RFC 6455 §7.4.1).
NORMAL: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
INVALID_DATA: Final = 1007
POLICY_VIOLATION: Final = 1008
TOO_BIG: Final = 1009
SERVICE_RESTART: Final = 1012

# Of one message. An empty one says nothing, and costs as much to read.
MAX_FRAGMENTS: Final = 1_024
MAX_EMPTY_FRAGMENTS: Final = 16

_MAX_CONTROL: Final = 125
# Those that an endpoint may send: the registered ones, without the ones that only stand for a missing code.
_CODES: Final = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})


class ProtocolError(Exception):
    """The client broke a rule of RFC 6455, or went beyond a limit of ours.

    Attributes:
        code: What the close frame says.
        limit: The limit's name; None: it was a rule.
    """

    def __init__(self, code: int, reason: str, limit: str | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.limit = limit


class Frame(NamedTuple):
    """A complete control frame, or a complete message put together from its fragments.

    Attributes:
        kind: `TEXT`, `BINARY`, `CLOSE`, `PING` or `PONG`.
        payload: Unmasked.
    """

    kind: int
    payload: bytes


FRAGMENT: Final = Frame(CONTINUATION, b"")
"""Stands for a fragment that was kept: its message is not complete."""


def encode_frame(kind: int, payload: bytes) -> bytes:
    """The bytes of a final, unmasked frame that carries `payload`."""
    size = len(payload)
    if size < 126:
        return bytes((kind, size)) + payload
    if size < 65_536:
        return bytes((kind, 126)) + size.to_bytes(2, "big") + payload
    return bytes((kind, 127)) + size.to_bytes(8, "big") + payload


def close_frame(code: int) -> bytes:
    """A close frame without a reason text."""
    return encode_frame(CLOSE, code.to_bytes(2, "big"))


def read_close(payload: bytes) -> int:
    """The code of a client's close frame; 1000 where it gives none.

    Raises:
        ProtocolError: The payload is not what RFC 6455 §5.5.1 allows.
    """
    if not payload:
        return NORMAL
    if len(payload) == 1:
        raise ProtocolError(PROTOCOL_ERROR, "half a close code")
    code = int.from_bytes(payload[:2], "big")
    if code not in _CODES and not 3000 <= code <= 4999:
        raise ProtocolError(PROTOCOL_ERROR, "an invalid close code")
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        raise ProtocolError(INVALID_DATA, "a close reason that is not UTF-8") from None
    return code


class FrameReader:
    """Reads the frames of one client. Bytes go in by `push`, complete frames come out by `pull`, one at a time.

    Attributes:
        inflated: Bytes that messages became by being inflated; set to 0 by who counts them. Always 0 here.
        max_size: Largest message taken, bytes; larger ones are refused by their announced size.
        waiting: Whether somebody else will pull what is there already.
    """

    __slots__ = (
        "_buffer",
        "_empty",
        "_fragments",
        "_kind",
        "_needed",
        "_position",
        "_size",
        "inflated",
        "max_size",
        "waiting",
    )

    def __init__(self, max_size: int) -> None:
        self.max_size = max_size
        self._buffer = bytearray()
        self._position = 0
        # No frame can be complete before the buffer holds this many bytes behind the position.
        self._needed = 2
        self._fragments: list[bytes] = []
        self._empty = 0
        self._kind = 0
        self._size = 0
        self.inflated = 0
        self.waiting = False

    @property
    def empty(self) -> bool:
        """Whether nothing is kept: no bytes, and no fragments of a message."""
        return not self._buffer and not self._kind

    def push(self, data: bytes) -> None:
        """Add bytes as they came."""
        self._buffer += data

    def pull(self) -> Frame | None:
        """The next complete frame, or `FRAGMENT` for a part of one; None until more bytes are pushed.

        Raises:
            ProtocolError: What comes next is no valid frame. Nothing can be read after that.
        """
        found = self._frame()
        if found is None:
            return None
        kind, payload = found
        return Frame(kind, payload) if kind & 0x08 else self._add_fragment(kind, payload)

    @property
    def unread(self) -> int:
        """Bytes that were pushed and are not pulled yet."""
        return len(self._buffer) - self._position

    def _frame(self) -> tuple[int, bytes] | None:
        """The next frame, with FIN in its kind; None if it is not complete yet."""
        buffer, at = self._buffer, self._position
        available = len(buffer) - at
        if available < self._needed:
            self._compact()
            return None
        first, second = buffer[at], buffer[at + 1]
        self._check_head(first, second)
        size, start = second & 0x7F, at + 2
        extended = 2 if size == 126 else 8 if size == 127 else 0
        if extended:
            if available < 2 + extended:
                self._needed = 2 + extended
                self._compact()
                return None
            size = int.from_bytes(buffer[start : start + extended], "big")
            start += extended
        self._check_size(first, size)
        end = start + 4 + size
        if len(buffer) < end:
            self._needed = end - at
            self._compact()
            return None
        payload = apply_mask(bytes(buffer[start + 4 : end]), bytes(buffer[start : start + 4]))
        self._position = end
        self._needed = 2
        return first, payload

    def _check_head(self, first: int, second: int) -> None:
        opcode = first & 0x0F
        if first & 0x70:
            raise ProtocolError(PROTOCOL_ERROR, "a reserved bit is set")
        if opcode not in (0x0, 0x1, 0x2, 0x8, 0x9, 0xA):
            raise ProtocolError(PROTOCOL_ERROR, "an unknown opcode")
        if not second & 0x80:
            raise ProtocolError(PROTOCOL_ERROR, "a client's frame that is not masked")
        if opcode & 0x08:
            if not first & FIN:
                raise ProtocolError(PROTOCOL_ERROR, "a fragmented control frame")
            if second & 0x7F > _MAX_CONTROL:
                raise ProtocolError(PROTOCOL_ERROR, "a control frame that is too long")
        elif (opcode == CONTINUATION) != bool(self._kind):
            raise ProtocolError(PROTOCOL_ERROR, "a fragment out of turn")

    def _check_size(self, first: int, size: int) -> None:
        if size >> 63:
            raise ProtocolError(PROTOCOL_ERROR, "a length with its highest bit set")
        if not first & 0x08 and self._size + size > self.max_size:
            raise ProtocolError(TOO_BIG, "a message that is too large")

    def _add_fragment(self, first: int, payload: bytes) -> Frame:
        if not self._kind:
            if first & FIN:
                return Frame(first, payload)
            self._kind = first | FIN
        self._empty += not payload
        if len(self._fragments) >= MAX_FRAGMENTS or self._empty > MAX_EMPTY_FRAGMENTS:
            raise ProtocolError(POLICY_VIOLATION, "a message in too many fragments", "fragments")
        self._fragments.append(payload)
        self._size += len(payload)
        if not first & FIN:
            return FRAGMENT
        whole = Frame(self._kind, b"".join(self._fragments))
        self._fragments, self._kind, self._size, self._empty = [], 0, 0, 0
        return whole

    def _compact(self) -> None:
        # Once per chunk, not once per frame: cutting the front of a bytearray moves what is behind it.
        if self._position:
            del self._buffer[: self._position]
            self._position = 0
