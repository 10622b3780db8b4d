"""`tradecast load` as a process."""

from __future__ import annotations

import asyncio
import json

import pytest

from kit.network.ports import free_port
from kit.servers.process import serving, start, tradecast
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually

pytestmark = [pytest.mark.redis, pytest.mark.timeout(180)]
SHORT = ("--clients", "2", "--duration", "1", "--publish", "redis", "--json")


async def test_it_waits_for_what_does_not_answer_yet(own_redis: RedisServer) -> None:
    port, tries, enough = free_port(), 0, asyncio.Event()

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tries
        tries += 1
        writer.close()
        if tries >= 3:
            enough.set()

    async def has_sessions() -> bool:
        return len(await own_redis.ask("KEYS", "sess:*")) == 2

    own_redis.kill_now()
    unready = await asyncio.start_server(hang_up, "127.0.0.1", own_redis.port)
    url = f"http://127.0.0.1:{port}"
    async with start("load", *SHORT, "--url", url, "--wait", "150", REDIS_URL=own_redis.url) as load:
        await enough.wait()
        unready.close()
        await unready.wait_closed()
        own_redis.start_now()
        await eventually(has_sessions, within=60)
        async with serving(PORT=str(port), REDIS_URL=own_redis.url):
            assert await load.ended() == 0, load.err
            assert json.loads(load.out[-1])["ok"]


async def test_when_the_time_has_passed_it_says_what_does_not_answer(redis_server: RedisServer) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = await tradecast("load", *SHORT, "--url", url, "--wait", "1", REDIS_URL=redis_server.url)
    report = json.loads(done.out)
    assert (done.code, report["connected"], report["errors"]) == (1, 0, {"connect: refused": 2})
    done = await tradecast("load", *SHORT, "--wait", "1", REDIS_URL=f"redis://127.0.0.1:{free_port()}")
    assert done.code == 1
    assert "the session store (redis) does not answer" in done.err
