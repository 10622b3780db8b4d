"""What a connection needs of the transport under it."""

from __future__ import annotations

from typing import Literal, Protocol

from tradecast.engine.message import Message
from tradecast.engine.observer import Observer
from tradecast.engine.turns import Turns

TransportName = Literal["websocket", "polling"]


class Transport(Protocol):
    """The way to one client.

    Attributes:
        name: As clients call it.
    """

    @property
    def name(self) -> TransportName: ...

    def send(self, message: Message) -> None:
        """Send, or keep in order until it can be sent. Never waits, never raises, and never calls back.

        Who does not read is cut off once more waits than `Limits` allow.
        """
        ...

    def take_unsent(self) -> list[Message]:
        """What was not sent yet, which another transport is going to send."""
        ...

    def close(self, code: int | None) -> None:
        """Send what waits, then close. A client that takes nothing is dropped after a while.

        Args:
            code: For a WebSocket's close frame; None: the connection ends without one, as when it is lost.
        """
        ...

    def abort(self) -> None:
        """Drop what waits, and close at once."""
        ...

    def pause_reading(self) -> None:
        """Take nothing more from the client for now."""
        ...

    def resume_reading(self) -> None:
        """Take what the client sends again."""
        ...


class Limits:
    """Bounds on what waits for one client.

    Attributes:
        messages: How many.
        size: Bytes; a single message may be larger.
    """

    __slots__ = ("messages", "size")

    def __init__(self, messages: int, size: int) -> None:
        self.messages = messages
        self.size = size

    def exceeded(self, messages: int, size: int) -> bool:
        """Whether one message more would be too much, when this much waits."""
        return messages >= self.messages or (messages > 0 and size > self.size)


class Flushable(Protocol):
    """A transport that has something to write at the end of this turn of the event loop."""

    def flush(self) -> None: ...


class Host(Protocol):
    """What transports need of the server.

    Attributes:
        limits: Bounds on what waits for a client.
        max_http_buffer_size: Bytes of the largest message or POST taken.
        observer: Told of clients that are cut off.
        turns: Has those who have sent much read by turns.
    """

    limits: Limits
    max_http_buffer_size: int
    observer: Observer
    turns: Turns

    def flush_soon(self, transport: Flushable) -> None:
        """Flush a transport at the end of this turn of the event loop."""
        ...

    def is_leaving(self, transport: Closing) -> None:
        """A transport's connection has ended, and it closes as soon as its client agrees."""
        ...

    def has_left(self, transport: Closing) -> None:
        """A transport is closed."""
        ...


class Closing(Protocol):
    """A transport that is on its way out."""

    def abort(self) -> None: ...


class Receiver(Protocol):
    """Takes what comes over a WebSocket: the connection that it carries, or the upgrade that is under way."""

    @property
    def message_limit(self) -> int:
        """Bytes of the largest message taken now."""
        ...

    def receive(self, packet: str | bytes) -> None:
        """Take a packet.

        Raises:
            Malformed: It is none that may come now.
        """
        ...

    def lost(self, reason: str) -> None:
        """The WebSocket is gone."""
        ...
