"""Clients that send far more packets than the limits let through, and those who only come back with a full buffer."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from kit.clients.raw import TEXT, Polling, WebSocket, client_frame
from kit.servers.in_process import MakeServer, RunningServer
from kit.servers.redis_server import RedisServer
from tradecast.gateway.bounds.packet_allowances import BURST

pytestmark = [pytest.mark.redis, pytest.mark.serial]

EVENTS = 1_000


@pytest.fixture(params=["memory", "redis"])
async def server(request: pytest.FixtureRequest, make_server: MakeServer) -> RunningServer:
    """A server that keeps its limits in either."""
    if request.param == "memory":
        return await make_server()
    redis: RedisServer = request.getfixturevalue("redis_server")
    return await make_server(redis_url=redis.url, transports=("polling", "websocket"))


def figure(server: RunningServer, name: str, **labels: str) -> float:
    found = server.app.metrics.registry.get_sample_value(f"tradecast_{name}", labels)
    assert found is not None
    return found


def scripts(redis: RedisServer) -> int:
    """How many scripts it has run."""
    stats: dict[str, Any] = redis.ask_now("INFO", "commandstats")
    return sum(int(stats[name]["calls"]) for name in ("cmdstat_eval", "cmdstat_evalsha") if name in stats)


@pytest.mark.usefixtures("patient_limits")
async def test_a_thousand_events_that_were_buffered_offline_pass(server: RunningServer) -> None:
    async with await WebSocket.connect(server.url) as client:
        await client.opened()
        await client.join(await server.session("u1"))
        await client.send(*[f'42{n}["subscribe:trades"]' for n in range(EVENTS)])
        answers = [await client.until(f"43{n}[") for n in range(EVENTS)]
        refused = [answer for answer in answers if "RATE_LIMITED" in answer]
        assert len(refused) == EVENTS - 100
        assert figure(server, "rate_limited_total", event="subscribe:trades") == len(refused)
        await client.send("41")
        await client.join(await server.session("u1"))
    assert figure(server, "limits_exceeded_total", limit="packets") == 0


@pytest.mark.usefixtures("patient_limits")
async def test_so_do_those_of_a_polling_client_in_one_request(server: RunningServer) -> None:
    client = await Polling.connect(server.url)
    await client.join(await server.session("u1"))
    assert (await client.post(*[f'42{n}["subscribe:trades"]' for n in range(EVENTS)])).status == 200
    answers: list[str] = []
    while len(answers) < EVENTS:
        answers += [packet for packet in await client.packets() if packet.startswith("43")]
    assert [int(answer[2 : answer.index("[")]) for answer in answers] == list(range(EVENTS))
    assert figure(server, "limits_exceeded_total", limit="packets") == 0


@pytest.mark.usefixtures("patient_limits")
async def test_a_flood_is_cut_off_and_asks_redis_for_no_more_than_the_limit(
    make_server: MakeServer, redis_server: RedisServer
) -> None:
    server = await make_server(redis_url=redis_server.url)
    async with await WebSocket.connect(server.url) as client, await WebSocket.connect(server.url) as healthy:
        for one, user in ((client, "u1"), (healthy, "u2")):
            await one.opened()
            await one.join(await server.session(user))
        before = scripts(redis_server)
        await client.write(client_frame(TEXT, '42["subscribe:trades"]') * 10 * BURST)
        answers, code = await client.until_closed()
        assert code == 1008
        assert BURST - 100 <= len(answers) < 2 * BURST
        # A hundred events that pass with all that they do, and a few for what goes on besides.
        assert scripts(redis_server) - before < 500
        await healthy.send('421["subscribe:trades"]')
        assert json.loads((await healthy.until("431["))[3:])[0]["success"]
    assert figure(server, "limits_exceeded_total", limit="packets") == 1
    assert figure(server, "disconnects_total", reason="server disconnect") == 1


async def test_recoveries_beyond_the_limit_are_accepted_and_start_new_sessions(make_server: MakeServer) -> None:
    server = await make_server()
    auth = await server.session("u1")
    pid, results = "", []
    for _ in range(63):
        async with await WebSocket.connect(server.url) as client:
            await client.opened()
            await client.send("40" + json.dumps({**auth, **({"pid": pid, "offset": "x.1"} if pid else {})}))
            joined = json.loads((await client.until("40{"))[2:])
            results.append(joined["pid"] == pid)
            pid = joined["pid"]
    assert results == [False] * 63
    assert figure(server, "recoveries_total", result="limited") == 2
    async with asyncio.timeout(20), await WebSocket.connect(server.url) as client:
        await client.opened()
        await client.join({**await server.session("u2"), "pid": pid})
    assert figure(server, "recoveries_total", result="limited") == 2
