"""Two servers on one Redis, seen by stock clients and by their metrics."""

from __future__ import annotations

import pytest

from kit.clients.node import StockClients
from kit.clients.raw import WebSocket
from kit.servers.in_process import MakeServer, RunningServer
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.connections.connection import Connection
from tradecast.delivery.errors import AdapterUnavailable
from tradecast.delivery.redis.broker import RedisBroker
from tradecast.server import WebSocketServer

pytestmark = [pytest.mark.redis, pytest.mark.node]


def broker_of(server: RunningServer) -> RedisBroker:
    broker = server.app.components.hub.broker
    assert isinstance(broker, RedisBroker)
    return broker


async def two_servers(
    make_server: MakeServer, redis: RedisServer, **settings: object
) -> tuple[RunningServer, RunningServer]:
    one = await make_server(redis_url=redis.url, **settings)
    other = await make_server(redis_url=redis.url, **settings)
    for server in (one, other):
        await broker_of(server).wait_until_subscribed()
    return one, other


def figure(server: RunningServer, name: str, **labels: str) -> float:
    found = server.app.metrics.registry.get_sample_value(f"tradecast_{name}", labels)
    assert found is not None
    return found


async def test_events_reach_clients_of_both_servers_once_and_in_one_order(
    make_server: MakeServer, redis_server: RedisServer, stock_clients: StockClients
) -> None:
    one, other = await two_servers(make_server, redis_server)
    session = await one.session("u1")
    clients = [await stock_clients.connect(server.url, session, transports=["websocket"]) for server in (one, other)]
    for n in range(20):
        await (one, other)[n % 2].app.emit_notification("u1", {"n": n})
    for client in clients:
        await client.wait_for("notification", lambda args: args[0]["notification"]["n"] == 19)
        assert [args[0]["notification"]["n"] for args in client.events("notification")] == list(range(20))


async def test_redis_away_is_reported_to_the_caller_and_clients_stay(
    make_server: MakeServer, durable_redis: RedisServer, stock_clients: StockClients
) -> None:
    one, other = await two_servers(make_server, durable_redis, publish_timeout=3, redis_timeout=1)
    client = await stock_clients.connect(other.url, await other.session("u1"), transports=["websocket"])
    await one.app.emit_notification("u1", {"n": 0})
    await client.wait_for("notification")
    await durable_redis.kill()
    await eventually(lambda: not broker_of(other).is_subscribed)
    with pytest.raises(AdapterUnavailable):
        await one.app.emit_notification("u1", {"n": 1})
    await durable_redis.start()
    for server in (one, other):
        await broker_of(server).wait_until_subscribed()
    await one.app.emit_notification("u1", {"n": 2})
    await client.wait_for("notification", lambda args: args[0]["notification"]["n"] == 2)
    assert client.events("disconnect") == []


async def test_another_database_of_the_same_redis_is_another_fleet(
    make_server: MakeServer, redis_server: RedisServer, stock_clients: StockClients
) -> None:
    one = await make_server(redis_url=f"{redis_server.url.removesuffix('/0')}/0")
    other = await make_server(redis_url=f"{redis_server.url.removesuffix('/0')}/1")
    for server in (one, other):
        await broker_of(server).wait_until_subscribed()
    client = await stock_clients.connect(other.url, await other.session("u1"), transports=["websocket"])
    await one.app.emit_notification("u1", {"from": "one"})
    await other.app.emit_notification("u1", {"from": "other"})
    await client.wait_for("notification")
    assert [args[0]["notification"]["from"] for args in client.events("notification")] == ["other"]


async def test_metrics_tell_of_the_subscription_and_of_what_redis_took(
    make_server: MakeServer, own_redis: RedisServer, stock_clients: StockClients
) -> None:
    server = await make_server(redis_url=own_redis.url, publish_timeout=3, redis_timeout=1)
    await broker_of(server).wait_until_subscribed()
    assert figure(server, "redis_subscribed") == 1
    await stock_clients.connect(server.url, await server.session("u1"), transports=["websocket"])
    await server.app.emit_notification("u1", {"n": 1})
    await eventually(lambda: figure(server, "redis_messages_received_total") > 0)
    assert figure(server, "redis_publishes_total", result="ok") == 1
    await own_redis.kill()
    await eventually(lambda: figure(server, "redis_subscribed") == 0)
    with pytest.raises(AdapterUnavailable):
        await server.app.emit_notification("u1", {"n": 2})
    results = {name: figure(server, "redis_publishes_total", result=name) for name in ("ok", "failed", "uncertain")}
    assert results["ok"] == 1
    assert results["failed"] + results["uncertain"] == 1
    await eventually(lambda: figure(server, "publishes_waiting") == 0)


async def test_a_server_without_redis_has_no_subscription_to_lose(make_server: MakeServer) -> None:
    server = await make_server()
    assert server.app.metrics.registry.get_sample_value("tradecast_redis_subscribed") is None


async def test_event_to_a_room_of_another_namespace_reaches_its_members_and_nobody_in_the_main_one(
    make_server: MakeServer, redis_server: RedisServer
) -> None:
    def prepare(app: WebSocketServer) -> None:
        async def join(connection: Connection, room: str) -> str:
            await connection.join(room)
            return connection.namespace

        for namespace in ("/", "/custom"):
            app.register_event_handler("join", join, namespace=namespace)

    servers = [await make_server(prepare, redis_url=redis_server.url, auth_required=False) for _ in range(2)]
    for server in servers:
        await broker_of(server).wait_until_subscribed()
    here, there = servers
    async with await WebSocket.connect(there.url) as custom, await WebSocket.connect(there.url) as main:
        for client, namespace in ((custom, "/custom"), (main, "/")):
            head = "" if namespace == "/" else f"{namespace},"
            await client.opened()
            await client.join({"recovery": False}, namespace)
            await client.send(f'42{head}1["join","room"]')
            assert await client.text() == f'43{head}1["{namespace}"]'
        for n in range(20):
            await here.app.emit_to_room("room", "e", n, b"\x00", namespace="/custom")
        await here.app.emit_to_room("room", "last", namespace="/")
        for n in range(20):
            assert await custom.text() == f'451-/custom,["e",{n},{{"_placeholder":true,"num":0}}]'
            assert await custom.packet() == b"\x00"
        assert await main.text() == '42["last"]', "nothing came before"
        await here.app.emit_to_room("room", "last", namespace="/custom")
        assert await custom.text() == '42/custom,["last"]'
