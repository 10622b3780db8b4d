"""A server of the next version beside one of this, on one Redis: nothing is lost of what both understand."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from kit.clients.node import StockClient, StockClients
from kit.contracts.broker import event, listen, session
from kit.delivery.redis_brokers import Brokers, RecordingObserver, partitions_of
from kit.network.forwarder import Forwarder
from kit.programs import next_version
from kit.servers.in_process import API_TOKEN, MakeServer, RunningServer
from kit.servers.process import ServeProcess, serving
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.config.settings import load_settings
from tradecast.delivery.metrics import SKIP_REASONS
from tradecast.delivery.redis.broker import RedisBroker
from tradecast.publishing.publisher import Publisher

pytestmark = pytest.mark.redis

BEARER = {"authorization": f"Bearer {API_TOKEN}"}
PROGRAM = ("-P", str(Path(next_version.__file__)))
EACH_STOP = 15
AGAIN = {"reconnectionDelay": 100, "reconnectionDelayMax": 1_000}


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture
async def this_one(make_server: MakeServer, redis_server: RedisServer) -> RunningServer:
    server = await make_server(redis_url=redis_server.url)
    assert isinstance(server.app.components.hub.broker, RedisBroker)
    await server.app.components.hub.broker.wait_until_subscribed()
    return server


@pytest.fixture
async def next_one(redis_server: RedisServer, http: httpx.AsyncClient) -> AsyncIterator[ServeProcess]:
    variables = {"REDIS_URL": redis_server.url, "API_TOKEN": API_TOKEN, "SHUTDOWN_TIMEOUT": "3"}
    async with serving(program=PROGRAM, **variables) as server:
        await server.log("subscribed to the other servers")
        yield server


def skipped_here(server: RunningServer) -> dict[str, float]:
    get = server.app.metrics.registry.get_sample_value
    return {why: get("tradecast_messages_skipped_total", {"why": why}) or 0 for why in SKIP_REASONS}


async def skipped_there(http: httpx.AsyncClient, server: ServeProcess) -> dict[str, float]:
    text = (await http.get(f"{server.admin_url}/metrics")).text
    found = re.findall(r'^tradecast_messages_skipped_total\{why="(.+?)"\} (\S+)$', text, re.MULTILINE)
    return {why: float(count) for why, count in found}


def numbers(client: StockClient, name: str, key: str) -> list[Any]:
    return [args[0][key]["n"] for args in client.events(name)]


@pytest.mark.node
async def test_servers_of_two_versions_are_one(
    this_one: RunningServer,
    next_one: ServeProcess,
    redis_server: RedisServer,
    stock_clients: StockClients,
    http: httpx.AsyncClient,
) -> None:
    auth = await this_one.session("u1")
    publisher = Publisher(load_settings({"REDIS_URL": redis_server.url}))
    sent = 0

    async def emit(count: int) -> None:
        """Events and trades, in turn by a server of this version, one of the next, and a publisher of this one."""
        nonlocal sent
        for n in range(sent, sent + count):
            notice, trade = {"n": n}, {"n": n}
            if n % 3 == 0:
                await this_one.app.emit_notification("u1", notice)
                await this_one.app.emit_trade_executed("u1", trade)
            elif n % 3 == 1:
                for body in (
                    {"event": "notification", "userId": "u1", "notification": notice},
                    {"event": "trade:executed", "userId": "u1", "trade": trade},
                ):
                    answer = await http.post(f"{next_one.url}/api/emit", json=body, headers=BEARER)
                    assert answer.status_code == 202, answer.text
            else:
                await publisher.emit_notification("u1", notice)
                await publisher.emit_trade_executed("u1", trade)
        sent += count

    async with publisher, Forwarder(this_one.url) as forwarder:
        staying = [
            await stock_clients.connect(url, auth, transports=["websocket"]) for url in (this_one.url, next_one.url)
        ]
        moving = await stock_clients.connect(forwarder.url, auth, transports=["websocket"], **AGAIN)
        clients = [*staying, moving]
        for client in clients:
            (answer,) = await client.call("subscribe:trades")
            assert answer["success"]
        sid = moving.sid
        await emit(EACH_STOP)
        for stop in (next_one.url, this_one.url, next_one.url, this_one.url):
            forwarder.urls = []
            forwarder.cut()
            await moving.wait_disconnect()
            await emit(EACH_STOP)  # which it misses
            forwarder.urls = [stop]
            await moving.wait_connect(timeout=60)
            assert moving.recovered
            assert moving.sid == sid
            await emit(EACH_STOP)
        # a room that the next version's server put it in, it is in here as well
        for client in clients:
            await client.wait_for("notification", lambda args: args[0]["notification"]["n"] == sent - 1)
            await client.wait_for("trade:executed", lambda args: args[0]["trade"]["n"] == sent - 1)
    for client in clients:
        assert numbers(client, "notification", "notification") == list(range(sent))
        assert numbers(client, "trade:executed", "trade") == list(range(sent))
    here, there = skipped_here(this_one), await skipped_there(http, next_one)
    assert here.pop("other version") >= sent / 3  # the messages of version 2
    assert there.pop("other version") >= sent / 3
    assert set(here.values()) | set(there.values()) == {0}
    assert next_one.process.returncode is None


async def test_what_comes_of_the_next_version_is_counted_or_ignored(redis_server: RedisServer) -> None:
    async with Brokers(redis_server.url) as brokers:
        seen = RecordingObserver()
        broker, heard = await brokers.add(watch=seen)
        other, _ = await brokers.add()
        await listen(broker, "x")
        (partition,), (elsewhere,) = partitions_of(broker), partitions_of(other)
        claimed = session()
        await broker.save(claimed)
        await elsewhere.send_hint(broker.server_id, "rebalance 7 of 9")
        await elsewhere.send_hint(broker.server_id, f"claimed {claimed.pid} 5 because it came there")
        await eventually(lambda: heard.claims == [(claimed.pid, 5)])
        assert seen.why_skipped == {}
        await redis_server.ask("PUBLISH", f"{partition.prefix}r:x", f"2{broker.epoch}.9.a.b.1 what is not known")
        await eventually(lambda: seen.why_skipped == {"other version": 1})
        await other.publish(event(1, "x"))
        await eventually(lambda: heard.numbers == [1])
        # fields that are not known
        await redis_server.ask("HSET", f"{partition.prefix}s:{claimed.pid}", "n", "more", "next", "2")
        again = await other.claim(claimed.pid, claimed.user)
        assert again is not None
        assert (again.sid, again.generation) == (claimed.sid, 1)
        assert seen.why_skipped == {"other version": 1}
