"""An address in front of a Redis whose connections can be cut, refused, frozen, and made to lose an answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.engine.uvicorn.server import stop_accepting


class Passage:
    """One connection through it.

    Attributes:
        subscribes: Whether the client has sent SUBSCRIBE.
        frozen: What comes from Redis does not get through, and nothing else shows that.
        losing: Whether the next answer is lost, with the connection.
    """

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.client = client
        self.subscribes = False
        self.frozen = False
        self.losing = False

    def cut(self) -> None:
        self.client.transport.abort()


class RedisForwarder:
    """Forwards to one Redis at a time.

    Attributes:
        target: Where new connections go; None: they are refused.
        passages: The open connections.
        lose_answer_to: When a client sends this, Redis gets it, and the answer does not come back; once.
        lost: How many answers were lost.
    """

    def __init__(self, target: RedisServer | None) -> None:
        self.target = target
        self.passages: list[Passage] = []
        self.lose_answer_to: bytes | None = None
        self.lost = 0
        self.url = ""

    @property
    def subscription(self) -> Passage:
        """The connection that listens."""
        return next(one for one in self.passages if one.subscribes)

    def cut(self) -> None:
        """Cut every connection."""
        for passage in self.passages:
            passage.cut()

    def lead_to(self, target: RedisServer | None) -> None:
        """Lead to another Redis from now on, or nowhere; what there is is cut."""
        self.target = target
        self.cut()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passage = Passage(writer)
        if self.target is None:
            passage.cut()
            return
        self.passages.append(passage)
        there: asyncio.StreamWriter | None = None
        with contextlib.suppress(OSError):
            back, there = await asyncio.open_connection("127.0.0.1", self.target.port)
            ways = [
                asyncio.create_task(self._to_redis(passage, reader, there)),
                asyncio.create_task(self._to_client(passage, back, writer)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        for end in (writer, there):
            if end is not None:
                end.close()
        self.passages.remove(passage)

    async def _to_redis(self, passage: Passage, reader: asyncio.StreamReader, there: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                passage.subscribes |= b"SUBSCRIBE" in data
                if self.lose_answer_to is not None and self.lose_answer_to in data:
                    self.lose_answer_to = None
                    passage.losing = True
                there.write(data)
                await there.drain()

    async def _to_client(self, passage: Passage, back: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await back.read(65_536):
                if passage.losing:
                    self.lost += 1
                    passage.cut()
                    return
                if not passage.frozen:
                    client.write(data)
                    await client.drain()


@contextlib.asynccontextmanager
async def redis_forwarding(target: RedisServer | None) -> AsyncIterator[RedisForwarder]:
    """A forwarder on a loopback port of the system's choice."""
    forwarder = RedisForwarder(target)
    server = await asyncio.start_server(forwarder.serve, "127.0.0.1", 0)
    forwarder.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    try:
        yield forwarder
    finally:
        await stop_accepting(server)
        server.close()
        forwarder.cut()
        await server.wait_closed()
        await eventually(lambda: not forwarder.passages)
