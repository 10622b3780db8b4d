"""A node of a Redis Cluster that says what a test wants it to say."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from tradecast.engine.uvicorn.server import stop_accepting

HANG, CLOSE = b"hang", b"close"


class ScriptedRedis:
    """Speaks RESP2 on a loopback port, and owns all slots.

    Attributes:
        to_scripts: What scripts are answered, as it goes over the wire, or `HANG`, or `CLOSE`.
        to_slots: The same for CLUSTER SLOTS; None: that it has them all.
        to_info: The same for INFO; None: something that makes sense.
        asked: How many scripts were asked for.
    """

    def __init__(self) -> None:
        self.to_scripts: bytes = b"-LOADING Redis is loading the dataset in memory\r\n"
        self.to_slots: bytes | None = None
        self.to_info: bytes | None = None
        self.asked = 0
        self.port = 0
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"redis+cluster://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Cut every connection."""
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                while True:
                    answer = self._answer(await _read(reader))
                    if answer == HANG:
                        await reader.read()
                    if answer in (HANG, CLOSE):
                        return
                    writer.write(answer)
                    await writer.drain()
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    def _answer(self, words: list[bytes]) -> bytes:
        name = words[0].upper()
        if name in (b"EVALSHA", b"EVAL"):
            self.asked += 1
            return self.to_scripts
        if name == b"CLUSTER":
            host = b"$9\r\n127.0.0.1\r\n"
            own = b"*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n%b:%d\r\n$4\r\nself\r\n" % (host, self.port)
            return own if self.to_slots is None else self.to_slots
        if name == b"INFO":
            text = b"redis_version:7.0.0\r\nrun_id:0123456789abcdef\r\ncluster_enabled:1\r\n"
            return b"$%d\r\n%b\r\n" % (len(text), text) if self.to_info is None else self.to_info
        if name == b"COMMAND":
            return b"*0\r\n"
        if name == b"SSUBSCRIBE":
            one = b"*3\r\n$10\r\nssubscribe\r\n$%d\r\n%b\r\n:1\r\n"
            return b"".join(one % (len(channel), channel) for channel in words[1:])
        return b"+PONG\r\n" if name == b"PING" else b"+OK\r\n"


async def _read(reader: asyncio.StreamReader) -> list[bytes]:
    count = int((await reader.readuntil(b"\r\n"))[1:])
    words = []
    for _ in range(count):
        size = int((await reader.readuntil(b"\r\n"))[1:])
        words.append((await reader.readexactly(size + 2))[:-2])
    return words


@contextlib.asynccontextmanager
async def scripted_redis(prepare: Callable[[ScriptedRedis], None] = lambda redis: None) -> AsyncIterator[ScriptedRedis]:
    """One that is served."""
    redis = ScriptedRedis()
    prepare(redis)
    server = await asyncio.start_server(redis.serve, "127.0.0.1", 0)
    redis.port = server.sockets[0].getsockname()[1]
    try:
        yield redis
    finally:
        await stop_accepting(server)
        server.close()
        redis.cut()
        await server.wait_closed()
