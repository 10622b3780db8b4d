"""What a connection needs of the transport under it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Literal, Protocol

from tradecast.engine.message import Message
from tradecast.engine.observer import Observer
from tradecast.engine.transports.backlog import Backlog
from tradecast.engine.transports.outbox import Outbox
from tradecast.engine.transports.windows import Flushable, Windows
from tradecast.engine.turns import Turns

TransportName = Literal["websocket", "polling"]
# Bytes of a client that may be unsent before its messages wait here, and seconds that they may.
UNSENT: Final = 4_096
PATIENCE: Final = 15.0


class Transport(Protocol):
    """The way to one client.

    Attributes:
        name: As clients call it.
    """

    @property
    def name(self) -> TransportName: ...

    @property
    def is_backed_up(self) -> bool:
        """Whether it takes no more for now, so that what is sent waits (`Outbox`). Else all has been sent before."""
        ...

    def send(self, message: Message) -> None:
        """Send, or let it wait until it can be sent. Never waits, never raises, and never calls back.

        Who does not read is cut off once more waits than `Limits` allow, or for longer.
        """
        ...

    def send_in_window(self, message: Message) -> None:
        """Send within `message.window` seconds, in one write with what else is sent until then; in order with it."""
        ...

    def discard(self, left: Collection[str], still_in: Collection[str]) -> None:
        """Drop what waits and must not be sent any more. Arguments as of `Outbox.discard`."""
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
        unsent: Bytes that the system may have, not yet sent, before messages wait here.
        patience: Seconds that a message which stays in order may wait.
    """

    __slots__ = ("messages", "patience", "size", "unsent")

    def __init__(
        self, messages: int = 10_000, size: int = 4_000_000, *, unsent: int = UNSENT, patience: float = PATIENCE
    ) -> None:
        self.messages = messages
        self.size = size
        self.unsent = unsent
        self.patience = patience

    def exceeded(self, messages: int, size: int) -> bool:
        """Whether one message more would be too much, when this much waits."""
        return messages >= self.messages or (messages > 0 and size > self.size)

    def exceeded_by(self, message: Message, outbox: Outbox | None, messages: int = 0, size: int = 0) -> bool:
        """Whether a message more would be too much. One that takes the place of another only counts by its bytes.

        Args:
            message: The message.
            outbox: What waits for the client there.
            messages: How many wait elsewhere.
            size: Their bytes.
        """
        if outbox is None:
            return self.exceeded(messages, size)
        growth = outbox.growth(message)
        if growth is None:
            return self.exceeded(messages + len(outbox), size + outbox.size)
        return growth > 0 and len(outbox) > 1 and size + outbox.size > self.size


class Host(Protocol):
    """What transports need of the server.

    Attributes:
        backlog: Knows the transports for which messages wait.
        limits: Bounds on what waits for a client.
        max_http_buffer_size: Bytes of the largest message or POST taken.
        observer: Is notified of clients that are cut off.
        turns: Has those who have sent much read by turns.
        windows: Flushes transports whose messages wait for others.
    """

    backlog: Backlog
    limits: Limits
    max_http_buffer_size: int
    observer: Observer
    turns: Turns
    windows: Windows

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
