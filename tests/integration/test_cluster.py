"""Servers on a Redis Cluster: stock clients, commands and the demo's feed."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from pathlib import Path

import httpx
import pytest

from kit.clients.interface import Refused
from kit.clients.node import StockClient, StockClients
from kit.servers.in_process import MakeServer, RunningServer
from kit.servers.process import start, tradecast
from kit.servers.redis_cluster import RedisCluster
from kit.waiting import eventually
from tradecast.delivery.redis.broker import RedisBroker

pytestmark = pytest.mark.redis
ROOT = Path(__file__).parents[2]
USERS = [f"u{number}" for number in range(12)]


async def two_servers(make_server: MakeServer, cluster: RedisCluster, **settings: object) -> list[RunningServer]:
    servers = [
        await make_server(redis_url=cluster.url, transports=("websocket", "polling"), **settings) for _ in range(2)
    ]
    for server in servers:
        broker = server.app.components.hub.broker
        assert isinstance(broker, RedisBroker)
        await broker.wait_until_subscribed()
    return servers


async def health(server: RunningServer) -> tuple[int, dict[str, object]]:
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        answer = await http.get("/health/redis")
        return answer.status_code, answer.json()


async def received(client: StockClient, number: int) -> list[int]:
    await client.wait_for("notification", lambda args: args[0]["notification"]["n"] == number)
    return [args[0]["notification"]["n"] for args in client.events("notification")]


@pytest.mark.node
@pytest.mark.usefixtures("patient_limits")
async def test_clients_of_two_servers_with_sessions_and_quotas(
    make_server: MakeServer, redis_cluster: RedisCluster, stock_clients: StockClients
) -> None:
    one, other = await two_servers(make_server, redis_cluster, max_connections_per_user=2)
    assert one.app.mode == "sharded"
    status, body = await health(one)
    assert (status, body["status"], body["mode"]) == (200, "up", "sharded")

    clients: dict[str, list[StockClient]] = {}
    sessions = {user: await one.session(user) for user in USERS}
    for user, session in sessions.items():
        clients[user] = [
            await stock_clients.connect(one.url, session, transports=["polling", "websocket"]),
            await stock_clients.connect(other.url, session, transports=["websocket"]),
        ]
    for user in USERS:
        for number in range(10):
            await (one, other)[number % 2].app.emit_notification(user, {"n": number})
    for user in USERS:
        for client in clients[user]:
            assert await received(client, 9) == list(range(10))

    with pytest.raises(Refused) as caught:  # both have answered, one on each server
        await stock_clients.connect(other.url, sessions["u1"], transports=["websocket"])
    assert caught.value.code == "TOO_MANY_CONNECTIONS"
    await clients["u1"][0].disconnect()
    await stock_clients.connect(other.url, sessions["u1"], transports=["websocket"])

    await other.app.sessions.revoke([sessions["u2"]["sessionID"]])
    for client in clients["u2"]:
        assert await client.wait_disconnect() == "io server disconnect"
    assert all(client.connected for user in USERS[3:] for client in clients[user])


@pytest.mark.node
async def test_a_node_that_is_killed_and_comes_back_and_slots_that_move(
    make_server: MakeServer, redis_cluster: RedisCluster, stock_clients: StockClients
) -> None:
    one, other = await two_servers(make_server, redis_cluster)
    sessions = {user: await one.session(user) for user in USERS}
    clients = {
        user: await stock_clients.connect(other.url, session, transports=["websocket"])
        for user, session in sessions.items()
    }
    await redis_cluster.kill(redis_cluster.nodes[0])

    async def told() -> bool:
        status, body = await health(one)
        return status == 503 and str(body["error"]).startswith("1 of 3 masters away")

    await eventually(told)
    async with httpx.AsyncClient(base_url=one.url, timeout=30) as http:
        assert (await http.get("/health")).status_code == 200
    await redis_cluster.start(redis_cluster.nodes[0])

    async def up() -> bool:
        return [(await health(server))[0] for server in (one, other)] == [200, 200]

    await eventually(up)
    await eventually(lambda: not one.app.limiter.fallen_back and not other.app.limiter.fallen_back)
    moving = asyncio.create_task(redis_cluster.move_slots(40))
    for number in range(10):
        for user in USERS:
            await one.app.emit_notification(user, {"n": number})
    assert await moving
    for user, client in clients.items():
        assert await received(client, 9) == list(range(10)), user
        assert client.connected
        assert client.events("disconnect") == []


async def test_the_permissions_of_the_docs_are_enough(make_server: MakeServer, redis_cluster: RedisCluster) -> None:
    allowed = re.search(r"`(\+@all [^`]*)` are enough", (ROOT / "docs" / "redis.md").read_text())
    assert allowed is not None
    for node in redis_cluster.nodes:
        keys = ("~tradecast:*", "~sess:*", "resetchannels", "&tradecast:*")
        node.ask_now("ACL", "SETUSER", "caster", "on", ">pw", *keys, *allowed[1].split())
    (server, other) = await two_servers(
        make_server, redis_cluster, redis_username="caster", redis_password="pw", fleet_revision="1"
    )
    assert (await health(server))[0] == 200
    session = await server.session("u1")
    await server.app.emit_notification("u1", {"n": 1})
    assert await server.app.limiter.acquire_connection("u1", "a")
    await server.app.limiter.renew_all()
    # Without permission it stays so; for a moment it may be so on a busy machine.
    await eventually(lambda: not server.app.limiter.fallen_back)
    assert len([one async for one in other.app.sessions.sessions()]) == 1
    assert await other.app.sessions.revoke([session["sessionID"]]) == 1
    await redis_cluster.move_slots(4)
    await server.app.emit_notification("u1", {"n": 2})
    assert [node.ask_now("ACL", "LOG") for node in redis_cluster.nodes] == [[], [], []]


async def test_commands(redis_cluster: RedisCluster) -> None:
    variables = {"REDIS_URL": redis_cluster.url, "REDIS_TIMEOUT": "20"}
    for done in await asyncio.gather(*(tradecast("session", "create", user, **variables) for user in USERS)):
        assert done.code == 0, done.err
        assert json.loads(done.out)["sessionID"]
    done = await tradecast("session", "list", **variables)
    assert done.code == 0, done.err
    assert all(user in done.out for user in USERS)
    done = await tradecast("emit", "notification", '{"n": 1}', "--user", "u1", **variables)
    assert done.code == 0, done.err


async def test_one_feed_leads_and_the_next_takes_over(redis_cluster: RedisCluster) -> None:
    variables = {"DEMO_DAY_SECONDS": "4", "DEMO_TICK_SECONDS": "0.1", "REDIS_URL": redis_cluster.url}
    async with start("feed", **variables) as first:
        await first.log("this feed is publishing")
        async with start("feed", **variables) as second:
            await second.log("feed is waiting")
            first.send(signal.SIGKILL)
            await second.log("this feed is publishing")
            second.send(signal.SIGTERM)
            assert await second.ended() == 0
