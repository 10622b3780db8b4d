"""`tradecast serve` as a process of its own: its start, its signals, its end."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time

import httpx
import pytest

from integration.cli.commands import ADMIN, TOKEN, assert_clean, make_session
from kit.clients.interface import Refused
from kit.clients.node import StockClient, StockClients
from kit.network.forwarder import Forwarder
from kit.servers.process import ServeProcess, serving, start, tradecast
from kit.servers.redis_server import RedisServer
from protocol.contract import FAST


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"PORT": "abc", "LOG_LEVEL": "loud"}, ["PORT", "LOG_LEVEL"]),
        ({"REDIS_URL": "http://:planted@127.0.0.1"}, ["REDIS_URL"]),
        ({"REDIS_URL": "redis://:planted@127.0.0.1:port"}, ["REDIS_URL"]),
        ({"MONGODB_URI": "mongodb://u:planted@"}, ["MONGODB_URI"]),
        ({"SESSION_STORE": "redis"}, ["SESSION_STORE"]),
        ({"SSL_CERTFILE": __file__, "SSL_KEYFILE": __file__}, ["SSL_CERTFILE", "SSL_KEYFILE"]),
    ],
)
async def test_settings_that_are_invalid(variables: dict[str, str], named: list[str]) -> None:
    done = await tradecast("serve", **{"PORT": "0", "ADMIN_PORT": "0", **variables})
    assert done.code == 2, done.err
    assert "Invalid settings" in done.err
    assert all(name in done.err for name in named)
    assert "Traceback" not in done.err
    assert "planted" not in done.out + done.err


MISSPELT = {"API_TOKENS": "planted", "REDIS_SERVICE_HOST": "10.0.0.1", "REDIS_PORT": "tcp://10.0.0.1:6379"}


async def test_misspelt_settings_are_warned_of() -> None:
    async with serving(**MISSPELT) as running:
        line = await running.log("this variable is no setting, and is ignored")
        assert (line["level"], line["variable"], line["meant"]) == ("warning", "API_TOKENS", "API_TOKEN")
        await running.log("listening")
        assert sum("is no setting" in text for text in running.err) == 1
        assert not any("planted" in text for text in running.err)


async def test_misspelt_settings_stop_a_start_that_is_strict() -> None:
    done = await tradecast("serve", STRICT_SETTINGS="true", PORT="0", ADMIN_PORT="0", **MISSPELT)
    assert done.code == 2
    assert "API_TOKENS: there is no such setting. Is it API_TOKEN?" in done.err
    assert "REDIS_" not in done.err
    assert "planted" not in done.out + done.err


@pytest.mark.parametrize("which", ["PORT", "ADMIN_PORT"])
async def test_port_in_use(which: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        variables = {"HOST": "127.0.0.1", "ADMIN_HOST": "127.0.0.1", "PORT": "0", "ADMIN_PORT": "0", which: port}
        done = await tradecast("serve", **variables)
    assert done.code == 1
    assert f"Error: cannot listen on 127.0.0.1:{port} (" in done.err
    assert "Address already in use" in done.err
    assert "Traceback" not in done.err


async def test_server_answers_and_warns_of_what_is_missing(server: ServeProcess) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        for url in (server.url, server.admin_url):
            assert (await http.get(f"{url}/health")).json()["status"] == "up"
    assert (await server.log("no REDIS_URL: running in single-server mode"))["level"] == "warning"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_stops_it_cleanly(
    server: ServeProcess, stock_clients: StockClients, number: signal.Signals
) -> None:
    """Clients are sent away so that they come back by themselves, where another server would take them."""
    made = await make_session(server)
    clients: list[StockClient] = [
        await stock_clients.connect(server.url, made, transports, **FAST)
        for transports in (["websocket"], ["polling"], ["polling", "websocket"])
    ]
    await clients[2].wait_upgrade()
    started = time.monotonic()
    server.send(number)
    code = await server.ended(within=30)
    assert code == 0
    assert time.monotonic() - started < 8, "the settings give it 10 s, and nobody holds it up"
    assert_clean(server)
    for client in clients:
        assert await client.wait_disconnect() in ("transport close", "transport error")
        assert not client.final
        await client.wait_reconnect_attempt()


async def test_clients_find_the_server_that_takes_its_place(stock_clients: StockClients) -> None:
    """A server that has the same sessions would need a store; here the refusal proves the way back."""
    async with Forwarder() as service:
        async with serving(ADMIN_TOKEN=ADMIN) as first:
            service.urls = [first.url]
            client = await stock_clients.connect(service.url, await make_session(first), ["websocket"], **FAST)
            first.send(signal.SIGTERM)
            assert await first.ended() == 0
        await client.wait_disconnect()
        async with serving(ADMIN_TOKEN=ADMIN) as second:
            service.urls = [second.url]
            with pytest.raises(Refused) as refused:
                await client.wait_connect(timeout=60)
            assert refused.value.code == "SESSION_NOT_FOUND"
            assert client.final


@pytest.mark.redis
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_stops_a_server_whose_redis_hangs(
    own_redis: RedisServer, stock_clients: StockClients, number: signal.Signals
) -> None:
    async with serving(REDIS_URL=own_redis.url) as server:
        done = await tradecast("session", "create", "u1", REDIS_URL=own_redis.url)
        client = await stock_clients.connect(server.url, json.loads(done.out), ["websocket"], **FAST)
        await own_redis.pause(120)
        server.send(number)
        assert await server.ended(within=40) == 0
        await client.wait_disconnect()
        assert not client.final
        assert "Traceback" not in "\n".join(server.err)
    own_redis.resume()


async def test_second_signal_waits_for_nobody(server: ServeProcess) -> None:
    """A request that never ends would be given SHUTDOWN_TIMEOUT seconds."""
    port = int(server.url.rpartition(":")[2])
    async with serving(API_TOKEN=TOKEN, SHUTDOWN_TIMEOUT="600") as slow:
        port = int(slow.url.rpartition(":")[2])
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST /api/emit HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: 100\r\n\r\n"
        writer.write(head.encode())
        await writer.drain()
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            # accepted after it, so that one is being served
            await http.get(f"{slow.url}/health")
        slow.send(signal.SIGINT)
        await slow.log("stopping")
        slow.send(signal.SIGINT)
        await slow.ended(within=20)
        assert "Traceback" not in "\n".join(slow.err)
        writer.transport.abort()


async def test_signal_while_it_starts_leaves_no_traceback() -> None:
    for delay in (0.0, 0.3, 0.6):
        async with start("serve") as starting:
            await asyncio.sleep(delay)  # anywhere in its start: there is no event to wait for
            starting.send(signal.SIGTERM)
            assert await starting.ended() in (0, -signal.SIGTERM)
            assert "Traceback" not in "\n".join(starting.err)
