"""One client's engine connection, with a straight way to its WebSocket transport."""

from __future__ import annotations

import asyncio
from typing import Any

from engineio import exceptions, packet
from engineio.async_socket import AsyncSocket
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from tradecast.engine.message import Message

# asyncio keeps weak references to tasks only
_goodbyes: set[asyncio.Task[None]] = set()


class EngineSocket(AsyncSocket):
    """python-engineio's socket plus: `deliver` without task or queue, an upgrade time-out, a bounded queue."""

    def __init__(self, server: Any, sid: str) -> None:
        super().__init__(server, sid)
        # Only while the writer waits for an empty queue may a frame be written past it: then nothing can be overtaken.
        self._writer_idle = False
        self._protocol: WebSocketsSansIOProtocol | None = None
        # While there is a WebSocket: set when it has been let go.
        self._handling: asyncio.Event | None = None

    def deliver(self, message: Message) -> None:
        """Send to this client now if its transport takes it, else queue it. Never waits, never raises.

        A client whose queue is full does not read; it is cut off rather than kept at the cost of everybody's memory.
        """
        if self.closed or self.closing:
            return
        protocol = self._protocol
        if (
            protocol is not None
            and self._writer_idle
            and self.queue.empty()
            and protocol.writable.is_set()
            and not protocol.close_sent
            and not protocol.transport.is_closing()
        ):
            protocol.transport.write(message.frames)
            return
        if self.queue.qsize() >= self.server.send_queue_limit:
            self.server.on_slow_client()
            self.abort()
            return
        for part in message.packets:
            self.queue.put_nowait(part)

    def abort(self) -> None:
        """Drop the transport at once. A stock client sees a transport error and comes back by itself."""
        while not self.queue.empty():
            self.queue.get_nowait()
            self.queue.task_done()
        if self._protocol is not None:
            self._protocol.transport.abort()
        else:
            self.hang_up()

    def hang_up(self) -> None:
        """End the transport after what is queued. A stock client comes back by itself."""
        task = self.server.start_background_task(self.say_goodbye)
        _goodbyes.add(task)
        task.add_done_callback(_goodbyes.discard)

    async def say_goodbye(self) -> None:
        """End the transport; over WebSocket, return when all that was queued has been sent and it is closed."""
        await self.close(wait=False)
        self.queue.put_nowait(None)  # ends the writer, which closes the WebSocket
        if self._handling is not None:
            await self._handling.wait()

    async def close(self, wait: bool = True, abort: bool = False, reason: Any = None) -> None:
        # Never waits for the queue: a client that does not read would keep its closer waiting.
        await super().close(wait=False, abort=abort, reason=reason)
        if abort and not self.upgraded:
            self.queue.put_nowait(packet.Packet(packet.NOOP))  # answers the poll that is under way, as Node does

    async def poll(self) -> Any:
        self._writer_idle = True
        try:
            return await super().poll()
        finally:
            self._writer_idle = False

    async def _websocket_handler(self, ws: Any) -> None:
        # The ASGI send callable of uvicorn is a method of the protocol that owns the transport. With any other
        # server or protocol class there is no straight way, and everything goes through the queue.
        protocol = getattr(ws.asgi_send, "__self__", None)
        upgrading = self.connected
        handling = self._handling = asyncio.Event()
        deadline = None
        if upgrading:
            deadline = asyncio.get_running_loop().call_later(self.server.upgrade_timeout, self._give_up_upgrade, ws)
        elif isinstance(protocol, WebSocketsSansIOProtocol):
            self._protocol = protocol
        try:
            await super()._websocket_handler(_UpgradeWatch(self, ws, protocol) if upgrading else ws)
        except (ValueError, exceptions.EngineIOError):
            # A probe that is no packet: the upgrade failed, the polling transport stays.
            await ws.close()
        finally:
            handling.set()
            if deadline is not None:
                deadline.cancel()
            if not self.upgraded:
                self.upgrading = False  # or the polling transport would be answered with NOOPs for ever

    def _give_up_upgrade(self, ws: Any) -> None:
        if not self.upgraded:
            self.server.start_background_task(ws.close)


class _UpgradeWatch:
    """The WebSocket of an upgrade: opens the straight way only once the upgrade is through."""

    def __init__(self, socket: EngineSocket, ws: Any, protocol: Any) -> None:
        self._socket = socket
        self._ws = ws
        self._protocol = protocol

    async def wait(self) -> Any:
        if (
            self._socket.upgraded
            and self._socket._protocol is None
            and isinstance(self._protocol, WebSocketsSansIOProtocol)
        ):
            self._socket._protocol = self._protocol
        return await self._ws.wait()

    async def send(self, message: Any) -> None:
        await self._ws.send(message)

    async def close(self) -> None:
        await self._ws.close()
