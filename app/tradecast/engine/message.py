"""One Engine.IO message, encoded once for all its recipients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engineio import packet

from tradecast.engine.frames import BINARY, TEXT, frame


class Message:
    """A text with its binary attachments, as it goes to one client or to ten thousand."""

    __slots__ = ("_frames", "_parts", "_raw", "_shared")

    def __init__(self, parts: Sequence[str | bytes]) -> None:
        self._parts: Sequence[str | bytes] | None = parts
        self._raw: tuple[bytes, Sequence[bytes]] | None = None
        self._frames: bytes | None = None
        self._shared: list[Any] | None = None

    @classmethod
    def of_bytes(cls, text: bytes, attachments: Sequence[bytes] = ()) -> Message:
        """A message whose text is encoded already; WebSockets take it as it is."""
        message = cls(())
        message._parts = None
        message._raw = (text, attachments)
        return message

    @property
    def parts(self) -> Sequence[str | bytes]:
        """The encoded Socket.IO packet: a text, and the attachments of a binary event."""
        if self._parts is None and self._raw is not None:
            self._parts = [self._raw[0].decode(), *self._raw[1]]
        return self._parts or ()

    @property
    def frames(self) -> bytes:
        """All of it as WebSocket frames, ready for a transport."""
        if self._frames is None and self._raw is not None:
            text, attachments = self._raw
            self._frames = b"".join((frame(TEXT, b"4" + text), *(frame(BINARY, one) for one in attachments)))
        elif self._frames is None:
            self._frames = b"".join(
                frame(TEXT, b"4" + part.encode()) if isinstance(part, str) else frame(BINARY, bytes(part))
                for part in self.parts
            )
        return self._frames

    @property
    def size(self) -> int:
        """Characters and bytes that wait with it in a queue."""
        return sum(len(part) for part in self.parts)

    @property
    def packets(self) -> list[Any]:
        """python-engineio's packets, for clients that wait in its queue.

        A text packet is shared. A binary one is not: python-engineio caches one encoding, but the polling transport
        needs base64 and WebSocket the bytes.
        """
        if len(self.parts) > 1:
            return [packet.Packet(packet.MESSAGE, part) for part in self.parts]
        if self._shared is None:
            self._shared = [packet.Packet(packet.MESSAGE, self.parts[0])]
        return self._shared
