"""Polling without session affinity: real servers on one real Redis, behind a load balancer that scatters requests."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support.eventually import eventually
from support.node_client import StockClients
from support.python_client import PythonClients
from support.redis_server import RedisServer
from support.scatter import scattering
from support.server import MakeServer, RunningServer

pytestmark = [pytest.mark.redis, pytest.mark.node]
BOTH = ["polling", "websocket"]


async def fleet(make_server: MakeServer, redis: RedisServer, count: int, **settings: Any) -> list[RunningServer]:
    """Servers on one Redis that offer polling, and know of each other."""
    options = {"redis_url": redis.url, "transports": tuple(BOTH), **settings}
    servers = [await make_server(add_events, **options) for _ in range(count)]
    await eventually(lambda: all(one.app._forwarding and one.app._forwarding.servers == count - 1 for one in servers))
    return servers


def add_events(app: Any) -> None:
    async def echo(connection: Any, data: Any) -> Any:
        return data

    app.register_event_handler("echo", echo)


def metric(server: RunningServer, name: str, **labels: str) -> float:
    value = server.app.metrics.registry.get_sample_value(f"tradecast_{name}", labels)
    assert value is not None
    return value


@pytest.mark.parametrize("transports", [["polling"], BOTH], ids=["polling", "upgrading"])
async def test_stock_clients(
    make_server: MakeServer, redis_server: RedisServer, stock_clients: StockClients, transports: list[str]
) -> None:
    servers = await fleet(make_server, redis_server, 3)
    async with scattering(*(one.url for one in servers)) as scatter:
        clients = []
        for number in range(12):
            session = await servers[0].session(f"u{number}")
            clients.append(await stock_clients.open(scatter.url, session, transports=transports))
        for client in clients:
            await client.wait_connect()
        for client in clients:
            assert await client.call("echo", {"n": 1, "b": b"\x00\xff" * 10}) == [{"n": 1, "b": b"\x00\xff" * 10}]
        if len(transports) == 2:
            for client in clients:
                await client.wait_upgrade()
        await servers[1].app.broadcast("to-all", {"b": b"123", "n": 5})
        for client in clients:
            assert await client.wait_for("to-all") == [{"b": b"123", "n": 5}]
    print(scatter.sent, [one.app.metrics.render_prometheus()[1].decode().count("x") for one in servers])
    for one in servers:
        for line in one.app.metrics.render_prometheus()[1].decode().splitlines():
            if "forwarded_requests_total{" in line and not line.endswith(" 0.0"):
                print(line)
    await asyncio.sleep(0)
