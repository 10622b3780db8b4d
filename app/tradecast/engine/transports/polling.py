"""The HTTP long-polling transport: what waits for a client until it asks, and what it posts."""

from __future__ import annotations

import asyncio
from typing import Final

from tradecast.engine.connection import TRANSPORT_ERROR, Connection
from tradecast.engine.message import Message
from tradecast.engine.transports.base import Host, TransportName

_SEPARATOR: Final = b"\x1e"
NOOP: Final = Message.of_packet(b"6")
CLOSE: Final = Message.of_packet(b"1")


class PollOverlap(Exception):
    """A client asked twice at the same time; the session ends."""


class PollingTransport:
    """One polling client.

    Attributes:
        connection: What it carries; None only while that is made.
        posting: Whether a POST of it is being taken.
    """

    __slots__ = ("_closed", "_host", "_out", "_out_size", "_poll", "_scheduled", "_upgrading", "connection", "posting")
    name: Final[TransportName] = "polling"

    def __init__(self, host: Host) -> None:
        self._host = host
        self._out: list[Message] = []
        self._out_size = 0
        self._poll: asyncio.Future[bytes] | None = None
        self._scheduled = False
        self._closed = False
        # WebSockets that have been probed.
        self._upgrading = 0
        self.posting = False
        self.connection: Connection | None = None

    @property
    def polled(self) -> bool:
        """Whether the client waits for an answer."""
        return self._poll is not None

    # -- out

    def send(self, message: Message) -> None:
        """See `Transport.send`."""
        if self._closed:
            return
        if self._poll is None and self._host.limits.exceeded(len(self._out), self._out_size):
            self._host.observer.client_too_slow()
            if self.connection is not None:
                self.connection.abort(TRANSPORT_ERROR)
            return
        self._out.append(message)
        self._out_size += message.size
        if self._poll is not None and not self._scheduled:
            self._scheduled = True
            self._host.flush_soon(self)

    def flush(self) -> None:
        """Answer the poll with what was sent in this turn of the loop."""
        self._scheduled = False
        if self._out and self._poll is not None:
            self._answer(self.take_all())

    def take_unsent(self) -> list[Message]:
        """See `Transport.take_unsent`."""
        out, self._out = self._out, []
        self._out_size = 0
        return out

    def take_all(self) -> bytes:
        """What was not sent yet, as the answer to a poll; nothing if there is none."""
        return _SEPARATOR.join([message.payload for message in self.take_unsent()])

    def _answer(self, payload: bytes) -> None:
        poll, self._poll = self._poll, None
        if poll is not None and not poll.done():
            poll.set_result(payload)

    def close(self, code: int | None = 0) -> None:
        """See `Transport.close`. A poll that waits is answered; later ones are of an unknown session."""
        if not self._closed:
            self._closed = True
            self._out.append(NOOP)
            self._answer(self.take_all())

    def abort(self) -> None:
        """See `Transport.abort`."""
        self._closed = True
        self._out = []
        self._answer(NOOP.payload)

    def pause_reading(self) -> None:
        """While too much waits, a POST is not answered, so the client sends no other (`until_it_may_send`)."""

    def resume_reading(self) -> None:
        """See `pause_reading`."""

    # -- polls

    def poll(self) -> asyncio.Future[bytes]:
        """The answer to a poll: what waits now, or what is sent next.

        Raises:
            PollOverlap: Another poll waits. It is answered with CLOSE.
        """
        if self._poll is not None:
            self._closed = True
            self._answer(CLOSE.payload)
            raise PollOverlap
        self._poll = poll = asyncio.get_running_loop().create_future()
        if self._out:
            self._answer(self.take_all())
        elif self._upgrading:
            self._answer(NOOP.payload)
        return poll

    # -- the upgrade

    def begin_upgrade(self) -> None:
        """A WebSocket has been probed: polls are answered at once, so that the client can let go of this transport."""
        self._upgrading += 1
        if self._poll is not None:
            self._out.append(NOOP)
            self._answer(self.take_all())

    def cancel_upgrade(self) -> None:
        """The WebSocket was given up; polls wait again."""
        self._upgrading -= 1
