"""`tradecast emit` to a server, and through Redis."""

from __future__ import annotations

import json

import pytest

from integration.cli.commands import TOKEN, make_session
from kit.clients.node import StockClients
from kit.network.ports import free_port
from kit.servers.in_process import MakeServer
from kit.servers.process import Done, ServeProcess, tradecast
from kit.servers.redis_server import RedisServer
from protocol.contract import FAST


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
