"""One Engine.IO message, encoded once for all its recipients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engineio import packet

from tradecast.engine.frames import BINARY, TEXT, frame


class Message:
    """A text with its binary attachments, as it goes to one client or to ten thousand.

    Attributes:
        parts: The encoded Socket.IO packet: a text, and the attachments of a binary event.
    """

    __slots__ = ("_frames", "_shared", "parts")

    def __init__(self, parts: Sequence[str | bytes]) -> None:
        self.parts = parts
        self._frames: bytes | None = None
        self._shared: list[Any] | None = None

    @property
    def frames(self) -> bytes:
        """All of it as WebSocket frames, ready for a transport."""
        if self._frames is None:
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
