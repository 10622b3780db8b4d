"""A thousand clients of `tradecast load` notice nothing of floods."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys

import httpx
import pytest

from kit.clients.floods import (
    BYTES,
    CONNECTIONS,
    FRAMES,
    PACKETS,
    REQUESTS,
    errors_of,
    flood_frames,
    flood_requests,
    refused,
)
from kit.processes.usage import read_memory
from kit.servers.process import ServeProcess, serving, start
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually

CLIENTS = 1_000
SECONDS = 15
MOST_MEMORY = 128 * 1024 * 1024


async def connections(server: ServeProcess) -> int:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        text = (await http.get(f"{server.admin_url}/metrics")).text
    return sum(int(float(line.split()[-1])) for line in text.splitlines() if line.startswith("tradecast_connections "))


async def attack(server: ServeProcess) -> int:
    """All kinds of floods in turn, from one, two and a hundred connections; how many there were."""
    end = asyncio.get_running_loop().time() + SECONDS
    floods = itertools.cycle(
        [
            *((flood, "frames") for flood in FRAMES.values()),
            *((flood, "packets") for flood in PACKETS.values()),
            *((flood, "requests") for flood in REQUESTS.values()),
        ]
    )
    for number, ((flood, kind), count) in enumerate(zip(floods, itertools.cycle(CONNECTIONS), strict=False)):
        if asyncio.get_running_loop().time() > end:
            return number
        url, size = (server.admin_url if number % 2 else server.url), BYTES // count
        await asyncio.gather(
            *(
                flood_requests(url, flood, size)
                if kind == "requests"
                else flood_frames(server.url, flood, size, join=kind == "packets")
                for _ in range(count)
            )
        )
    raise AssertionError("they go on for ever")


@pytest.mark.redis
@pytest.mark.serial
@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
async def test_a_thousand_clients_lose_nothing_while_there_are_floods(redis_server: RedisServer) -> None:
    options = {
        "--clients": CLIENTS,
        "--connect-rate": 400,
        "--duration": SECONDS + 5,
        "--rate": 20,
        "--publish": "redis",
    }
    async with serving(REDIS_URL=redis_server.url, AUTH_REQUIRED="false") as server:
        words = [str(word) for option in options.items() for word in option]
        async with start("load", "--json", "--url", server.url, *words, REDIS_URL=redis_server.url) as load:

            async def are_connected() -> bool:
                return await connections(server) >= CLIENTS

            await eventually(are_connected, within=60)
            before = read_memory(server.process.pid)
            assert await attack(server) > len(FRAMES)
            assert load.process.returncode is None, "the floods were over before"
            grown = read_memory(server.process.pid) - before
            code = await load.ended()
            assert load.out, load.err
            report = json.loads(load.out[-1])
        assert (code, report["ok"]) == (0, True), report
        assert (report["connected"], report["refused"], report["disconnects"]) == (CLIENTS, {}, {})
        assert report["deliveries"] == report["expected"] > 20 * SECONDS * CLIENTS // 10
        assert grown < MOST_MEMORY, f"{grown / 1e6:.1f} MB"
        assert await refused(server), "the floods were none"
        assert errors_of(server) == []
