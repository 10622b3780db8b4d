"""Floods of frames by strangers: they harm themselves, and nobody else waits or pays for them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

import httpx
import pytest

from support.serve import serving
from support.wire import CONTINUATION, PING, PONG, TEXT, WebSocket, client_frame

pytestmark = pytest.mark.serial

BYTES = 4_000_000
# A flood of this size held everybody up for 2.5 s before there were bounds.
LONGEST_WAIT = 1.0
MOST_MEMORY = 64 * 1024 * 1024
# What begins the flood, and what it goes on with.
FLOODS = {
    "pings": (b"", client_frame(PING)),
    "pings with a payload": (b"", client_frame(PING, b"x" * 125)),
    "pongs": (b"", client_frame(PONG)),
    "empty fragments": (client_frame(TEXT, b"4", fin=False), client_frame(CONTINUATION, fin=False)),
    "small fragments": (client_frame(TEXT, b"4", fin=False), client_frame(CONTINUATION, b"x", fin=False)),
    "pings within a message": (client_frame(TEXT, b"4", fin=False), client_frame(PING)),
    "answers to no heartbeat": (b"", client_frame(TEXT, "3")),
    "frames behind a broken one": (b"\x81\x01x", client_frame(PING)),
    "frames behind a malformed packet": (client_frame(TEXT, "x"), client_frame(TEXT, "3")),
    "frames behind a close": (client_frame(8, b"\x03\xe8"), client_frame(TEXT, "3")),
}


async def flood(url: str, begin: bytes, piece: bytes, size: int) -> None:
    """Send it all, or as much as is taken; read nothing."""
    with contextlib.suppress(OSError):
        async with await WebSocket.connect(url) as client, asyncio.timeout(20):
            client.writer.write(begin)
            for _ in range(max(1, size // 65_536)):
                client.writer.write(piece * (65_536 // len(piece)))
                await client.writer.drain()


class Healthy:
    """A client whose round trips go on.

    Attributes:
        longest: Seconds of the longest one.
        count: How many there were.
    """

    def __init__(self, client: WebSocket) -> None:
        self._client = client
        self.longest = 0.0
        self.count = 0

    async def go_on(self) -> None:
        """Until it is cancelled."""
        while True:
            begun = time.monotonic()
            await self._client.write(client_frame(PING, b"%d" % self.count))
            while (await self._client.frame()) != (PONG, b"%d" % self.count):
                pass
            self.longest = max(self.longest, time.monotonic() - begun)
            self.count += 1
            await asyncio.sleep(0.11)


def memory_of(pid: int) -> int:
    """Bytes that a process has in memory."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize("which", FLOODS)
async def test_a_flood_of_frames_holds_nobody_up(which: str) -> None:
    begin, piece = FLOODS[which]
    async with serving(AUTH_REQUIRED="false") as server:
        async with await WebSocket.connect(server.url) as client, httpx.AsyncClient() as http:
            await client.opened()
            await client.join()
            healthy = Healthy(client)
            going_on = asyncio.create_task(healthy.go_on())
            before = memory_of(server.process.pid)
            for connections in (1, 2, 100):
                count, healthy.longest = healthy.count, 0.0
                await asyncio.gather(
                    *(flood(server.url, begin, piece, BYTES // connections) for _ in range(connections))
                )
                assert (await http.get(f"{server.admin_url}/health/live", timeout=30)).status_code == 200
                while healthy.count < count + 3:
                    assert not going_on.done(), going_on.exception()
                    await asyncio.sleep(0.01)
                assert healthy.longest < LONGEST_WAIT, f"{connections} connections"
            assert memory_of(server.process.pid) - before < MOST_MEMORY
            going_on.cancel()
        assert not [line for line in server.err if '"level":"error"' in line], "no error at a stranger's will"
