"""The HTTP long-polling transport: what waits for a client until it asks, and what it posts."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from tradecast.engine.connection import TRANSPORT_ERROR, Connection
from tradecast.engine.message import Message
from tradecast.engine.transports.backlog import SlowReason
from tradecast.engine.transports.base import Host, TransportName
from tradecast.engine.transports.outbox import Outbox

_SEPARATOR: Final = b"\x1e"
NOOP: Final = Message.of_packet(b"6")
CLOSE: Final = Message.of_packet(b"1")
# Bytes of an answer, unless a single message has more: what waits for the next one may still be replaced.
ANSWER_BYTES: Final = 65_536
# And packets, unless a single message is more: python-engineio's client takes no answer of more than 16.
ANSWER_PACKETS: Final = 16


class PollOverlap(Exception):
    """A client asked twice at the same time; the session ends."""


class PollingTransport:
    """One polling client. While no poll of it waits for an answer, its messages wait in an outbox.

    Attributes:
        connection: What it carries; None only while that is made.
        outbox: What waits for the next poll; None: nothing.
        posting: Whether a POST of it is being taken.
    """

    __slots__ = ("_closed", "_host", "_out", "_poll", "_scheduled", "_upgrading", "connection", "outbox", "posting")
    name: Final[TransportName] = "polling"

    def __init__(self, host: Host) -> None:
        self._host = host
        # What was sent in this turn or window, while a poll waits.
        self._out: list[Message] = []
        self.outbox: Outbox | None = None
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

    @property
    def is_backed_up(self) -> bool:
        """See `Transport.is_backed_up`."""
        return self._poll is None

    def send(self, message: Message) -> None:
        """See `Transport.send`."""
        if self._closed:
            return
        if self._poll is None:
            self._queue(message)
            return
        self._out.append(message)
        if not self._scheduled:
            self._scheduled = True
            self._host.flush_soon(self)

    def send_in_window(self, message: Message) -> None:
        """See `Transport.send_in_window`."""
        if self._closed or self._poll is None or self._scheduled:
            self.send(message)
            return
        if not self._out:
            self._host.windows.add(self, message.window)
        self._out.append(message)

    def _queue(self, message: Message) -> None:
        host, outbox = self._host, self.outbox
        if outbox is None:
            self.outbox = outbox = Outbox()
        if host.limits.exceeded_by(message, outbox):
            self.cut_off("queue_full")
            return
        # Between two polls of a client that keeps up, a few messages wait: those are not its backlog.
        host.backlog.queue(self, message, host.limits.unsent)

    def flush(self) -> None:
        """Answer the poll with what was sent in this turn of the loop, as far as one answer takes it."""
        self._scheduled = False
        if not self._out or self._poll is None:
            return
        out, self._out = self._out, []
        count = _count_answered(out)
        self._answer(_join_messages(out[:count]))
        for message in out[count:]:  # whatever it is: its client has not been slow so far
            self._host.backlog.queue(self, message, self._host.limits.unsent)

    def discard(self, left: Collection[str], still_in: Collection[str]) -> None:
        """See `Transport.discard`."""
        if self.outbox is not None:
            self.outbox.discard(left, still_in)

    def take_unsent(self) -> list[Message]:
        """See `Transport.take_unsent`."""
        out, self._out = self._out, []
        if self.outbox is not None:
            out += self.outbox.take_all()
            self._drop_outbox()
        return out

    def take_all(self) -> bytes:
        """What was not sent yet, as the answer to a poll; nothing if there is none."""
        return _join_messages(self.take_unsent())

    def _drop_outbox(self) -> None:
        self.outbox = None
        self._host.backlog.remove(self)

    def _answer(self, payload: bytes) -> None:
        poll, self._poll = self._poll, None
        if poll is not None and not poll.done():
            poll.set_result(payload)

    def cut_off(self, reason: SlowReason) -> None:
        """See `BackedUp.cut_off`. Its next request is one of an unknown session, after which clients reconnect."""
        connection = self.connection
        self._host.observer.client_too_slow("" if connection is None else connection.sid, reason)
        if connection is not None:
            connection.abort(TRANSPORT_ERROR)

    def close(self, code: int | None = 0) -> None:
        """See `Transport.close`. A poll that waits is answered; later ones are of an unknown session."""
        if not self._closed:
            self._closed = True
            self._answer(_join_messages([*self.take_unsent(), NOOP]))

    def abort(self) -> None:
        """See `Transport.abort`."""
        self._closed = True
        self._out = []
        self._drop_outbox()
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
        if self.outbox is not None and (waiting := self.outbox.take(ANSWER_BYTES, ANSWER_PACKETS)):
            self._answer(_join_messages(waiting))
        elif self._upgrading:
            self._answer(NOOP.payload)
        if self.outbox is None or not len(self.outbox):
            self.outbox = None
            self._host.backlog.drained(self, "" if self.connection is None else self.connection.sid)
        return poll

    # -- the upgrade

    def begin_upgrade(self) -> None:
        """A WebSocket has been probed: polls are answered at once, so that the client can let go of this transport."""
        self._upgrading += 1
        if self._poll is not None:
            self._answer(_join_messages([*self.take_unsent(), NOOP]))

    def cancel_upgrade(self) -> None:
        """The WebSocket was given up; polls wait again."""
        self._upgrading -= 1


def _count_answered(messages: Sequence[Message]) -> int:
    """How many of these go into one answer: one at least."""
    size, packets = ANSWER_BYTES, ANSWER_PACKETS
    for number, message in enumerate(messages):
        size -= message.size
        packets -= message.packet_count
        if number and (size < 0 or packets < 0):
            return number
    return len(messages)


def _join_messages(messages: Iterable[Message]) -> bytes:
    return _SEPARATOR.join([message.payload for message in messages])
