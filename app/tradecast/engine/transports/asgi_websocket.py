"""The WebSocket transport over ASGI, under servers that do not hand over their connections: slower, but it works."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from tradecast.engine.connection import TRANSPORT_CLOSE, TRANSPORT_ERROR, Connection
from tradecast.engine.frames import GOING_AWAY, NORMAL, SERVICE_RESTART
from tradecast.engine.message import Message
from tradecast.engine.packets import Malformed
from tradecast.engine.transports.base import Host, Receiver, TransportName
from tradecast.engine.transports.websocket import GOODBYE

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]


class AsgiWebSocket:
    """A WebSocket over ASGI: a queue, and two tasks while it is open.

    Attributes:
        receiver: Who gets what comes.
    """

    __slots__ = ("_code", "_ended", "_host", "_readable", "_size", "_something", "_waiting", "receiver")
    name: Final[TransportName] = "websocket"

    def __init__(self, host: Host) -> None:
        self.receiver: Receiver | None = None
        self._host = host
        self._waiting: list[Message] = []
        self._size = 0
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
            waiting, self._waiting, self._size = self._waiting, [], 0
            for message in waiting:
                for packet in message.packets:
                    await send({"type": "websocket.send", "text" if isinstance(packet, str) else "bytes": packet})
            if self._code is not None and not self._waiting:
                if self._code:
                    await send({"type": "websocket.close", "code": self._code})
                return

    def send(self, message: Message) -> None:
        """See `Transport.send`."""
        if self._code is not None:
            return
        if self._host.limits.exceeded(len(self._waiting), self._size):
            self._host.observer.client_too_slow()
            self._lose(TRANSPORT_ERROR)
            self.abort()
            return
        self._waiting.append(message)
        self._size += message.size
        self._something.set()

    def take_unsent(self) -> list[Message]:
        """See `Transport.take_unsent`; nothing replaces a WebSocket."""
        return []

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
