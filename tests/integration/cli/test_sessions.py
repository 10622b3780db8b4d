"""Where a command finds the sessions: in a store, or in a server's memory."""

from __future__ import annotations

import json
import signal
import time

import pytest

from integration.cli.commands import assert_clean
from kit.clients.node import StockClients
from kit.servers.mongo_server import MongoDatabase
from kit.servers.process import serving, tradecast
from kit.servers.redis_server import RedisServer
from protocol.contract import FAST


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
