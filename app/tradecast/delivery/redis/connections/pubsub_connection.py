"""A connection to Redis that is used for subscriptions only. Replies are parsed as soon as they arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any, Final, Protocol, cast

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import InvalidResponse, ResponseError

from tradecast.delivery.redis.connections.script_connection import Connector, open_connection
from tradecast.redis_client.redis_py_internals import stream_writer

# Replies that are handled in one turn of the loop; then others have theirs.
REPLIES_PER_TURN: Final = 64
_NOTHING: Final = object()


class ReplyHandler(Protocol):
    """Handles the replies of Redis to a subscription: `Subscription`."""

    def on_reply(self, reply: list[Any], /) -> None:
        """Handle a reply as Redis documents it for pub/sub: `[b"message", channel, data]` and others."""
        ...


class PubSubConnector:
    """Opens connections for subscriptions (`SubscriptionConnector`)."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector

    async def open(self) -> tuple[PubSubConnection, str]:
        """See `open_connection`."""
        connection, instance = await open_connection(self._connector)
        return PubSubConnection(connection), instance


class PubSubConnection:
    """A connection of redis-py, which has connected and authenticated; what it reads from now on is read here.

    redis-py wakes a task for each message, through a stream reader and four coroutines: a third of what a server with
    many rooms takes of the processor. Here the bytes go from the transport to hiredis, and each reply to its handler.

    Args:
        connection: Open, with no answer outstanding. It is used for nothing else, and closed with this one.
    """

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection

    @property
    def is_open(self) -> bool:
        """Whether the connection is open, as far as is known."""
        return bool(self._connection.is_connected)

    async def send(self, command: str, channels: Collection[bytes]) -> None:
        """Subscribe or unsubscribe.

        Raises:
            RedisError, OSError: The connection is lost.
        """
        await self._connection.send_packed_command(
            self._connection.pack_command(command, *channels), check_health=False
        )

    async def read(self, handler: ReplyHandler) -> None:
        """Pass every reply to the handler, in order, until the connection is lost. Call it once.

        Args:
            handler: Gets the replies. What it raises ends the reading, and is raised here.

        Raises:
            ConnectionError: The connection is lost.
            ResponseError: Redis answered with an error.
            InvalidResponse: What came is not the protocol of Redis.
        """
        writer = stream_writer(self._connection)
        if writer is None:
            raise ConnectionError("connection closed")
        if await self._connection.can_read():
            raise ConnectionError("something came that was not asked for")
        transport = cast(asyncio.Transport, writer.transport)  # both ways, as of every socket
        reader = _ReplyReader(transport, handler)
        transport.set_protocol(reader)
        try:
            await reader.ended
        finally:
            reader.stop()

    async def close(self) -> None:
        """Close it; reading ends with `ConnectionError`."""
        await self._connection.disconnect(nowait=True)


class _ReplyReader(asyncio.Protocol):
    """Takes the place of a stream's protocol, and passes on to it everything but data.

    Attributes:
        ended: Has the exception with which reading ended.
    """

    def __init__(self, transport: asyncio.Transport, handler: ReplyHandler) -> None:
        self._transport = transport
        # Writing still goes through the stream's writer, which waits for this protocol.
        stream = transport.get_protocol()
        if not isinstance(stream, asyncio.Protocol):
            raise TypeError("not the protocol of a stream")
        self._stream = stream
        self._handler = handler
        self._parser = hiredis.Reader(protocolError=InvalidResponse, replyError=ResponseError, notEnoughData=_NOTHING)
        self._loop = asyncio.get_running_loop()
        self._paused = False
        self.ended: asyncio.Future[None] = self._loop.create_future()

    def stop(self) -> None:
        """End the reading."""
        self.ended.cancel()

    def data_received(self, data: bytes) -> None:
        if not self.ended.done():
            self._parser.feed(data)
            if not self._paused:
                self._hand_over()

    def _hand_over(self) -> None:
        was_paused, self._paused = self._paused, False
        if self.ended.done():
            return
        gets, on_reply = self._parser.gets, self._handler.on_reply
        try:
            for _ in range(REPLIES_PER_TURN):
                reply = gets()
                if reply is _NOTHING:
                    if was_paused and not self._transport.is_closing():
                        self._transport.resume_reading()
                    return
                if isinstance(reply, Exception):
                    raise reply
                on_reply(reply)
        except Exception as error:
            self._end(error)
            return
        self._paused = True
        if not was_paused and not self._transport.is_closing():
            self._transport.pause_reading()
        self._loop.call_soon(self._hand_over)

    def eof_received(self) -> bool:
        return False  # so that the transport is closed

    def connection_lost(self, exc: Exception | None) -> None:
        self._stream.connection_lost(exc)
        self._end(ConnectionError("connection closed") if exc is None else exc)

    def pause_writing(self) -> None:
        self._stream.pause_writing()

    def resume_writing(self) -> None:
        self._stream.resume_writing()

    def _end(self, error: Exception) -> None:
        if not self.ended.done():
            self.ended.set_exception(error)
