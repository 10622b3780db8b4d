"""What goes to clients, encoded once for all of them."""

from __future__ import annotations

import base64
from collections.abc import Hashable, Sequence
from typing import Protocol

from tradecast.engine.frames import BINARY, TEXT, encode_frame


class FrameMaker(Protocol):
    """Makes WebSocket frames that only some clients can read."""

    def make_frame(self, kind: int, payload: bytes) -> bytes:
        """The frame of a text or a binary part."""
        ...


class Message:
    """One or several Engine.IO packets that stay together: to one client, or to ten thousand.

    Each transport takes the form that it needs, which is made at first use and kept.

    Attributes:
        key: What it is the newest state of: while it waits for a client, a newer message with the same key takes its
            place. None: it is kept, and stays in order.
        follows: Of a message without a key, what it is a newer state of all the same, where one with this key waits:
            that one goes before it.
        is_volatile: Whether it is dropped rather than kept waiting.
        rooms: Where it was sent. What waits for a client that leaves all of them is dropped.
        window: Seconds that it may wait for others, to go out with them in one write.
        whole: Of a message that is of use only right behind the one before with its key: one that is of use alone. A
            transport that cannot send at once keeps that one in its place. None: there is no need.
    """

    __slots__ = (
        "_attachments",
        "_deflated",
        "_frames",
        "_payload",
        "_text",
        "follows",
        "is_volatile",
        "key",
        "rooms",
        "whole",
        "window",
    )

    def __init__(self, parts: Sequence[str | bytes]) -> None:
        """A message in several parts: a text first, and binary ones behind it; or a single binary one."""
        if parts and isinstance(parts[0], str):
            self._text: bytes | None = b"4" + parts[0].encode()
            parts = parts[1:]
        else:
            self._text = None
        self._attachments: Sequence[bytes] = [part.encode() if isinstance(part, str) else bytes(part) for part in parts]
        self._frames: bytes | None = None
        self._deflated: bytes | None = None
        self._payload: bytes | None = None
        self.key: Hashable | None = None
        self.follows: Sequence[Hashable] = ()
        self.is_volatile = False
        self.rooms: Sequence[str] = ()
        self.window = 0.0
        self.whole: Message | None = None

    @classmethod
    def of_bytes(cls, text: bytes, attachments: Sequence[bytes] = ()) -> Message:
        """A message whose text is encoded already."""
        return cls.of_packet(b"4" + text, attachments)

    @classmethod
    def of_packet(cls, packet: bytes, attachments: Sequence[bytes] = ()) -> Message:
        """Any packet, encoded, its type included."""
        message = cls.__new__(cls)
        message._text = packet
        message._attachments = attachments
        message._frames = None
        message._deflated = None
        message._payload = None
        message.key = None
        message.follows = ()
        message.is_volatile = False
        message.rooms = ()
        message.window = 0.0
        message.whole = None
        return message

    def encode(self) -> bytes:
        """Encode the message, with its attachments, as WebSocket frames."""
        if self._frames is None:
            text = b"" if self._text is None else encode_frame(TEXT, self._text)
            if self._attachments:
                text += b"".join(encode_frame(BINARY, part) for part in self._attachments)
            self._frames = text
        return self._frames

    frames = property(encode)

    def deflate(self, maker: FrameMaker) -> bytes:
        """Encode the message as WebSocket frames, large ones compressed, for clients that have agreed to that.

        Args:
            maker: Makes the frames; the same one each time.
        """
        if self._deflated is None:
            parts = [] if self._text is None else [maker.make_frame(TEXT, self._text)]
            parts += [maker.make_frame(BINARY, part) for part in self._attachments]
            self._deflated = parts[0] if len(parts) == 1 else b"".join(parts)
        return self._deflated

    @property
    def payload(self) -> bytes:
        """Encode the message as a part of the answer to a poll, with binary parts in base64."""
        if self._payload is None:
            texts = [] if self._text is None else [self._text]
            self._payload = b"\x1e".join([*texts, *(b"b" + base64.b64encode(part) for part in self._attachments)])
        return self._payload

    @property
    def parts(self) -> list[str | bytes]:
        """A message as it was given: its text, and its binary parts."""
        texts: list[str | bytes] = [] if self._text is None else [self._text[1:].decode()]
        return [*texts, *self._attachments]

    @property
    def packets(self) -> list[str | bytes]:
        """Its packets one by one: texts with their type, and the bytes of binary messages."""
        texts: list[str | bytes] = [] if self._text is None else [self._text.decode()]
        return [*texts, *self._attachments]

    @property
    def packet_count(self) -> int:
        """How many packets it is."""
        return (self._text is not None) + len(self._attachments)

    @property
    def size(self) -> int:
        """Bytes, without what a transport adds."""
        return len(self._text or b"") + sum(map(len, self._attachments))
