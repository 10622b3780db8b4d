"""A client that says `recovery: false`, as Dart's and python-socketio's must: its handlers get what was emitted."""

from __future__ import annotations

from typing import Any

import pytest

from kit.clients.node import StockClient, StockClients
from kit.servers.in_process import RunningServer
from tradecast.server import WebSocketServer

pytestmark = pytest.mark.node


async def emit_everything(app: WebSocketServer, sid: str) -> None:
    await app.emit_portfolio_update("u1", {"n": 1})
    await app.emit_trade_executed("u1", {"n": 1})
    await app.emit_trade_failed("u1", {"n": 1})
    await app.emit_position_closed("u1", {"n": 1})
    await app.emit_notification("u1", {"n": 1})
    await app.emit_watchlist_quote("AAPL", {"n": 1})
    await app.emit_market_status("open")
    await app.emit_to_room("user:u1", "object", {"n": 1})
    await app.emit_to_room("user:u1", "text", "text")
    await app.emit("bytes", b"\x00", to="user:u1")
    await app.emit("volatile", "text", to="user:u1", volatile=True)
    await app.emit("to one", {"n": 1}, to=sid)
    await app.broadcast("last", {"n": 1})


async def connected(clients: StockClients, server: RunningServer, **auth: Any) -> StockClient:
    session = {**await server.session("u1", tier="premium"), **auth}
    client = await clients.connect(server.url, session, transports=["websocket"])
    for topic, payload in (("portfolio", {}), ("trades", {}), ("watchlist", {"symbol": "AAPL"})):
        await client.call(f"subscribe:{topic}", payload)
    return client


EVENTS = (
    *("portfolio:update", "trade:executed", "trade:failed", "position:closed", "notification", "watchlist:quote"),
    *("market:status", "object", "text", "bytes", "volatile", "to one", "last"),
)


async def test_each_event_has_the_arguments_that_were_emitted(
    server: RunningServer, stock_clients: StockClients
) -> None:
    plain = await connected(stock_clients, server, recovery=False)
    usual = await connected(stock_clients, server)
    for client in (plain, usual):
        await emit_everything(server.app, str(client.sid))
        await client.wait_for("last")
    for name in EVENTS:
        assert [len(args) for args in plain.events(name)[:1]] == [1], name
    assert [len(args) for args in usual.events("notification")[:1]] == [2]
    await plain.drop()
    await plain.wait_disconnect()
    await plain.wait_connect()
    assert not plain.recovered
