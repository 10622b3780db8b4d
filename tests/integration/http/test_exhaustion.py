"""Strangers that hold connections to a server of its own process."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sys
from collections.abc import AsyncIterator, Sequence

import httpx
import pytest

from kit.clients.floods import errors_of
from kit.clients.raw import Wire
from kit.servers.process import serving

pytestmark = pytest.mark.serial
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


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
async def test_the_admin_port_answers_while_the_public_one_has_no_room() -> None:
    async with serving(program=limited(256, 256), AUTH_REQUIRED="false") as server:
        warning = await server.log("RLIMIT_NOFILE is too low for MAX_CONNECTIONS: fewer TCP connections are accepted")
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
