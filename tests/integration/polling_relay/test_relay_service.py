"""Polling without session affinity: real servers on one real Redis, behind a load balancer that scatters requests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from kit.clients.floods import errors_of
from kit.clients.node import StockClients
from kit.clients.python import PythonClients
from kit.network.scatter import Scatter
from kit.servers.fleet import BOTH, UNKNOWN_SESSION, Poller, add_echo, forwarded, known_to, make_fleet, metric
from kit.servers.in_process import MakeServer, RunningServer
from kit.servers.process import serving
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.engine.transports.polling import PollingTransport
from tradecast.packets.codec import encode_event

pytestmark = pytest.mark.redis
node = pytest.mark.node
each_way = pytest.mark.parametrize("transports", [["polling"], list(BOTH)], ids=["polling", "upgrading"])
BINARY = bytes(range(256)) * 4
FAST: dict[str, Any] = {"reconnectionDelay": 30, "reconnectionDelayMax": 200}


@contextlib.asynccontextmanager
async def scattered(make_server: MakeServer, redis: RedisServer, count: int, **settings: Any) -> AsyncIterator[Any]:
    servers = await make_fleet(make_server, redis, count, **settings)
    async with Scatter(*(one.url for one in servers)) as scatter:
        yield servers, scatter


def upgrade_elsewhere(scatter: Scatter, owner: RunningServer, other: RunningServer) -> None:
    """Handshakes and polls go to one server, and every WebSocket to another one."""
    scatter.choose = lambda head: other.url if b"transport=websocket" in head else owner.url


# -- compression


@node
@pytest.mark.parametrize("compressing", [(True, True), (True, False), (False, True)], ids=["both", "owner", "edge"])
async def test_owner_and_client_agree_on_compression(
    make_server: MakeServer, redis_server: RedisServer, stock_clients: StockClients, compressing: tuple[bool, bool]
) -> None:
    """Whatever the server in between does itself: it passes on bytes."""
    options: dict[str, Any] = {"redis_url": redis_server.url, "transports": BOTH, "drain_rate": 10_000}
    owner, edge = [await make_server(add_echo, websocket_compression=one, **options) for one in compressing]
    await eventually(lambda: known_to(owner) == known_to(edge) == 1)
    async with Scatter(owner.url, edge.url) as scatter:
        upgrade_elsewhere(scatter, owner, edge)
        client = await stock_clients.connect(scatter.url, await owner.session("u"), transports=list(BOTH))
        await client.wait_upgrade()
        value = {"rows": list(range(1_000)), "b": BINARY}
        assert await client.call("echo", value) == [value]
        await owner.app.emit_notification("u", {"text": "x" * 5_000})
        await client.wait_for("notification")
    assert metric(owner, "compression_negotiated_total") == compressing[0]
    assert (metric(owner, "compressed_messages_total") > 0) is compressing[0]
    assert metric(edge, "compressed_messages_total") == 0


async def test_answers_of_the_owner_stay_as_it_compressed_them(
    make_server: MakeServer, redis_server: RedisServer
) -> None:
    owner, edge = await make_fleet(make_server, redis_server, 2)
    async with Poller(owner) as client:
        await client.join(owner, json.dumps(await owner.session("u")))
        for accepted, coding in (("gzip", "gzip"), ("identity", None)):
            await owner.app.emit_notification("u", {"text": "x" * 5_000})
            answer = await client.get(edge, headers={"accept-encoding": accepted})
            assert answer.headers.get("content-encoding") == coding
            assert "x" * 5_000 in answer.text


# -- stock clients


@node
@each_way
async def test_many_standard_clients_miss_nothing(
    make_server: MakeServer, redis_server: RedisServer, stock_clients: StockClients, transports: list[str]
) -> None:
    async with scattered(make_server, redis_server, 3) as (servers, scatter):
        clients = []
        for number in range(40):
            session = await servers[0].session(f"u{number}")
            clients.append(await stock_clients.open(scatter.url, session, transports=transports))
        for client in clients:
            await client.wait_connect()

        async def asks(client: Any) -> None:
            for n in range(10):
                assert await client.call("echo", {"n": n, "b": BINARY}) == [{"n": n, "b": BINARY}]

        async def tells() -> None:
            for n in range(60):
                await servers[n % 3].app.broadcast("n", {"from": n % 3, "n": n, "b": BINARY})
                await asyncio.sleep(0.01)

        await asyncio.gather(tells(), *map(asks, clients))
        await servers[0].app.broadcast("last", {})
        for client in clients:
            await client.wait_for("last")
            if len(transports) == 2:
                await client.wait_upgrade()
        for client in clients:
            got = [event[0] for event in client.events("n")]
            for source in range(3):  # of each server in its order: there is none between servers yet
                assert [one["n"] for one in got if one["from"] == source] == list(range(source, 60, 3))
            assert all(one["b"] == BINARY for one in got)
            assert client.reconnect_attempts == 0
        assert all(forwarded(one)["answered"] > 3 for one in servers), "each passed some on"
        assert sum(one.app.get_total_connection_count() for one in servers) == 40
        if len(transports) == 2:
            relayed = sum(metric(one, "relayed_websockets") for one in servers)
            assert 0 < relayed <= 40
            assert relayed == sum(forwarded(one, "websocket").get("answered", 0) for one in servers)
            for one in servers:
                assert one.app.get_stats()["forwarding"]["relayedWebSockets"] == metric(one, "relayed_websockets")


@node
@each_way
async def test_big_events_pass_both_ways(
    make_server: MakeServer, redis_server: RedisServer, stock_clients: StockClients, transports: list[str]
) -> None:
    async with scattered(make_server, redis_server, 2) as (servers, scatter):
        client = await stock_clients.connect(scatter.url, await servers[0].session("u1"), transports=transports)
        if len(transports) == 2:
            await client.wait_upgrade()
        text, data = "ä" * 300_000, os.urandom(600_000)
        for payload in ({"t": text}, {"b": data}):
            assert await client.call("echo", payload) == [payload]
        await servers[1].app.broadcast("big", {"b": data * 4, "t": text})
        assert (await client.wait_for("big"))[0] == {"b": data * 4, "t": text}
        assert client.reconnect_attempts == 0


@node
async def test_an_upgrade_that_lands_elsewhere_passes_through(
    make_server: MakeServer, redis_server: RedisServer, stock_clients: StockClients
) -> None:
    async with scattered(make_server, redis_server, 2) as ((owner, other), scatter):
        upgrade_elsewhere(scatter, owner, other)
        session = await owner.session("u1")
        client = await stock_clients.connect(scatter.url, session, transports=list(BOTH))
        await client.wait_upgrade()
        assert await client.call("echo", {"b": BINARY}) == [{"b": BINARY}]
        await other.app.emit_to_user("u1", "e", {"n": 1})
        await client.wait_for("e")
        assert (await client.state())["transport"] == "websocket"
        assert (owner.app.get_total_connection_count(), other.app.get_total_connection_count()) == (1, 0)
        assert (metric(owner, "relayed_websockets"), metric(other, "relayed_websockets")) == (0, 1)
        assert metric(owner, "transport_connections", transport="websocket") == 1
        await client.disconnect()
        await eventually(lambda: owner.app.get_total_connection_count() == 0)
        await eventually(lambda: metric(other, "relayed_websockets") == 0)
        assert metric(owner, "disconnects_total", reason="client disconnect") == 1


async def test_python_clients(
    make_server: MakeServer, redis_server: RedisServer, python_clients: PythonClients
) -> None:
    async with scattered(make_server, redis_server, 2) as ((owner, other), scatter):
        upgrade_elsewhere(scatter, owner, other)
        for number, transports in enumerate((["polling"], list(BOTH))):
            client = await python_clients.connect(scatter.url, await owner.session(f"u{number}"), transports)
            assert await client.call("echo", {"b": BINARY}) == [{"b": BINARY}]
            assert client.transport == transports[-1]
        assert metric(other, "relayed_websockets") == 1


async def test_without_tls_or_from_elsewhere_nobody_gets_in_and_others_do(
    make_server: MakeServer, redis_server: RedisServer
) -> None:
    """What the edge and the owner check of origin and TLS is the same as without forwarding."""
    owner, other = await make_fleet(make_server, redis_server, 2, auth_required=False, require_tls=True)
    page = {"Host": "push.example", "X-Forwarded-Proto": "https", "Origin": "https://push.example"}
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        opened = await http.get(f"{owner.url}/socket.io/?EIO=4&transport=polling", headers=page)
        path = f"/socket.io/?EIO=4&transport=polling&sid={json.loads(opened.text[1:])['sid']}"
        for server, packet in ((owner, b"40"), (other, b'42["e"]')):
            good = await http.post(server.url + path, content=packet, headers=page)
            assert (good.status_code, good.text) == (200, "ok")
            assert good.headers["access-control-allow-origin"] == "https://push.example"
            assert good.headers["access-control-allow-credentials"] == "true"
            for change, status in (
                ({"Origin": "https://evil.example"}, 400),
                ({"Origin": "https://evil.example", "Connection": "Origin"}, 400),
                ({"Origin": "http://push.example"}, 400),
                ({"X-Forwarded-Proto": "http"}, 403),
            ):
                bad = await http.post(server.url + path, content=b"40", headers={**page, **change})
                assert bad.status_code == status, (change, bad.text)
                assert "access-control-allow-origin" not in bad.headers


# -- connections that end


async def test_an_aborted_poll_ends_the_connection_wherever_it_came_in(
    make_server: MakeServer, redis_server: RedisServer
) -> None:
    """As in Node: what the server had taken for that poll would be lost, and nobody would know."""
    owner, other = await make_fleet(make_server, redis_server, 2, auth_required=False)
    for count, through in enumerate((owner, other), 1):
        async with Poller(owner) as client:
            await client.join(owner)
            polling = asyncio.create_task(client.get(through))
            await waiting(owner, client)
            polling.cancel()
            await eventually(lambda: owner.app.get_total_connection_count() == 0)
            assert metric(owner, "disconnects_total", reason="transport error") == count
            await owner.app.broadcast("lost", {})
            answer = await client.get(through)
            assert (answer.status_code, answer.json()) == UNKNOWN_SESSION
    assert forwarded(other)["aborted"] == 1


async def test_a_poll_that_is_answered_in_time_ends_nothing(make_server: MakeServer, redis_server: RedisServer) -> None:
    owner, other = await make_fleet(make_server, redis_server, 2, auth_required=False)
    async with Poller(owner) as client:
        await client.join(other)
        for n in range(20):
            polling = asyncio.create_task(client.get((owner, other)[n % 2]))
            await waiting(owner, client)
            owner.app.components.socket_server.eio.deliver([client.sid], encode_event("n", [n]))
            assert (await polling).text == f'42["n",{n}]'


async def waiting(owner: RunningServer, client: Poller) -> None:
    """Until a poll of this client waits at the owner."""
    transport = owner.app.components.socket_server.eio.sockets[client.sid].transport
    assert isinstance(transport, PollingTransport)
    await eventually(lambda: transport.polled)


@node
@each_way
async def test_an_owner_that_is_killed(
    redis_server: RedisServer, stock_clients: StockClients, transports: list[str]
) -> None:
    variables = {"REDIS_URL": redis_server.url, "TRANSPORTS": "polling,websocket", "AUTH_REQUIRED": "false"}
    async with serving(**variables) as owner, serving(**variables) as other, Scatter(owner.url) as scatter:
        scatter.choose = lambda head: owner.url if b"sid=" not in head else other.url
        clients = [await stock_clients.open(scatter.url, transports=transports, **FAST) for _ in range(10)]
        for client in clients:
            await client.wait_connect()
            if len(transports) == 2:
                await client.wait_upgrade()
        scatter.choose = None
        scatter.urls = [other.url]
        owner.send(signal.SIGKILL)
        for client in clients:
            await client.wait_disconnect()
            await client.wait_connect()
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:

            async def all_its_own() -> bool:
                stats = (await http.get(f"{other.admin_url}/admin/stats")).json()
                return (stats["websocket"]["totalConnections"], stats["forwarding"]["relayedWebSockets"]) == (10, 0)

            await eventually(all_its_own)
        assert [*errors_of(owner), *errors_of(other)] == []


@node
async def test_an_edge_that_is_killed(redis_server: RedisServer, stock_clients: StockClients) -> None:
    variables = {"REDIS_URL": redis_server.url, "TRANSPORTS": "polling,websocket", "AUTH_REQUIRED": "false"}
    async with serving(**variables) as owner, serving(**variables) as edge, Scatter(owner.url) as scatter:
        scatter.choose = lambda head: owner.url if b"transport=polling" in head else edge.url
        client = await stock_clients.connect(scatter.url, transports=list(BOTH), **FAST)
        await client.wait_upgrade()
        scatter.choose = None
        edge.send(signal.SIGKILL)
        await client.wait_disconnect()
        await client.wait_connect()
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:

            async def connections() -> int:
                stats = (await http.get(f"{owner.admin_url}/admin/stats")).json()
                return int(stats["websocket"]["totalConnections"])

            deadline = time.monotonic() + 30
            while await connections() != 1:
                assert time.monotonic() < deadline, "the owner has not noticed"
                await asyncio.sleep(0.05)


@node
@each_way
async def test_a_draining_owner_still_serves_forwarded_requests_and_disconnects_its_clients(
    make_server: MakeServer, redis_server: RedisServer, stock_clients: StockClients, transports: list[str]
) -> None:
    async with scattered(make_server, redis_server, 2, drain_delay=8, drain_rate=20) as ((owner, other), scatter):
        scatter.choose = lambda head: owner.url if b"sid=" not in head else other.url
        clients = []
        for number in range(10):
            session = await owner.session(f"u{number}")
            clients.append(await stock_clients.open(scatter.url, session, transports=transports, **FAST))
        for client in clients:
            await client.wait_connect()
        owner.app.components.drain.start()
        assert await asyncio.gather(*(client.call("echo", 1) for client in clients)) == [[1]] * 10
        scatter.choose = None
        scatter.urls = [other.url]
        for client in clients:
            assert await client.wait_disconnect() in ("transport close", "transport error")
            await client.wait_connect()
        await eventually(lambda: other.app.get_total_connection_count() == 10)
        assert owner.app.get_total_connection_count() == 0


@node
async def test_a_draining_edge_disconnects_what_passes_through_it_at_the_same_pace(
    make_server: MakeServer, redis_server: RedisServer, stock_clients: StockClients
) -> None:
    async with scattered(make_server, redis_server, 2, drain_rate=10) as ((owner, edge), scatter):
        upgrade_elsewhere(scatter, owner, edge)
        clients = []
        for number in range(12):
            session = await owner.session(f"u{number}")
            clients.append(await stock_clients.open(scatter.url, session, transports=list(BOTH), **FAST))
        for client in clients:
            await client.wait_connect()
            await client.wait_upgrade()
        scatter.choose = None
        scatter.urls = [owner.url]
        assert edge.app.get_stats()["drain"]["remaining"] == 0
        started = time.monotonic()
        edge.app.components.drain.start()
        assert edge.app.get_stats()["drain"]["remaining"] == 12
        for client in clients:
            await client.wait_disconnect()
        assert time.monotonic() - started > 0.7, "12 at 10 a second"
        for client in clients:
            await client.wait_connect()
        assert metric(edge, "connections_closed_total", reason="drain") == 12
        await eventually(lambda: metric(edge, "relayed_websockets") == 0)
        await eventually(lambda: owner.app.get_total_connection_count() == 12)


@node
async def test_a_server_stops_with_websockets_that_pass_through(
    make_server: MakeServer,
    redis_server: RedisServer,
    stock_clients: StockClients,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with scattered(make_server, redis_server, 2, shutdown_timeout=30) as ((owner, edge), scatter):
        upgrade_elsewhere(scatter, owner, edge)
        client = await stock_clients.connect(scatter.url, await owner.session("u"), transports=list(BOTH), **FAST)
        await client.wait_upgrade()
        scatter.choose = lambda head: owner.url
        started = time.monotonic()
        await edge.stop()
        assert time.monotonic() - started < 20, "uvicorn does not wait for what is over"
        told = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
        # a machine that was held up is no matter of the relay
        assert [one for one in told if "Redis does not answer" not in one] == []
        await client.wait_disconnect()
        await client.wait_connect()
        await eventually(lambda: owner.app.get_total_connection_count() == 1)


# -- Redis away


def passed_on(*servers: RunningServer) -> float:
    return sum(forwarded(one).get("answered", 0) for one in servers)


@node
async def test_clients_stay_while_redis_is_away(
    make_server: MakeServer, own_redis: RedisServer, stock_clients: StockClients
) -> None:
    settings = {"session_store": "memory", "auth_required": False}
    async with scattered(make_server, own_redis, 2, **settings) as ((owner, other), scatter):
        clients = [await stock_clients.connect(scatter.url, transports=["polling"]) for _ in range(4)]
        await own_redis.stop()
        before = passed_on(owner, other)
        for _ in range(5):
            for client in clients:
                assert (await client.call("echo", 1, timeout=60))[0] is not None
        await own_redis.start()
        for client in clients:
            assert (await client.call("echo", 1, timeout=60))[0] is not None
            assert client.reconnect_attempts == 0
        assert passed_on(owner, other) > before + 5


# -- secrets


async def test_no_sid_and_no_key_in_the_log(redis_server: RedisServer) -> None:
    variables = {"REDIS_URL": redis_server.url, "TRANSPORTS": "polling,websocket", "AUTH_REQUIRED": "false"}
    variables["LOG_LEVEL"] = "debug"
    async with (
        serving(**variables) as owner,
        serving(**variables) as edge,
        httpx.AsyncClient(trust_env=False, timeout=30) as http,
    ):
        opened = await http.get(f"{owner.url}/socket.io/?EIO=4&transport=polling")
        sid = json.loads(opened.text[1:])["sid"]
        path = f"/socket.io/?EIO=4&transport=polling&sid={sid}"
        assert (await http.post(edge.url + path, content=b"40")).text == "ok"
        assert (await http.get(edge.url + path)).text.startswith("40{")
        url = edge.url.replace("http", "ws") + path.replace("polling", "websocket")
        async with connect(url, proxy=None) as socket_:
            await socket_.send("2probe")
            assert await socket_.recv() == "3probe"
        owner.send(signal.SIGKILL)
        await owner.ended()
        assert (await http.get(edge.url + path)).status_code == 502
        edge.send(signal.SIGTERM)
        assert await edge.ended() == 0
        text = "\n".join([*owner.err, *edge.err, *owner.out, *edge.out])
        assert "request not relayed to the server that owns its connection" in text
        for secret in (sid, sid[:20], sid[20:32], sid[32:]):
            assert secret not in text
