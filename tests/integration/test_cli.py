"""`tradecast` as processes of their own: a server's life, and the commands that speak to it or to its stores."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from kit.clients.interface import Refused
from kit.clients.node import StockClient, StockClients
from kit.network.forwarder import forwarding
from kit.servers.in_process import MakeServer
from kit.servers.mongo_server import MongoDatabase
from kit.servers.process import Done, ServeProcess, serving, start, tradecast
from kit.servers.redis_server import RedisServer, free_port
from protocol.contract import FAST, assert_alive

TOKEN = "planted-api-token"
ADMIN = "planted-admin-token"


@pytest.fixture
async def server() -> AsyncIterator[ServeProcess]:
    """A server with sessions in memory."""
    async with serving(API_TOKEN=f"{TOKEN},second", ADMIN_TOKEN=ADMIN) as running:
        yield running


async def session(command: str, server: ServeProcess, *arguments: str, stdin: str = "", token: str = ADMIN) -> Done:
    return await tradecast(
        "session", command, *arguments, "--admin-url", server.admin_url, ADMIN_TOKEN=token, stdin=stdin
    )


async def make_session(server: ServeProcess, user_id: str = "u1", *arguments: str) -> dict[str, Any]:
    done = await session("create", server, user_id, *arguments)
    assert done.code == 0, done.err
    return dict(json.loads(done.out))


def assert_clean(running: ServeProcess) -> None:
    """Nothing on standard error but log lines, and none of an error."""
    text = "\n".join(running.err)
    assert "Traceback" not in text
    assert "Exception" not in text
    levels = [json.loads(line)["level"] for line in running.err]
    assert "error" not in levels, text
    assert running.out == []


# -- serve


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
async def test_settings_that_make_no_sense(variables: dict[str, str], named: list[str]) -> None:
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
    async with forwarding() as service:
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
        async with httpx.AsyncClient(trust_env=False) as http:  # accepted after it, so that one is being served
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


# -- emit


async def emit(server: ServeProcess, *arguments: str, stdin: str = "", token: str = TOKEN) -> Done:
    return await tradecast("emit", *arguments, "--url", server.url, API_TOKEN=token, stdin=stdin)


async def test_emit_reaches_clients(server: ServeProcess, stock_clients: StockClients) -> None:
    made = await make_session(server, "u1", "--tier", "premium")
    client = await stock_clients.connect(server.url, made, ["websocket"], **FAST)
    for event in ("subscribe:portfolio", "subscribe:trades"):
        await client.call(event)
    await client.call("subscribe:watchlist", {"symbol": "AAPL"})
    for event, field, options in (
        ("portfolio:update", "portfolio", ["--user", "u1"]),
        ("trade:executed", "trade", ["--user", "u1"]),
        ("trade:failed", "failure", ["--user", "u1"]),
        ("position:closed", "position", ["--user", "u1"]),
        ("notification", "notification", ["--user", "u1"]),
        ("watchlist:quote", "quote", ["--symbol", "AAPL"]),
        ("market:status", "status", []),
    ):
        done = await emit(server, event, json.dumps({"for": event}), *options)
        assert (done.code, done.out, done.err) == (0, "accepted: 1\n", "")
        assert (await client.wait_for(event))[0][field] == {"for": event}


@pytest.mark.redis
async def test_emit_through_redis_needs_no_server_and_no_token(
    redis_server: RedisServer, make_server: MakeServer, stock_clients: StockClients
) -> None:
    server = await make_server(redis_url=redis_server.url)
    client = await stock_clients.connect(server.url, await server.session("u1"), ["websocket"], **FAST)
    done = await tradecast("emit", "notification", '{"n": 1}', "--user", "u1", REDIS_URL=redis_server.url)
    assert (done.code, done.out, done.err) == (0, "accepted: 1\n", "")
    assert (await client.wait_for("notification"))[0]["notification"] == {"n": 1}
    done = await tradecast("emit", "notification", "5", "--user", "u1", REDIS_URL=redis_server.url)
    assert done.code == 1
    assert "notification: Input should be a valid dictionary" in done.err
    away = f"redis://127.0.0.1:{free_port()}/0"
    done = await tradecast("emit", "market:status", '"open"', REDIS_URL=away, PUBLISH_TIMEOUT="0.5")
    assert done.code == 1
    assert "not sent: Redis did not answer in time" in done.err  # it was never there, so that is certain
    assert "Traceback" not in done.err


async def test_emit_reads_standard_input_and_takes_any_of_the_tokens(server: ServeProcess) -> None:
    done = await emit(server, "notification", "-", "--user", "u1", stdin='{"title": "é"}', token="second")
    assert (done.code, done.out) == (0, "accepted: 1\n")
    done = await emit(server, "market:status", '"open"', token=f" {TOKEN} ,second")
    assert done.code == 0


@pytest.mark.parametrize(
    ("arguments", "token", "code", "said"),
    [
        (["notification", "{", "--user", "u1"], TOKEN, 2, "is not JSON"),
        (["notification", "{}", "--user", "u1"], "", 2, "API_TOKEN"),
        (["notification", "{}", "--user", "u1"], "planted-wrong", 1, "UNAUTHORIZED"),
        (["notification", "5", "--user", "u1"], TOKEN, 1, "notification: Input should be a valid dictionary"),
        (["watchlist:quote", "{}", "--symbol", "no\tpe"], TOKEN, 1, "symbol: "),
    ],
)
async def test_bad_emit(server: ServeProcess, arguments: list[str], token: str, code: int, said: str) -> None:
    done = await emit(server, *arguments, token=token)
    assert done.code == code
    assert said in done.err
    assert "planted" not in done.out + done.err
    assert "Traceback" not in done.err


async def test_emit_to_what_is_no_tradecast_server() -> None:
    done = await tradecast("emit", "market:status", '"open"', "--url", "http://127.0.0.1:1", API_TOKEN=TOKEN)
    assert done.code == 1
    assert "cannot reach the server, http://127.0.0.1:1: " in done.err

    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n[]")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(other, "127.0.0.1", 0) as listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        done = await tradecast("emit", "market:status", '"open"', "--url", url, API_TOKEN=TOKEN)
    assert done.code == 1
    assert "not as a tradecast server" in done.err


# -- sessions


async def test_sessions_in_a_servers_memory(server: ServeProcess, stock_clients: StockClients) -> None:
    made = await make_session(server, "u1", "--tier", "premium", "--name", "Ann", "--email", "ann@example.com")
    assert made["userId"] == "u1"
    await make_session(server, "u2", "--admin")
    client = await stock_clients.connect(server.url, made, ["websocket"], **FAST)
    listed = await session("list", server)
    assert listed.code == 0
    assert [line.split()[1:4] for line in listed.out.splitlines()[1:]] == [
        ["u1", "premium", "no"],
        ["u2", "free", "yes"],
    ]
    assert made["sessionID"] not in listed.out
    assert "Ann" not in listed.out
    (one,) = json.loads((await session("list", server, "--user", "u1", "--json")).out)
    await assert_alive(client)
    revoked = await session("revoke", server, "--handle", one["handle"])
    assert (revoked.code, revoked.out) == (0, "revoked: 1\n")
    assert await client.wait_disconnect() == "io server disconnect"
    again = await session("revoke", server, "--stdin", stdin=made["sessionID"] + "\n")
    assert (again.code, again.out) == (1, "revoked: 0\n")
    assert "there is no such session" in again.err
    assert (await session("revoke", server, "--user", "u2")).out == "revoked: 1\n"


async def test_sessions_need_the_admin_token(server: ServeProcess) -> None:
    for command in (["create", "u1"], ["list"], ["revoke", "--user", "u1"]):
        for token in ("", "planted-wrong"):
            done = await session(command[0], server, *command[1:], token=token)
            assert done.code == 1
            assert "UNAUTHORIZED" in done.err
            assert "planted" not in done.err


async def test_sessions_of_a_server_that_is_away() -> None:
    done = await tradecast("session", "list", "--admin-url", "http://127.0.0.1:1")
    assert done.code == 1
    assert "cannot reach the server's admin port" in done.err


async def check_store(variables: dict[str, str], stock_clients: StockClients) -> None:
    """Made, listed and ended in a store, without a server, and a server that takes them and ends with them."""
    done = await tradecast("session", "create", "u1", "--tier", "enterprise", "--max-age", "600", **variables)
    assert done.code == 0, done.err
    assert done.err == ""
    made = json.loads(done.out)
    assert abs(made["expiresAt"] / 1000 - time.time() - 600) < 60
    (one,) = json.loads((await tradecast("session", "list", "--json", **variables)).out)
    assert (one["userId"], one["tier"]) == ("u1", "enterprise")
    assert made["sessionID"] not in json.dumps(one)
    async with serving(**variables) as server:
        client = await stock_clients.connect(server.url, made, ["websocket"], **FAST)
        done = await tradecast("session", "revoke", "--handle", one["handle"], **variables)
        assert (done.code, done.out) == (0, "revoked: 1\n")
        assert (await client.wait_for("error"))[0]["code"] == "SESSION_NOT_FOUND"
        assert await client.wait_disconnect() == "io server disconnect"
        server.send(signal.SIGTERM)
        assert await server.ended() == 0
        assert_clean(server)
    done = await tradecast("session", "list", **variables)
    assert done.out.splitlines()[1:] == []


@pytest.mark.redis
async def test_sessions_in_redis(redis_server: RedisServer, stock_clients: StockClients) -> None:
    await check_store({"REDIS_URL": redis_server.url}, stock_clients)


@pytest.mark.mongodb
async def test_sessions_in_mongodb(mongo_server: MongoDatabase, stock_clients: StockClients) -> None:
    await check_store({"MONGODB_URI": mongo_server.uri, "MONGODB_DATABASE": mongo_server.database}, stock_clients)


@pytest.mark.parametrize(
    "variables",
    [
        {"REDIS_URL": "redis://:planted@127.0.0.1:1", "REDIS_TIMEOUT": "0.2"},
        {"MONGODB_URI": "mongodb://u:planted@127.0.0.1:1/", "MONGODB_TIMEOUT": "0.2"},
    ],
    ids=["redis", "mongodb"],
)
async def test_sessions_of_a_store_that_is_away(variables: dict[str, str]) -> None:
    for command in (["create", "u1"], ["list"], ["revoke", "--user", "u1"]):
        done = await tradecast("session", *command, **variables)
        assert done.code == 1
        assert "does not answer" in done.err
        assert "Traceback" not in done.err
        assert "planted" not in done.out + done.err


# -- demo


async def test_demo_without_a_feed(stock_clients: StockClients) -> None:
    async with start("demo", "--no-feed", "--port", "0", "--admin-port", "0") as demo:
        url = (await demo.line(r"http://127\.0\.0\.1:\d+/"))[0]
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            page = await http.get(url)
            assert page.status_code == 200
            assert "text/html" in page.headers["content-type"]
        demo.send(signal.SIGINT)
        assert await demo.ended() == 0
        assert "Traceback" not in "\n".join(demo.err)


async def test_demo_stops_on_interrupt_while_it_feeds_clients() -> None:
    async with start("demo", "--port", "0", "--admin-port", "0", "--day-seconds", "2") as demo:
        url = (await demo.line(r"http://127\.0\.0\.1:\d+/"))[0]
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            assert (await http.get(url)).status_code == 200
        demo.send(signal.SIGINT)
        assert await demo.ended() == 0
        assert "Traceback" not in "\n".join(demo.err)


async def test_demo_names_what_is_not_installed() -> None:
    """Without the extra there is a sentence with the way to get it; `python -c` hides the package."""
    code = (
        "import sys; sys.modules['bokeh_sampledata'] = None; "
        "from tradecast.cli import cli; cli(['demo', '--port', '0', '--admin-port', '0'])"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        _, err = await process.communicate()
    assert process.returncode == 1
    assert b"pip install '.[demo]' in tradecast's folder" in err
    assert b"Traceback" not in err
