"""Two servers on one Redis, seen by bare Socket.IO clients' servers and by python-socketio's own write-only client."""

from __future__ import annotations

from functools import partial

import pytest
import socketio

from support.eventually import eventually
from support.node_client import StockClients
from support.redis_server import RedisServer
from support.server import MakeServer, RunningServer
from tradecast.adapter.errors import AdapterUnavailable
from tradecast.adapter.redis_manager import RedisManager

pytestmark = [pytest.mark.redis, pytest.mark.node]


def manager_of(server: RunningServer) -> RedisManager:
    manager = server.app._manager
    assert isinstance(manager, RedisManager)
    return manager


def unsubscribed(server: RunningServer) -> bool:
    return not manager_of(server).subscribed.is_set()


async def two_servers(make_server: MakeServer, redis: RedisServer) -> tuple[RunningServer, RunningServer]:
    one = await make_server(redis_url=redis.url)
    other = await make_server(redis_url=redis.url)
    for server in (one, other):
        await manager_of(server).subscribed.wait()
    return one, other


async def test_an_event_reaches_clients_of_both_servers_once(
    make_server: MakeServer, redis_server: RedisServer, stock_clients: StockClients
) -> None:
    one, other = await two_servers(make_server, redis_server)
    session = await one.session("u1")
    clients = [await stock_clients.connect(server.url, session, transports=["websocket"]) for server in (one, other)]
    for n in range(20):
        await (one, other)[n % 2].app.emit_notification("u1", {"n": n})
    for client in clients:
        await client.wait_for("notification", lambda args: args[0]["notification"]["n"] == 18)
        await client.wait_for("notification", lambda args: args[0]["notification"]["n"] == 19)
        seen = [args[0]["notification"]["n"] for args in client.events("notification")]
        # What each server sent stays in its order; between the two there is none.
        assert sorted(seen) == list(range(20))
        assert [n for n in seen if n % 2 == 0] == list(range(0, 20, 2))


async def test_write_only_clients_of_python_socketio_work_beside_it(
    make_server: MakeServer, redis_server: RedisServer, stock_clients: StockClients
) -> None:
    server = await make_server(redis_url=redis_server.url)
    await manager_of(server).subscribed.wait()
    client = await stock_clients.connect(server.url, await server.session("u1"), transports=["websocket"])
    writer = socketio.AsyncRedisManager(redis_server.url, write_only=True)
    await writer.emit("hello", {"from": "outside"}, room="user:u1")
    assert await client.wait_for("hello") == [{"from": "outside"}]
    await writer.redis.aclose()


async def test_redis_away_is_told_to_the_caller_and_local_clients_are_served(
    make_server: MakeServer, own_redis: RedisServer, stock_clients: StockClients
) -> None:
    server = await make_server(redis_url=own_redis.url)
    manager = manager_of(server)
    await manager.subscribed.wait()
    # A session in Redis would be gone with it: what is tried here is the adapter.
    client = await stock_clients.connect(server.url, await server.session("u1"), transports=["websocket"])
    await own_redis.kill()
    await eventually(lambda: not manager.subscribed.is_set())
    with pytest.raises(AdapterUnavailable):
        await server.app.emit_notification("u1", {"n": 1})
    assert (await client.wait_for("notification"))[0]["notification"] == {"n": 1}


async def test_the_subscription_comes_back_with_redis(
    make_server: MakeServer, own_redis: RedisServer, stock_clients: StockClients
) -> None:
    one, other = await two_servers(make_server, own_redis)
    await own_redis.kill()
    for server in (one, other):
        await eventually(partial(unsubscribed, server))
    await own_redis.start()
    for server in (one, other):
        await manager_of(server).subscribed.wait()
    client = await stock_clients.connect(other.url, await other.session("u1"), transports=["websocket"])
    await one.app.emit_notification("u1", {"n": 2})
    assert (await client.wait_for("notification"))[0]["notification"] == {"n": 2}


async def test_another_database_of_the_same_redis_is_another_fleet(
    make_server: MakeServer, redis_server: RedisServer, stock_clients: StockClients
) -> None:
    one = await make_server(redis_url=f"{redis_server.url.rstrip('/').removesuffix('/0')}/0")
    other = await make_server(redis_url=f"{redis_server.url.rstrip('/').removesuffix('/0')}/1")
    for server in (one, other):
        await manager_of(server).subscribed.wait()
    client = await stock_clients.connect(other.url, await other.session("u1"), transports=["websocket"])
    await one.app.emit_notification("u1", {"from": "one"})
    await other.app.emit_notification("u1", {"from": "other"})
    await client.wait_for("notification")
    assert [args[0]["notification"]["from"] for args in client.events("notification")] == ["other"]


async def test_metrics_tell_of_the_subscription_and_of_what_redis_took(
    make_server: MakeServer, own_redis: RedisServer
) -> None:
    server = await make_server(redis_url=own_redis.url)
    manager, metrics = manager_of(server), server.app.metrics

    def figure(name: str, **labels: str) -> float:
        found = metrics.registry.get_sample_value(f"tradecast_redis_{name}", labels)
        assert found is not None
        return found

    await manager.subscribed.wait()
    assert figure("subscribed") == 1
    await server.app.emit_notification("u1", {"n": 1})
    await eventually(lambda: figure("messages_received_total") == 1)
    assert (figure("publishes_total", result="ok"), figure("publishes_total", result="failed")) == (1, 0)
    await own_redis.kill()
    await eventually(lambda: figure("subscribed") == 0)
    with pytest.raises(AdapterUnavailable):
        await server.app.emit_notification("u1", {"n": 2})
    assert (figure("publishes_total", result="ok"), figure("publishes_total", result="failed")) == (1, 1)


async def test_a_server_without_redis_has_no_subscription_to_lose(make_server: MakeServer) -> None:
    server = await make_server()
    assert server.app.metrics.registry.get_sample_value("tradecast_redis_subscribed") is None
