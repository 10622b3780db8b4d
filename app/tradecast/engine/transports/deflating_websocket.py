"""The WebSocket transport of a client that has agreed to permessage-deflate."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from tradecast.engine.compression.deflate import Deflater
from tradecast.engine.compression.inflating_reader import InflatingFrameReader
from tradecast.engine.frames import FrameReader
from tradecast.engine.message import Message
from tradecast.engine.transports.base import Host
from tradecast.engine.transports.websocket import Registry, WebSocketTransport


class DeflatingWebSocketTransport(WebSocketTransport):
    """A WebSocket whose messages are compressed: a class of its own, so that others need not ask each time.

    Args:
        deflater: Compresses what is sent.
    """

    __slots__ = ("_deflater",)
    reader_class: ClassVar[type[FrameReader]] = InflatingFrameReader

    def __init__(self, host: Host, transport: asyncio.Transport, registry: Registry, deflater: Deflater) -> None:
        super().__init__(host, transport, registry)
        self._deflater = deflater

    def _encode(self, message: Message) -> bytes:
        return message.deflate(self._deflater)
