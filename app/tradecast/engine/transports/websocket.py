"""The WebSocket transport on a raw connection: no task, no queue, no ASGI round trip."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Any, ClassVar, Final, Protocol

from tradecast.engine.budget import ControlBudget
from tradecast.engine.connection import TRANSPORT_CLOSE, TRANSPORT_ERROR, Connection
from tradecast.engine.frames import (
    CLOSE,
    FRAGMENT,
    GOING_AWAY,
    INVALID_DATA,
    NORMAL,
    PING,
    POLICY_VIOLATION,
    PONG,
    TEXT,
    FrameReader,
    ProtocolError,
    close_frame,
    encode_frame,
    read_close,
)
from tradecast.engine.masking import apply_mask
from tradecast.engine.message import Message
from tradecast.engine.packets import Malformed
from tradecast.engine.transports.backlog import SlowReason
from tradecast.engine.transports.base import Host, Receiver, TransportName
from tradecast.engine.transports.outbox import Outbox
from tradecast.engine.transports.secured import SecuredTransport
from tradecast.engine.turns import BYTES_PER_TURN, FRAMES_PER_TURN, PACKETS_PER_TURN

# Seconds until a client that takes nothing of what was sent before our close frame is dropped.
GOODBYE: Final = 5.0
# What a client still sends after our close frame is read and discarded, for so many seconds and bytes: to close
# at once would make the system drop what was sent last (RFC 9112 §9.6).
LINGER: Final = 2.0
LINGER_BYTES: Final = 1_000_000
# Bytes of small messages that are written at once to a socket that takes more again: what it does not take cannot be
# replaced any more. About what goes into one packet of a network.
DRAINED_AT_ONCE: Final = 1_400


class Registry(Protocol):
    """Where the HTTP server keeps the protocols of open connections, for its own shutdown."""

    def add(self, protocol: Any, /) -> None: ...
    def discard(self, protocol: Any, /) -> None: ...


class WebSocketTransport(asyncio.Protocol):
    """One WebSocket, after its handshake.

    What is sent in one turn of the event loop goes out in one write at its end. While the socket takes no
    more, messages wait in an outbox, where they are counted, and newer ones replace older ones.

    Attributes:
        reader_class: Reads what is more than one small frame.
        outbox: What waits while the socket takes no more; None: nothing.
        transport: The connection; uvicorn's shutdown reads this.
        receiver: Who gets what comes.
    """

    __slots__ = (
        "_close_sent",
        "_controls",
        "_held",
        "_host",
        "_out",
        "_paused",
        "_reader",
        "_registry",
        "_scheduled",
        "outbox",
        "receiver",
        "transport",
    )
    name: Final[TransportName] = "websocket"
    reader_class: ClassVar[type[FrameReader]] = FrameReader
    # Not a method that calls this one: for each recipient there is one call, as if there were no other class.
    _encode = staticmethod(Message.encode)

    def __init__(self, host: Host, transport: asyncio.Transport, registry: Registry) -> None:
        self.transport = transport
        self.receiver: Receiver | None = None
        self._host = host
        self._registry = registry
        self._reader: FrameReader | None = None
        self._controls: ControlBudget | None = None
        # Whether the connection takes nothing more for now.
        self._held = False
        # What is written at the end of this turn, or of a window. None: nothing is, and no list, which takes memory.
        self._out: list[bytes] | None = None
        self.outbox: Outbox | None = None
        # Whether somebody will call `flush` in this turn of the loop.
        self._scheduled = False
        self._paused = False
        self._close_sent = False

    # -- out

    def begin(self, answer: bytes) -> None:
        """Answer the handshake. What is sent in the same turn goes out with it."""
        # Paused as soon as the system does not take all: it keeps little that is not sent (`limit_unsent`). Not 0, at
        # which event loops pause TLS for good.
        self.transport.set_write_buffer_limits(high=1, low=0)
        self._out = [answer]
        self._scheduled = True
        self._host.flush_soon(self)

    @property
    def is_backed_up(self) -> bool:
        """See `Transport.is_backed_up`."""
        return self._paused

    def send(self, message: Message) -> None:
        """See `Transport.send`."""
        if self._close_sent:
            return
        if self._paused:
            self._queue(message)
            return
        frames, out = self._encode(message), self._out
        if out is None:
            self._out = [frames]
        else:
            out.append(frames)
        if not self._scheduled:
            self._scheduled = True
            self._host.flush_soon(self)

    def send_in_window(self, message: Message) -> None:
        """See `Transport.send_in_window`. What waits for its window is not scheduled; whatever is, takes it along."""
        if self._scheduled or self._paused or self._close_sent:
            self.send(message)
        elif self._out is None:
            self._out = [self._encode(message)]
            self._host.windows.add(self, message.window)
        else:
            self._out.append(self._encode(message))

    def flush(self) -> None:
        """Write what was sent in this turn of the loop."""
        self._scheduled = False
        out = self._out
        if out and not self._paused:
            self._out = None
            self.transport.write(out[0] if len(out) == 1 else b"".join(out))

    def _queue(self, message: Message) -> None:
        host, outbox = self._host, self.outbox
        if outbox is None:
            self.outbox = outbox = Outbox()
        out = self._out or ()
        unsent = sum(map(len, out)) + self.transport.get_write_buffer_size()
        if host.limits.exceeded_by(message, outbox, len(out), unsent):
            self.cut_off("queue_full")
            return
        host.backlog.queue(self, message)

    def discard(self, left: Collection[str], still_in: Collection[str]) -> None:
        """See `Transport.discard`."""
        if self.outbox is not None:
            self.outbox.discard(left, still_in)

    def take_unsent(self) -> list[Message]:
        """See `Transport.take_unsent`; nothing replaces a WebSocket."""
        return []

    def take_over(self, unsent: Sequence[Message]) -> None:
        """See `Upgradable.take_over`."""
        if self._close_sent or self._paused:
            for message in unsent:
                self.send(message)
            return
        for message in unsent:
            self._host.backlog.queue(self, message)
        self._drain()

    def pause_writing(self) -> None:
        """The socket takes no more: it has not sent as much as it may have."""
        self._paused = True

    def resume_writing(self) -> None:
        """The socket takes more: as much of what waits as it likes."""
        self._paused = False
        self._drain()

    def _drain(self) -> None:
        """Write what waits, in small pieces: what the socket does not take yet may still be replaced."""
        out, self._out = self._out, None
        if out:
            self.transport.write(b"".join(out))
        outbox = self.outbox
        while outbox is not None and not self._paused:  # set by `pause_writing`, which `write` may call
            messages = outbox.take(DRAINED_AT_ONCE)
            if not messages:
                self.outbox = outbox = None
                break
            self.transport.write(b"".join(map(self._encode, messages)))
        if not self._paused:
            self._host.backlog.drained(self, self._sid)

    @property
    def _sid(self) -> str:
        return self.receiver.sid if isinstance(self.receiver, Connection) else ""

    def cut_off(self, reason: SlowReason) -> None:
        """See `BackedUp.cut_off`: as if the network had failed, so that every client reconnects."""
        self._host.observer.client_too_slow(self._sid, reason)
        self.abort()

    def close(self, code: int | None = NORMAL) -> None:
        """See `Transport.close`."""
        if self._close_sent:
            return
        self._close_sent = True
        waiting = () if self.outbox is None else map(self._encode, self.outbox.take_all())
        data = b"".join([*(self._out or ()), *waiting, *(() if code is None else (close_frame(code),))])
        self._drop_unsent()
        self._reader = None
        if not self.transport.is_closing():
            if data:
                self.transport.write(data)
            # The server is the first to close (RFC 6455 §7.1.1); what the client still sends is read meanwhile.
            if self.transport.can_write_eof():
                self.transport.write_eof()
            elif code is None:
                self.transport.close()
            self.resume_reading()
            self._host.is_leaving(self)
            asyncio.get_running_loop().call_later(LINGER, self._end_lingering)

    def _drop_unsent(self) -> None:
        self._out = None
        if self.outbox is not None:
            self.outbox = None
            self._host.backlog.remove(self)

    def _end_lingering(self) -> None:
        if self.transport.get_write_buffer_size() and not self.transport.is_closing():
            asyncio.get_running_loop().call_later(GOODBYE - LINGER, self.abort)
        else:
            self.abort()

    def abort(self) -> None:
        """See `Transport.abort`."""
        self._close_sent = True
        self._drop_unsent()
        self.transport.abort()

    def shutdown(self) -> None:
        """The HTTP server stops, and waits for this to close."""
        if isinstance(self.receiver, Connection):
            self.receiver.end(TRANSPORT_CLOSE, GOING_AWAY)
        self.close(GOING_AWAY)

    # -- in

    def data_received(self, data: bytes) -> None:
        """Bytes from the client: what the packets in them bring about is written in one go."""
        if self._close_sent:
            self._discard(data)
            return
        scheduled, self._scheduled = self._scheduled, True
        try:
            self._read(data)
        finally:
            if scheduled:
                self._scheduled = True
            else:
                self.flush()

    def _discard(self, data: bytes) -> None:
        """Throw away what comes behind our close frame, but for the answer to it."""
        controls = self._controls = self._controls or ControlBudget()
        controls.discarded += len(data)
        if data[0] == CLOSE:
            self.transport.close()
        elif controls.discarded > LINGER_BYTES:
            self._host.observer.limit_exceeded("after_close")
            self.abort()

    def _read(self, data: bytes) -> None:
        reader = self._reader
        if reader is None:
            # Nearly all that clients send is one small text in one frame, and comes alone.
            size = len(data) - 6
            if 0 <= size < 126 and data[0] == TEXT and data[1] == 0x80 | size:
                self._receive(TEXT, apply_mask(data[6:], data[2:6]))
                return
            self._reader = reader = self.reader_class(self._message_limit)
        else:
            reader.max_size = self._message_limit  # it grows when the client is trusted, and no event reports that
        reader.push(data)
        if not self._held and not reader.waiting and (not self._host.turns.has_time() or self._pull(reader)):
            self._wait_for_turn(reader)

    @property
    def _message_limit(self) -> int:
        return self._host.max_http_buffer_size if self.receiver is None else self.receiver.message_limit

    def _wait_for_turn(self, reader: FrameReader) -> None:
        reader.waiting = True
        if not self.transport.is_closing():
            self.transport.pause_reading()
        self._host.turns.wait(self)

    def read_on(self) -> bool:
        """Read one more share of what has come (`Reading`)."""
        reader = self._reader
        if reader is None:  # it was closed meanwhile
            return False
        scheduled, self._scheduled = self._scheduled, True
        try:
            more = not self._held and self._pull(reader)
        finally:
            if scheduled:
                self._scheduled = True
            else:
                self.flush()
        reader.waiting = more
        if not more and not self._held and not self._close_sent and not self.transport.is_closing():
            self.transport.resume_reading()
        return more

    def _pull(self, reader: FrameReader) -> bool:
        """Read one share of what has come; whether there may be more."""
        packets, last, reader.inflated = 0, reader.unread - BYTES_PER_TURN, 0
        try:
            for _ in range(FRAMES_PER_TURN):
                found = reader.pull()
                if found is None:
                    if reader.empty:
                        self._reader = None
                    return False
                if found is not FRAGMENT:
                    packets += 1
                    self._receive(found.kind, found.payload)
                    if self._close_sent or self._held:
                        return False
                if (packets >= PACKETS_PER_TURN or reader.unread - reader.inflated <= last) and reader.unread:
                    return True
        except ProtocolError as error:
            self._fail(error.code, error.limit)
            return False
        return True

    def _receive(self, kind: int, payload: bytes) -> None:
        if kind & 0x08:
            self._receive_control(kind, payload)
            return
        if self.receiver is None:
            return
        try:
            self.receiver.receive(payload.decode() if kind == TEXT else payload)
        except UnicodeDecodeError:
            self._fail(INVALID_DATA)
        except Malformed:
            self._fail(NORMAL)

    def _receive_control(self, kind: int, payload: bytes) -> None:
        if kind == CLOSE:
            try:
                code = read_close(payload)
            except ProtocolError as error:
                code = error.code
            if code == GOING_AWAY and isinstance(self.receiver, Connection):
                self._host.observer.page_left(self.receiver.sid)
            self._lose(TRANSPORT_CLOSE)
            # Both sides have said it; the server closes the connection first (RFC 6455 §7.1.1).
            self.close(code)
            self.transport.close()
            return
        controls = self._controls = self._controls or ControlBudget()
        if not controls.spend():
            raise ProtocolError(POLICY_VIOLATION, "too many control frames", "control_frames")
        # No answer to who takes nothing: answers would pile up. A turn has no more of them than the budget has frames.
        if kind == PING and not self._paused and not self._close_sent:
            pong = encode_frame(PONG, payload)
            if self._out is None:
                self._out = [pong]
            else:
                self._out.append(pong)
            if not self._scheduled:
                self._scheduled = True
                self._host.flush_soon(self)

    def _fail(self, code: int, limit: str | None = None) -> None:
        """Close the connection, as the client has violated the protocol, or exceeded the limit of this name."""
        if limit is None:
            self._host.observer.packet_malformed()
        else:
            self._host.observer.limit_exceeded(limit)
        self._lose(TRANSPORT_ERROR)
        self.close(code)

    def _lose(self, reason: str) -> None:
        receiver, self.receiver = self.receiver, None
        if receiver is not None:
            receiver.lost(reason)

    def eof_received(self) -> bool:
        """The client says no more: without a close frame the connection is lost."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone, in whatever way."""
        self._close_sent = True
        if isinstance(self.transport, SecuredTransport):
            self.transport.forget()
        self._registry.discard(self)
        self._host.has_left(self)
        self._drop_unsent()
        self._reader = None
        self._lose(TRANSPORT_CLOSE if error is None else TRANSPORT_ERROR)

    def pause_reading(self) -> None:
        """See `Transport.pause_reading`."""
        self._held = True
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """See `Transport.resume_reading`: what has come already is read first."""
        self._held = False
        reader = self._reader
        if reader is not None and reader.unread:
            if not reader.waiting:
                self._wait_for_turn(reader)
        elif not self.transport.is_closing():
            self.transport.resume_reading()
