"""`tradecast check`: what it prints, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from integration.check.checking import ANY_PORT
from kit.servers.process import tradecast
from kit.servers.redis_server import RedisServer
from kit.servers.troubles import PLANTED, in_trouble


@pytest.mark.redis
async def test_the_command(redis_server: RedisServer) -> None:
    await redis_server.ask("SET", "sess:1", "{}")
    done = await tradecast("check", REDIS_URL=redis_server.url, SESION_SECRETS=PLANTED, **ANY_PORT)
    assert done.code == 0, done.err
    assert "Is it SESSION_SECRETS?" in done.out
    assert "no errors, 1 warning" in done.out
    done = await tradecast("check", "--json", REDIS_URL=redis_server.url, **ANY_PORT)
    assert json.loads(done.out)["ok"] is True
    assert PLANTED not in done.out + done.err


async def test_the_command_where_something_is_wrong(tmp_path: Path) -> None:
    with in_trouble("closed_port", tmp_path) as trouble:
        done = await tradecast("check", **trouble.environ, **ANY_PORT)
    assert done.code == 1
    assert f"error    REDIS_URL: Redis at {trouble.at} refuses the connection" in done.out
    with in_trouble("silent", tmp_path) as trouble:
        slow = await tradecast("check", **{**trouble.environ, "REDIS_TIMEOUT": "4"}, **ANY_PORT)
    assert "checking REDIS_URL …" in slow.err
    assert slow.code == 1


@pytest.mark.parametrize("flags", [(), ("--json",)])
async def test_the_command_with_settings_that_are_invalid(flags: tuple[str, ...]) -> None:
    url = f"redis://:{PLANTED}@127.0.0.1/mydb"
    done = await tradecast("check", *flags, REDIS_URL=url, MAX_CONNECTIONS="0")
    assert done.code == 2
    assert "MAX_CONNECTIONS" in done.out + done.err
    done = await tradecast("check", *flags, REDIS_URL=url)
    assert done.code == 2
    assert "REDIS_URL: the path is the number of a database" in done.out + done.err
    assert PLANTED not in done.out + done.err
