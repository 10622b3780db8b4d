"""The clients of bench/fleet: plain WebSockets that hold rooms and read, the same for every system measured."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson
import uvloop
from websockets.asyncio.client import ClientConnection, connect

from fleet.lines import obey
from tradecast.background.tasks import TaskSet
from tradecast.load.packets import PONG, encode_connect, encode_event, socket_url

AT_ONCE = 20


class Crowd:
    """All clients.

    Attributes:
        numbers: The numbers of the events that came since the last report.
        delays: Nanoseconds from publishing to here, of each of them.
    """

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.delays: list[int] = []
        self._tasks = TaskSet()
        self._few = asyncio.Semaphore(AT_ONCE)

    async def connect(self, ports: list[int], clients: int, rooms: int) -> dict[str, Any]:
        """Client i goes to server i modulo their number, and holds the rooms that are i modulo the clients."""
        await asyncio.gather(
            *(
                self._start(ports[index % len(ports)], [f"room:{room}" for room in range(index, rooms, clients)])
                for index in range(clients)
            )
        )
        return {"connected": clients}

    async def report(self) -> dict[str, Any]:
        """What has come since the last report."""
        numbers, self.numbers = self.numbers, []
        delays, self.delays = self.delays, []
        return {"numbers": numbers, "delays": delays}

    async def _start(self, port: int, rooms: list[str]) -> None:
        async with self._few:
            joined: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            task = self._tasks.spawn(self._client(port, rooms, joined))
            await asyncio.wait([joined, task], return_when=asyncio.FIRST_COMPLETED)
            if not joined.done():
                await task
                raise ConnectionError("a client's connection has ended")

    async def _client(self, port: int, rooms: list[str], joined: asyncio.Future[None]) -> None:
        url = socket_url(f"http://127.0.0.1:{port}")
        async with connect(url, compression=None, proxy=None, ping_interval=None, max_queue=(256, 64)) as socket:
            await socket.recv()
            await socket.send(encode_connect({}))
            async for frame in socket:
                await self._take(socket, str(frame), rooms, joined)

    async def _take(self, socket: ClientConnection, frame: str, rooms: list[str], joined: asyncio.Future[None]) -> None:
        if frame.startswith("42"):
            payload = orjson.loads(frame[2:])[1]
            self.delays.append(time.monotonic_ns() - payload["at"])
            self.numbers.append(payload["n"])
        elif frame == "2":
            await socket.send(PONG)
        elif frame.startswith("40"):
            await socket.send(encode_event("join", rooms, ack_id=1))
        elif frame.startswith("431"):
            joined.set_result(None)


async def main() -> None:
    """Do what is asked for."""
    crowd = Crowd()
    await obey(connect=crowd.connect, report=crowd.report)


if __name__ == "__main__":
    uvloop.run(main())
