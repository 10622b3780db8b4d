"""Strangers that hold connections, or send heads and trailers without an end, to a server of its own process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import resource
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
import pytest

from support.serve import ServeProcess, serving
from support.wire import Wire, head_of

pytestmark = pytest.mark.serial
MB = 1_000_000
# `tradecast` with so many files.
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv.pop(1)), int(sys.argv.pop(1))))
from tradecast.cli import main
main()
"""


def limited(soft: int, hard: int) -> Sequence[str]:
    """A program for `serving`."""
    return ("-c", LIMITED, str(soft), str(hard))


def memory_of(process: ServeProcess) -> int:
    """Bytes in RAM."""
    status = Path(f"/proc/{process.process.pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


@contextlib.asynccontextmanager
async def held(url: str, count: int, data: str = "") -> AsyncIterator[list[Wire]]:
    """So many connections that have sent this."""
    wires = [await Wire.open(url) for _ in range(count)]
    for wire in wires:
        await wire.write(data)
    try:
        yield wires
    finally:
        for wire in wires:
            wire.writer.transport.abort()


async def is_ready(url: str) -> bool:
    async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
        return (await http.get(f"{url}/health/ready")).status_code == 200


def errors_of(process: ServeProcess) -> list[str]:
    return [line for line in process.err if '"error"' in line or "Traceback" in line]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
async def test_the_admin_port_answers_while_the_public_one_has_no_room() -> None:
    async with serving(program=limited(256, 256), AUTH_REQUIRED="false") as server:
        warning = await server.log(
            "too few files may be open (RLIMIT_NOFILE) for MAX_CONNECTIONS: fewer TCP connections are taken"
        )
        assert (warning["level"], warning["limit"], warning["needed"]) == ("warning", 256, 10_000)
        async with held(server.url, 300), held(server.url, 100, "GET / HTT"):
            for _ in range(5):
                assert await is_ready(server.admin_url)
        async with held(server.url, 300):
            assert await is_ready(server.admin_url)
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if await is_ready(server.url):
                        break
                await asyncio.sleep(0.1)
        assert errors_of(server) == []
        assert sum("tcp_connections" in line for line in server.err) == 1, "one line a minute"


async def test_silent_strangers_on_the_admin_port_make_room_for_probes() -> None:
    async with serving(AUTH_REQUIRED="false") as server, held(server.admin_url, 200):
        await asyncio.sleep(1.2)
        for _ in range(5):
            assert await is_ready(server.admin_url)


async def test_the_soft_limit_is_raised() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with serving(program=limited(128, min(hard, 4_096)), MAX_CONNECTIONS="500", AUTH_REQUIRED="false") as server:
        async with held(server.url, 400):
            assert await is_ready(server.url)
        assert not [line for line in server.err if "RLIMIT_NOFILE" in line]


ENDLESS = {
    "header lines": (head_of("GET", "/")[:-2], "x-y: z\r\n" * 8_000),
    "a header": (head_of("GET", "/")[:-2] + "x: ", "y" * 64_000),
    "a query": ("GET /?", "y" * 64_000),
    "trailers": (head_of("POST", "/api/emit", "Transfer-Encoding: chunked") + "1\r\nx\r\n0\r\n", "x-y: z\r\n" * 8_000),
    "a trailer": (head_of("POST", "/api/emit", "Transfer-Encoding: chunked") + "1\r\nx\r\n0\r\nx: ", "y" * 64_000),
    "a chunk extension": (head_of("POST", "/api/emit", "Transfer-Encoding: chunked") + "1;x=", "y" * 64_000),
    "requests": ("", head_of("GET", "/health") * 1_000),
}


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
@pytest.mark.parametrize("port", ["public", "admin"])
async def test_memory_is_bounded_and_nobody_waits(port: str) -> None:
    async with serving(AUTH_REQUIRED="false") as server:
        url = server.url if port == "public" else server.admin_url
        assert await is_ready(url)
        before = memory_of(server)
        for name, (start, endless) in ENDLESS.items():
            data = endless.encode()

            async def send(start: str = start, data: bytes = data) -> None:
                async with await Wire.open(url) as wire:
                    reading = asyncio.ensure_future(wire.read_to_end())
                    with contextlib.suppress(ConnectionError):
                        await wire.write(start)
                        for _ in range(60 * MB // len(data)):
                            wire.writer.write(data)
                            await wire.writer.drain()
                    wire.writer.transport.abort()
                    await reading

            sending = asyncio.ensure_future(send())
            slowest = 0.0
            while not sending.done():
                started = asyncio.get_running_loop().time()
                assert await is_ready(server.admin_url)
                slowest = max(slowest, asyncio.get_running_loop().time() - started)
            await sending
            assert slowest < 2, name
            assert memory_of(server) - before < 50 * MB, name
        async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
            text = (await http.get(f"{server.admin_url}/metrics")).text
        counted = dict(re.findall(r'tradecast_http_refused_total\{reason="(\w+)"\} (\S+)', text))
        assert "0.0" not in {counted[reason] for reason in ("head_bytes", "query", "chunks", "pipelined")}
        assert errors_of(server) == []
        assert json.loads(server.err[0])
