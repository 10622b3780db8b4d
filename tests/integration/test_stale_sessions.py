"""A connection that was let in on an older copy of its session gets the newer one."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo import MongoClient

from kit.clients.node import StockClients
from kit.servers.in_process import MakeServer, RunningServer
from kit.servers.mongo_server import MongoDatabase
from kit.waiting import eventually
from tradecast.sessions.models import Session


async def server_with_users(make_server: MakeServer, mongo: MongoDatabase) -> RunningServer:
    return await make_server(
        mongodb_uri=mongo.uri, mongodb_database=mongo.database, users_collection="users", mongodb_timeout=10
    )


async def test_admin_flag_lost_while_a_second_connection_came_in(
    server: RunningServer, stock_clients: StockClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = server.app
    session = await server.session("u1", is_admin=True)
    first = await stock_clients.connect(server.url, session, transports=["websocket"])
    authenticate = app.sessions.authenticate
    stale: Session = await authenticate(session["sessionID"], "u1")

    async def old(raw_id: object, user_id: object) -> Session:
        return stale

    (stored,) = (await app.sessions.store.load([session["sessionID"]])).values()
    assert isinstance(stored.data, dict)
    stored.data["passport"]["user"]["isAdmin"] = False
    await app.sessions.store.save(session["sessionID"], stored.data, stale.expires_at)
    await eventually(lambda: all(one.user and not one.user.is_admin for one in app.registry))
    monkeypatch.setattr(app.sessions, "authenticate", old)
    second = await stock_clients.connect(server.url, session, transports=["websocket"])
    await eventually(lambda: [one.user and one.user.is_admin for one in app.registry] == [False, False])
    (answer,) = await second.call("admin:broadcast", {"event": "x", "data": 1})
    assert answer["reason"] == "ADMIN_REQUIRED"
    await first.disconnect()


@pytest.mark.mongodb
async def test_demotion_in_the_users_collection_reaches_live_connections(
    make_server: MakeServer, mongo_server: MongoDatabase, stock_clients: StockClients
) -> None:
    server = await make_server(
        mongodb_uri=mongo_server.uri,
        mongodb_database=mongo_server.database,
        users_collection="users",
        mongodb_timeout=10,
    )
    mongo: MongoClient[dict[str, Any]] = MongoClient(mongo_server.uri)
    users = mongo[mongo_server.database]["users"]
    users.insert_one({"_id": "u1", "isAdmin": True, "subscriptionTier": "premium"})
    session = await server.session("u1")
    client = await stock_clients.connect(server.url, session, transports=["websocket"])
    (answer,) = await client.call("admin:broadcast", {"event": "x", "data": 1})
    assert answer["success"]
    users.update_one({"_id": "u1"}, {"$set": {"isAdmin": False}})
    await eventually(lambda: all(one.user and not one.user.is_admin for one in server.app.registry))
    second = await stock_clients.connect(server.url, session, transports=["websocket"])
    await eventually(lambda: [one.user and one.user.is_admin for one in server.app.registry] == [False, False])
    (answer,) = await second.call("admin:broadcast", {"event": "x", "data": 1})
    assert answer["reason"] == "ADMIN_REQUIRED"
    users.delete_one({"_id": "u1"})
    await client.wait_disconnect()
    mongo.close()


@pytest.mark.mongodb
async def test_large_integers_of_node_are_ids(
    make_server: MakeServer, mongo_server: MongoDatabase, stock_clients: StockClients
) -> None:
    server = await make_server(
        mongodb_uri=mongo_server.uri,
        mongodb_database=mongo_server.database,
        users_collection="users",
        mongodb_timeout=10,
    )
    mongo: MongoClient[dict[str, Any]] = MongoClient(mongo_server.uri)
    mongo[mongo_server.database]["users"].insert_one({"_id": 3_000_000_000.0, "subscriptionTier": "enterprise"})
    mongo.close()
    client = await stock_clients.connect(server.url, await server.session("3000000000"), transports=["websocket"])
    (answer,) = await client.call("subscribe:watchlist", {"symbol": "AAPL"})
    assert answer["success"]
