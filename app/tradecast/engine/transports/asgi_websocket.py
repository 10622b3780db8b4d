"""The WebSocket transport over ASGI, under servers that do not hand over their connections: slower, but it works."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, MutableMapping, Sequence
from typing import Any, Final

from tradecast.engine.connection import TRANSPORT_CLOSE, TRANSPORT_ERROR, Connection
from tradecast.engine.frames import GOING_AWAY, NORMAL, SERVICE_RESTART
from tradecast.engine.message import Message
from tradecast.engine.packets import Malformed
from tradecast.engine.transports.backlog import SlowReason
from tradecast.engine.transports.base import Host, Receiver, TransportName
from tradecast.engine.transports.outbox import Outbox
from tradecast.engine.transports.websocket import GOODBYE

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]


class AsgiWebSocket:
    """A WebSocket over ASGI: a queue, and two tasks while it is open.

    Attributes:
        outbox: What waits while the HTTP server takes no more; None: nothing.
        receiver: Who gets what comes.
    """

    __slots__ = (
        *("_code", "_ended", "_host", "_readable", "_sending", "_size", "_something", "_waiting"),
        *("outbox", "receiver"),
    )
    name: Final[TransportName] = "websocket"

    def __init__(self, host: Host) -> None:
        self.receiver: Receiver | None = None
        self._host = host
        self._waiting: list[Message] = []
        self._size = 0
        # Whether the HTTP server has not taken the last packet yet.
        self._sending = False
        self.outbox: Outbox | None = None
        self._something = asyncio.Event()
        self._readable = asyncio.Event()
        self._readable.set()
        # What the close frame will say, once it is to be sent; 0 for an abort.
        self._code: int | None = None
        self._ended = asyncio.Event()

    async def run(self, receive: Receive, send: Send) -> None:
        """Serve it until either side ends it."""
        reading, writing = asyncio.ensure_future(self._read(receive)), asyncio.ensure_future(self._write(send))
        ended = asyncio.ensure_future(self._ended.wait())
        tasks = [reading, writing, ended]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done() and self._code:
                # What waits is sent, then the client may answer; one that takes nothing is dropped.
                await asyncio.wait([reading, writing], timeout=GOODBYE)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._host.backlog.remove(self)
            self._lose(TRANSPORT_CLOSE)

    async def _read(self, receive: Receive) -> None:
        while True:
            await self._readable.wait()
            event = await receive()
            if event["type"] == "websocket.disconnect":
                if event.get("code") == GOING_AWAY and isinstance(self.receiver, Connection):
                    self._host.observer.page_left(self.receiver.sid)
                self._lose(TRANSPORT_CLOSE)
                return
            text = event.get("text")
            packet = text if text is not None else event["bytes"]
            if self._code is not None or self.receiver is None:
                continue
            try:
                if len(packet) > self.receiver.message_limit:
                    raise Malformed("a message that is too large")
                self.receiver.receive(packet)
            except Malformed:
                self._host.observer.packet_malformed()
                self._lose(TRANSPORT_ERROR)
                self.close(NORMAL)

    async def _write(self, send: Send) -> None:
        while True:
            await self._something.wait()
            self._something.clear()
            while messages := self._take_next():
                for message in messages:
                    for packet in message.packets:
                        self._sending = True
                        await send({"type": "websocket.send", "text" if isinstance(packet, str) else "bytes": packet})
                        self._sending = False
            if self._code is not None:
                if self._code:
                    await send({"type": "websocket.close", "code": self._code})
                return

    def _take_next(self) -> list[Message]:
        """What is to be sent next: what came while the HTTP server took all, then what has waited since, one by one."""
        if self._waiting:
            waiting, self._waiting, self._size = self._waiting, [], 0
            return waiting
        messages = [] if self.outbox is None else self.outbox.take(0)
        if not messages:
            self.outbox = None
            self._host.backlog.drained(self, self._sid)
        return messages

    @property
    def is_backed_up(self) -> bool:
        """See `Transport.is_backed_up`."""
        return self._sending

    def send(self, message: Message) -> None:
        """See `Transport.send`."""
        if self._code is not None:
            return
        host = self._host
        if host.limits.exceeded_by(message, self.outbox, len(self._waiting), self._size):
            self.cut_off("queue_full")
            return
        if self._sending:
            host.backlog.queue(self, message)
            return
        self._waiting.append(message)
        self._size += message.size
        self._something.set()

    def send_in_window(self, message: Message) -> None:
        """See `Transport.send_in_window`: at once, since the HTTP server writes each packet for itself."""
        self.send(message)

    def discard(self, left: Collection[str], still_in: Collection[str]) -> None:
        """See `Transport.discard`."""
        if self.outbox is not None:
            self.outbox.discard(left, still_in)

    def take_unsent(self) -> list[Message]:
        """See `Transport.take_unsent`; nothing replaces a WebSocket."""
        return []

    def take_over(self, unsent: Sequence[Message]) -> None:
        """See `Upgradable.take_over`."""
        for message in unsent:
            self.send(message)

    @property
    def _sid(self) -> str:
        return self.receiver.sid if isinstance(self.receiver, Connection) else ""

    def cut_off(self, reason: SlowReason) -> None:
        """See `BackedUp.cut_off`."""
        self._host.observer.client_too_slow(self._sid, reason)
        self._lose(TRANSPORT_ERROR)
        self.abort()

    def close(self, code: int | None = NORMAL) -> None:
        """See `Transport.close`. ASGI cannot end a WebSocket without a close frame that says something."""
        if self._code is None:
            self._code = SERVICE_RESTART if code is None else code
            self._something.set()
            self._ended.set()

    def abort(self) -> None:
        """See `Transport.abort`."""
        self._code = 0
        self._waiting = []
        self.outbox = None
        self._host.backlog.remove(self)
        self._something.set()
        self._ended.set()

    def pause_reading(self) -> None:
        """See `Transport.pause_reading`."""
        self._readable.clear()

    def resume_reading(self) -> None:
        """See `Transport.resume_reading`."""
        self._readable.set()

    def _lose(self, reason: str) -> None:
        receiver, self.receiver = self.receiver, None
        if receiver is not None:
            receiver.lost(reason)
