"""One client's engine connection, with a straight way to its WebSocket transport."""

from __future__ import annotations

import asyncio
import binascii
from typing import Any

from engineio import exceptions, packet
from engineio.async_socket import AsyncSocket
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from tradecast.engine.message import Message
from tradecast.engine.wire import Malformed, check_packet, split_payload

# A closed WebSocket whose client neither reads nor answers is dropped after this many seconds.
GOODBYE = 5.0
# asyncio keeps weak references to tasks only
_goodbyes: set[asyncio.Task[None]] = set()


def _keep(task: asyncio.Task[None]) -> None:
    _goodbyes.add(task)
    task.add_done_callback(_goodbyes.discard)


class EngineSocket(AsyncSocket):
    """python-engineio's socket plus: `deliver` without task or queue, an upgrade time-out, bounds on what waits.

    And malformed packets end the transport quietly, where python-engineio drops a whole POST with 200, logs a
    traceback per frame, or leaves the connection behind.
    """

    def __init__(self, server: Any, sid: str) -> None:
        super().__init__(server, sid)
        # Only while the writer waits for an empty queue may a frame be written past it: then nothing can be overtaken.
        self._writer_idle = False
        self._queued_bytes = 0
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
        waiting = self.queue.qsize()
        if waiting >= self.server.send_queue_limit or (waiting and self._queued_bytes > self.server.send_buffer_limit):
            self.server.on_slow_client()
            self.abort()
            return
        self._queued_bytes += message.size
        for part in message.packets:
            self.queue.put_nowait(part)

    async def send(self, pkt: Any) -> None:
        if pkt.packet_type == packet.PING:
            self.server.on_ping(self.sid)
        await super().send(pkt)

    def schedule_ping(self) -> None:
        # Called for each answer to a heartbeat.
        if self.last_ping:
            self.server.on_pong(self.sid)
        super().schedule_ping()

    def abort(self) -> None:
        """Drop the transport at once. A stock client sees a transport error and comes back by itself."""
        while not self.queue.empty():
            self.queue.get_nowait()
        if self._protocol is not None:
            self._protocol.transport.abort()
        else:
            self.hang_up()

    def hang_up(self) -> None:
        """End the transport after what is queued. A stock client comes back by itself."""
        _keep(self.server.start_background_task(self.say_goodbye))

    async def say_goodbye(self) -> None:
        """End the transport; over WebSocket, return when all that was queued has been sent and it is closed."""
        await self.close()
        if self._handling is not None:
            await self._handling.wait()

    async def close(self, wait: bool = True, abort: bool = False, reason: Any = None) -> None:
        # Never waits for the queue: a client that does not read would keep its closer waiting. And never says CLOSE:
        # python-socketio's client takes it as final, while every client comes back when the transport just ends.
        if self.closed or self.closing:
            return
        await super().close(wait=False, abort=True, reason=reason)
        if not self.upgraded:
            # A poll that is under way is answered, as in Node; a later one is of an unknown session.
            self.queue.put_nowait(packet.Packet(packet.NOOP))
            self.server.sockets.pop(self.sid, None)
        else:
            self.queue.put_nowait(None)  # ends the writer, which closes the WebSocket
            asyncio.get_running_loop().call_later(GOODBYE, self._drop_if_stuck)

    def _drop_if_stuck(self) -> None:
        if self._protocol is not None and self._handling is not None and not self._handling.is_set():
            self._protocol.transport.abort()

    async def poll(self) -> list[Any]:
        # As python-engineio's, but taking a packet and being idle no more are one step: its `wait_for` takes the packet
        # a turn of the loop earlier than it returns it, and what is delivered between would overtake it.
        try:
            async with asyncio.timeout(self.server.ping_interval + self.server.ping_timeout):
                self._writer_idle = True
                first = await self.queue.get()
        except (TimeoutError, asyncio.CancelledError):
            raise exceptions.QueueEmpty from None
        finally:
            self._writer_idle = False
        if first is None:
            return []
        packets = [first]
        while not self.queue.empty():
            following = self.queue.get_nowait()
            if following is None:
                self.queue.put_nowait(None)
                break
            packets.append(following)
        self._queued_bytes = 0
        return packets

    async def handle_get_request(self, environ: Any) -> Any:
        # As python-engineio's, but a poll that is aborted ends the connection, as in Node: what is taken from the queue
        # for it would be lost without a word.
        if environ["asgi.scope"]["type"] != "http" or self.upgrading or self.upgraded:
            return await super().handle_get_request(environ)
        watching = asyncio.ensure_future(self._end_with_poll(environ["asgi.receive"]))
        try:
            return await super().handle_get_request(environ)
        finally:
            watching.cancel()

    async def _end_with_poll(self, receive: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        _keep(self.server.start_background_task(self.close, reason=self.server.reason.TRANSPORT_ERROR))

    async def handle_post_request(self, environ: Any) -> None:
        # As python-engineio's, but it takes more than 16 packets, and what is no payload ends the transport with 400.
        limit = self.server.max_http_buffer_size
        length = environ.get("CONTENT_LENGTH", "0")
        if not length.isdigit() or int(length) > limit:
            raise exceptions.ContentTooLongError
        body = await environ["wsgi.input"].read(limit + 1)
        if len(body) > limit:
            raise exceptions.ContentTooLongError
        try:
            packets = [packet.Packet(encoded_packet=part) for part in split_payload(body)]
        except (Malformed, binascii.Error):
            self.server.on_malformed()
            raise exceptions.UnknownPacketError from None
        for one in packets:
            if self.closed or self.closing:
                break  # by one of the packets before
            await self.receive(one)

    async def _websocket_handler(self, ws: Any) -> None:
        upgrading = self.connected
        self._handling = asyncio.Event()
        # The ASGI send callable of uvicorn is a method of the protocol that owns the transport. With any other
        # server or protocol class there is no straight way, and everything goes through the queue.
        protocol = getattr(ws.asgi_send, "__self__", None)
        transport = _Transport(self, ws, protocol if isinstance(protocol, WebSocketsSansIOProtocol) else None)
        deadline = None
        if upgrading:
            deadline = asyncio.get_running_loop().call_later(self.server.upgrade_timeout, self._give_up_upgrade, ws)
        try:
            await super()._websocket_handler(transport)
        finally:
            self._handling.set()
            if deadline is not None:
                deadline.cancel()
            if not self.upgraded:
                # Polling goes on: it would be answered with NOOPs for ever, and closed as a WebSocket.
                self.upgrading = False
                self._handling = None

    def _give_up_upgrade(self, ws: Any) -> None:
        if not self.upgraded:
            self.server.start_background_task(ws.close)


class _Transport:
    """The WebSocket as python-engineio's handler uses it: checks what comes, and opens the straight way."""

    def __init__(self, socket: EngineSocket, ws: Any, protocol: WebSocketsSansIOProtocol | None) -> None:
        self._socket = socket
        self._ws = ws
        self._protocol = protocol

    async def wait(self) -> Any:
        """The next frame; OSError, as at the end of the connection, for one that is no packet."""
        if self._socket.upgraded:  # so only once an upgrade is through
            self._socket._protocol = self._protocol
        frame = await self._ws.wait()
        if self._socket.closed and not self._socket.upgraded:
            raise OSError("closed while it was upgraded")
        if isinstance(frame, str):
            try:
                check_packet(frame)
            except Malformed as malformed:
                self._socket.server.on_malformed()
                raise OSError(str(malformed)) from None
        return frame

    async def send(self, message: Any) -> None:
        await self._ws.send(message)

    async def close(self) -> None:
        await self._ws.close()
