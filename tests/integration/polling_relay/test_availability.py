"""`io(url)` without options against servers with Redis, and who has to wait with polling for whom."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import signal
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import uvicorn

from kit.clients.node import StockClient, StockClients
from kit.network.forwarder import Forwarder
from kit.network.ports import free_port
from kit.network.scatter import Scatter
from kit.servers.fleet import BOTH, known_to, metric
from kit.servers.in_process import API_TOKEN, MakeServer, settings_for_tests
from kit.servers.process import serving, tradecast
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.cluster_rpc.cluster import NoRelay
from tradecast.polling_relay import announcement as announcement_module
from tradecast.polling_relay import availability as module
from tradecast.server import WebSocketServer

pytestmark = pytest.mark.redis
node = pytest.mark.node
HANDSHAKE = "/socket.io/?EIO=4&transport=polling"
FAST: dict[str, Any] = {"reconnectionDelay": 50, "reconnectionDelayMax": 300}


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        yield client


async def offers(http: httpx.AsyncClient, url: str) -> bool:
    """Whether a server takes a client that begins with polling."""
    answer = await http.get(url + HANDSHAKE)
    if answer.status_code == 200:
        return True
    assert (answer.status_code, answer.json()["code"]) == (400, 0), answer.text
    assert "until all servers pass requests on" in answer.json()["message"]
    return False


async def reach(http: httpx.AsyncClient, url: str, expected: bool) -> None:
    """Until a server offers polling, or does not."""

    async def there() -> bool:
        return await offers(http, url) is expected

    await eventually(there)


def numbers(client: StockClient) -> list[int]:
    return [args[0]["notification"]["n"] for args in client.events("notification")]


# -- real processes, and stock clients as their first page of documentation has them


@node
@pytest.mark.parametrize("balanced", [Scatter, Forwarder], ids=["by request", "by connection"])
async def test_a_client_without_options_upgrades_and_loses_nothing_when_a_server_is_killed(
    redis_server: RedisServer, stock_clients: StockClients, http: httpx.AsyncClient, balanced: Any
) -> None:
    variables = {"REDIS_URL": redis_server.url, "API_TOKEN": API_TOKEN}
    async with (
        serving(**variables) as one,
        serving(**variables) as other,
        balanced(one.url, other.url) as balancer,
    ):
        servers = {server.url: server for server in (one, other)}
        for server in servers.values():
            await server.log("polling is offered")
        made = await tradecast("session", "create", "u1", REDIS_URL=redis_server.url)
        auth = {key: json.loads(made.out)[key] for key in ("sessionID", "userId")}
        clients = [await stock_clients.connect(balancer.url, auth) for _ in range(6)]
        for client in clients:
            await client.wait_upgrade()
        sent = itertools.count()
        last = -1

        async def emit(count: int) -> None:
            nonlocal last
            for _ in range(count):
                last = next(sent)
                body = {"event": "notification", "userId": "u1", "notification": {"n": last}}
                headers = {"authorization": f"Bearer {API_TOKEN}"}
                answer = await http.post(f"{next(iter(servers))}/api/emit", json=body, headers=headers)
                assert answer.status_code == 202, answer.text

        await emit(5)
        victim = servers.pop(one.url)
        balancer.urls = [other.url]
        victim.send(signal.SIGKILL)
        await emit(20)
        for client in clients:
            await client.wait_for("notification", lambda args: args[0]["notification"]["n"] == last)
            assert numbers(client) == list(range(last + 1)), "nothing missed, nothing twice"
        assert any(client.recovered for client in clients), "some were on the server that was killed"
        for client in clients:
            state = await client.state()
            assert state["connected"]
        await eventually(lambda: on_websocket(clients))


async def on_websocket(clients: list[StockClient]) -> bool:
    return {(await client.state())["transport"] for client in clients} == {"websocket"}


@node
async def test_one_server_offers_it_at_once(redis_server: RedisServer, stock_clients: StockClients) -> None:
    async with serving(REDIS_URL=redis_server.url, AUTH_REQUIRED="false") as server:
        client = await stock_clients.connect(server.url)
        await client.wait_upgrade()
        assert client.reconnect_attempts == 0


async def test_two_servers_on_one_machine_need_no_setting_for_the_internal_port(
    redis_server: RedisServer, http: httpx.AsyncClient
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        code = f"""
import sys
from tradecast.config.settings import Settings
Settings.model_fields["internal_port"].default = {number}
Settings.model_rebuild(force=True)
from tradecast.cli import cli
cli()
"""
        variables = {"REDIS_URL": redis_server.url, "INTERNAL_PORT": ""}
        async with serving(program=("-c", code), **variables) as server:
            told = await server.log("a port is taken: another one is used")
            assert (told["of"], told["taken"]) == ("internal", number)
            assert server.internal_url.endswith(f":{told['port']}")
            await reach(http, server.url, True)
        asked = await tradecast(
            "serve", REDIS_URL=redis_server.url, PORT="0", ADMIN_PORT="0", INTERNAL_PORT=str(number)
        )
        assert asked.code != 0
        assert f"{number} (internal port)" in asked.err, "one that was asked for is not left for another"


# -- fleets of which not all pass requests on


@node
async def test_polling_waits_for_a_server_that_announces_no_port(
    make_server: MakeServer,
    redis_server: RedisServer,
    stock_clients: StockClients,
    http: httpx.AsyncClient,
    caplog: pytest.LogCaptureFixture,
) -> None:
    old = await make_server(redis_url=redis_server.url, transports=("websocket",), auth_required=False)
    new = await make_server(redis_url=redis_server.url, auth_required=False)
    await reach(http, new.url, False)
    assert new.app.get_stats()["server"]["transports"] == ["websocket"]
    assert metric(new, "transports_refused_total", reason="polling_waits") >= 1

    waiting = await stock_clients.open(new.url, **FAST)
    assert not (await waiting.wait_connect_error()).data
    straight = await stock_clients.connect(new.url, transports=["websocket"])
    for _ in range(3):
        await waiting.wait_reconnect_attempt()
    assert not waiting.connected
    lines = [record for record in caplog.records if "polling is not offered yet" in record.getMessage()]
    assert [record.levelname for record in lines] == ["WARNING"], "once a minute"

    await old.stop()
    await waiting.wait_connect()
    await waiting.wait_upgrade()
    assert straight.connected
    assert new.app.get_stats()["server"]["transports"] == ["websocket", "polling"]
    await eventually(lambda: any(record.getMessage().startswith("polling is offered") for record in caplog.records))


async def test_it_waits_for_one_that_was_killed_until_its_lease_has_ended(
    make_server: MakeServer, redis_server: RedisServer, http: httpx.AsyncClient
) -> None:
    new = await make_server(redis_url=redis_server.url)
    assert await offers(http, new.url)
    async with serving(REDIS_URL=redis_server.url, TRANSPORTS="websocket") as old:
        await reach(http, new.url, False)
        old.send(signal.SIGKILL)
        await old.ended()
        await reach(http, new.url, True)


async def test_one_of_an_older_version_that_has_the_port_is_not_waited_for(
    make_server: MakeServer, redis_server: RedisServer, http: httpx.AsyncClient
) -> None:
    old = await make_server(redis_url=redis_server.url, transports=BOTH)
    old.app.cluster._relay = NoRelay()  # it did not tell
    new = await make_server(redis_url=redis_server.url)
    await eventually(lambda: known_to(new) == 1)
    for _ in range(20):
        assert await offers(http, new.url)
        await asyncio.sleep(0.1)  # through some of its beats
    assert new.app.cluster._servers.boots == [""]


async def test_what_was_typed_is_offered_whoever_else_is_there(
    make_server: MakeServer, redis_server: RedisServer, http: httpx.AsyncClient
) -> None:
    await make_server(redis_url=redis_server.url, transports=("websocket",))
    typed = await make_server(redis_url=redis_server.url, transports=BOTH)
    waits = await make_server(redis_url=redis_server.url)
    await reach(http, waits.url, False)
    assert await offers(http, typed.url)


async def test_a_session_that_polls_continues_when_polling_is_not_offered_any_more(
    make_server: MakeServer, redis_server: RedisServer, http: httpx.AsyncClient
) -> None:
    new = await make_server(redis_url=redis_server.url, auth_required=False)
    opened = await http.get(new.url + HANDSHAKE)
    sid = opened.text.split('"sid":"')[1].split('"')[0]
    await make_server(redis_url=redis_server.url, transports=("websocket",))
    await reach(http, new.url, False)
    answer = await http.post(f"{new.url}{HANDSHAKE}&sid={sid}", content="40")
    assert (answer.status_code, answer.text) == (200, "ok")
    assert (await http.get(f"{new.url}{HANDSHAKE}&sid={sid}")).text.startswith('40{"sid":"')


async def test_it_is_offered_on_while_redis_is_away(
    make_server: MakeServer, own_redis: RedisServer, http: httpx.AsyncClient
) -> None:
    servers = [await make_server(redis_url=own_redis.url) for _ in range(2)]
    await eventually(lambda: all(server.app.cluster.servers == 2 for server in servers))
    await own_redis.stop()
    for server in servers:
        assert await offers(http, server.url)


# -- servers that cannot serve the port


async def test_embedded_without_the_port_it_is_websocket_alone_and_the_log_says_why(
    make_server: MakeServer,
    redis_server: RedisServer,
    http: httpx.AsyncClient,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "STARTING", 0.2)
    monkeypatch.setattr(announcement_module, "STARTING", 0.2)
    beside = await make_server(redis_url=redis_server.url)
    async with embedded(redis_server) as (app, url):
        assert not await offers(http, url)
        await eventually(lambda: "not_served" in reasons(caplog))
        await reach(http, beside.url, False)
        await app.internal_listening(1)  # as a program does that serves `internal_app` itself
        await reach(http, url, True)
        await reach(http, beside.url, True)


async def test_a_redis_that_has_not_answered_yet(make_server: MakeServer, http: httpx.AsyncClient) -> None:
    server = await make_server(redis_url=f"redis://127.0.0.1:{free_port()}/0", redis_timeout=0.2)
    assert not await offers(http, server.url)
    assert server.app.components.polling is not None
    assert server.app.components.polling.find_reason() == "redis_away"


def reasons(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Why polling is not offered, as far as it was logged."""
    fields = [getattr(record, "tradecast_fields", {}) for record in caplog.records]
    return [one["reason"] for one in fields if "reason" in one]


@contextlib.asynccontextmanager
async def embedded(redis: RedisServer) -> AsyncIterator[tuple[WebSocketServer, str]]:
    """A server under an ASGI server of another program."""
    app = WebSocketServer(settings_for_tests(redis_url=redis.url))
    await app.initialize()
    config = uvicorn.Config(app.public_app(), host="127.0.0.1", port=0, ws="none", lifespan="off", log_config=None)
    outer = uvicorn.Server(config)
    running = asyncio.create_task(outer.serve())
    try:
        await eventually(lambda: outer.started)
        yield app, f"http://127.0.0.1:{outer.servers[0].sockets[0].getsockname()[1]}"
    finally:
        outer.should_exit = True
        await running
        await app.shutdown()
