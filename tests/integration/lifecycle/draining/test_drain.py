"""Draining, shedding and storms, with stock clients under Node.js and through the admin port."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import Any

import httpx
import pytest

from kit.clients.node import StockClient, StockClients
from kit.servers.in_process import MakeServer, RunningServer
from kit.servers.process import serving
from kit.waiting import eventually

pytestmark = pytest.mark.node


async def admin(server: RunningServer, method: str, path: str, body: Any = None) -> httpx.Response:
    async with httpx.AsyncClient(base_url=server.admin_url, timeout=30) as http:
        return await http.request(method, path, json=body)


async def ready(server: RunningServer) -> int:
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        return (await http.get("/health/ready")).status_code


async def connected(server: RunningServer, clients: StockClients, count: int, **options: Any) -> list[StockClient]:
    """So many stock clients, of as many users."""

    async def connect(number: int) -> StockClient:
        auth = await server.session(f"user-{number}")
        return await clients.open(server.url, auth, ["websocket"], reconnectionDelay=100, **options)

    opened = await asyncio.gather(*(connect(number) for number in range(count)))
    await asyncio.gather(*(client.wait_connect(timeout=60) for client in opened))
    return opened


async def test_drain_refuses_disconnects_and_can_be_cancelled(
    make_server: MakeServer, stock_clients: StockClients
) -> None:
    server = await make_server()
    assert await ready(server) == 200
    clients = await connected(server, stock_clients, 5)
    answer = await admin(server, "POST", "/admin/drain", {"rate": 1_000})
    assert (answer.status_code, answer.json()["active"]) == (202, True)
    for client in clients:
        assert await client.wait_disconnect() in ("transport close", "transport error")
        assert not client.final
    assert await ready(server) == 503
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        refused = await http.get("/socket.io/", params={"EIO": "4", "transport": "polling"})
        assert (refused.status_code, refused.json()["code"]) == (503, "SERVER_DRAINING")
        for path in ("/health", "/health/live", "/health/startup"):
            assert (await http.get(path)).status_code == 200
        figures = (await http.get("/metrics")).text
    assert 'tradecast_connections_closed_total{reason="drain"} 5.0' in figures
    assert "tradecast_draining 1.0" in figures
    await clients[0].wait_reconnect_attempt()
    answer = await admin(server, "DELETE", "/admin/drain")
    assert answer.json() == {"cancelled": True}
    await asyncio.gather(*(client.wait_connect() for client in clients))
    assert await ready(server) == 200
    assert (await admin(server, "GET", "/admin/stats")).json()["drain"]["active"] is False


async def test_drain_keeps_its_pace(make_server: MakeServer, stock_clients: StockClients) -> None:
    server = await make_server(drain_rate=20)
    clients = await connected(server, stock_clients, 30, reconnection=False)
    gone: list[float] = []

    async def wait(client: StockClient) -> None:
        await client.wait_disconnect()
        gone.append(time.monotonic())

    started = time.monotonic()
    await admin(server, "POST", "/admin/drain")
    await asyncio.gather(*(wait(client) for client in clients))
    # 30 clients at 20 a second: the last leaves in the thirtieth slot, after 1.45 s at the soonest.
    assert gone[-1] - started >= 1.4
    # A machine that stalls sees late departures together; it never sees them early.
    for number, moment in enumerate(gone, start=1):
        assert number <= 20 * (moment - started) + 2


async def test_shedding_sends_that_many_away_and_they_come_back(
    make_server: MakeServer, stock_clients: StockClients
) -> None:
    server = await make_server()
    clients = await connected(server, stock_clients, 12)
    answer = await admin(server, "POST", "/admin/shed", {"count": 5, "rate": 500})
    assert (answer.status_code, answer.json()) == (202, {"shedding": 5})

    async def closed() -> float:
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
            figures = (await http.get("/metrics")).text
        line = next(line for line in figures.splitlines() if 'closed_total{reason="shed"}' in line)
        return float(line.split()[-1])

    await eventually(lambda: sum(client.reconnect_attempts > 0 for client in clients) == 5)
    await eventually(lambda: server.app.get_total_connection_count() == 12)
    assert await closed() == 5
    assert await ready(server) == 200


async def test_a_shed_that_would_last_for_hours_can_be_ended(
    make_server: MakeServer, stock_clients: StockClients
) -> None:
    server = await make_server()
    clients = await connected(server, stock_clients, 4)
    assert (await admin(server, "DELETE", "/admin/shed")).json() == {"cancelled": False}
    asked = {"count": 4, "rate": 0.001}
    assert (await admin(server, "POST", "/admin/shed", asked)).json() == {"shedding": 4}
    again = await admin(server, "POST", "/admin/shed", {"count": 1})
    assert (again.status_code, again.json()["code"]) == (409, "CONFLICT")
    assert (await admin(server, "DELETE", "/admin/shed")).json() == {"cancelled": True}
    assert (await admin(server, "DELETE", "/admin/shed")).json() == {"cancelled": False}
    assert (await admin(server, "GET", "/admin/stats")).json()["drain"]["shedding"] is False
    before = sum(client.reconnect_attempts > 0 for client in clients)
    assert (await admin(server, "POST", "/admin/shed", {"count": 2, "rate": 500})).json()["shedding"] == 2
    await eventually(lambda: sum(client.reconnect_attempts for client in clients) >= before + 2)
    await eventually(lambda: server.app.get_total_connection_count() == 4)


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/admin/shed", {}, "count"),
        ("/admin/shed", {"count": 0}, "count"),
        ("/admin/shed", {"count": True}, "count"),
        ("/admin/shed", {"count": 2.5}, "count"),
        ("/admin/shed", {"count": 1, "rate": 0}, "rate"),
        ("/admin/shed", {"count": 1, "rate": "fast"}, "rate"),
        ("/admin/drain", {"rate": -1}, "rate"),
        ("/admin/drain", {"rate": 5e-324}, "rate: must be a number of connections per second, from 0.001 to 100000"),
        ("/admin/shed", {"count": 1, "rate": 0.0009}, "rate"),
        ("/admin/drain", {"speed": 1}, "speed"),
        ("/admin/drain", {"renewWithin": 0.5}, "renewWithin: must be a number of seconds, from 1 to 3600"),
        ("/admin/drain", {"renewWithin": 3601}, "renewWithin"),
        ("/admin/drain", {"renewWithin": "30"}, "renewWithin"),
        ("/admin/drain", {"endsWithin": 0}, "endsWithin: must be a number of seconds, above 0 and at most 86400"),
        ("/admin/drain", {"endsWithin": -3}, "endsWithin"),
        ("/admin/drain", {"endsWithin": True}, "endsWithin"),
        ("/admin/drain", {"timeout": 86401}, "timeout"),
        ("/admin/shed", {"count": 1, "renewWithin": 5}, "renewWithin"),
        ("/admin/drain", [1], "object"),
    ],
)
async def test_requests_that_are_invalid(server: RunningServer, path: str, body: Any, named: str) -> None:
    answer = await admin(server, "POST", path, body)
    assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_REQUEST")
    assert named in answer.json()["message"]
    assert await ready(server) == 200


async def test_an_operator_renews_its_drain_and_passes_the_end_of_the_pod(make_server: MakeServer) -> None:
    server = await make_server(drain_rate=40, drain_timeout=500, shutdown_timeout=10)
    before = (await admin(server, "GET", "/admin/stats")).json()["drain"]
    assert [before[name] for name in ("rate", "endsIn", "urgent", "renewWithin")] == [40, None, False, None]
    body = {"rate": 25, "timeout": 300, "endsWithin": 110, "renewWithin": 5}
    answer = await admin(server, "POST", "/admin/drain", body)
    assert answer.status_code == 202
    drain = answer.json()
    assert [drain[name] for name in ("active", "final", "rate", "urgent", "renewWithin")] == [True, False, 25, False, 5]
    assert 90 < drain["endsIn"] <= 100
    assert await ready(server) == 503

    async def in_service() -> bool:
        return await ready(server) == 200

    await eventually(in_service)
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        assert "tradecast_drains_expired_total 1.0" in (await http.get("/metrics")).text


async def test_admin_routes_want_the_token(make_server: MakeServer) -> None:
    server = await make_server(admin_token="planted-token")
    for method, path in (("POST", "/admin/drain"), ("DELETE", "/admin/drain"), ("POST", "/admin/shed")):
        assert (await admin(server, method, path, {"count": 1})).status_code == 401
    assert await ready(server) == 200


async def test_storm_is_let_in_little_by_little(make_server: MakeServer, stock_clients: StockClients) -> None:
    server = await make_server(accept_rate=12, accept_burst=5, accept_wait=0.5)
    clients = await connected(server, stock_clients, 80, reconnectionDelayMax=1_000)
    assert all(client.connected for client in clients)
    refusals = server.app.metrics.registry.get_sample_value("tradecast_refusals_total", {"code": "SERVER_BUSY"})
    assert refusals, "80 at once are more than 12 a second and half a second of waiting"
    assert server.app.get_total_connection_count() == 80


async def test_sigterm_drains_before_it_stops_in_its_own_time(stock_clients: StockClients) -> None:
    """An operator had begun to drain the server for ten minutes: of these the kubelet does not know."""
    token = "planted"
    variables = {"DRAIN_DELAY": "8", "ADMIN_TOKEN": token, "LOG_LEVEL": "info", "AUTH_REQUIRED": "false"}
    async with serving(**variables) as server, httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        clients = [await stock_clients.connect(server.url, {}, ["websocket"], reconnection=False) for _ in range(3)]
        assert (await http.get("/health/ready")).status_code == 200
        asked = {"rate": 0.01, "timeout": 600, "renewWithin": 120}
        headers = {"Authorization": f"Bearer {token}"}
        answer = await http.post(f"{server.admin_url}/admin/drain", json=asked, headers=headers)
        assert answer.json()["endsIn"] > 600
        await server.log("draining")
        server.send(signal.SIGTERM)
        await server.log("stopping")
        assert (await http.get("/health/ready")).status_code == 503, "still served, and not ready"
        drain = (await http.get(f"{server.admin_url}/admin/stats", headers=headers)).json()["drain"]
        assert [drain[name] for name in ("final", "rate", "renewWithin")] == [True, 100, None]
        assert drain["endsIn"] <= 68
        await server.log("drained")
        assert await server.ended() == 0
        assert [await client.wait_disconnect() for client in clients] == ["transport close"] * 3
