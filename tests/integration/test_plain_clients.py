"""A client that says `recovery: false`, as Dart's and python-socketio's must: its handlers get what was emitted."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from kit.clients.interface import Clients
from kit.clients.node import StockClient, StockClients
from kit.clients.python import PythonClients
from kit.servers.in_process import MakeServer, RunningServer
from tradecast.server import WebSocketServer

pytestmark = pytest.mark.node


async def emit_everything(app: WebSocketServer, sid: str, number: int = 1) -> None:
    await app.emit_portfolio_update("u1", {"n": 1})
    await app.emit_trade_executed("u1", {"n": 1})
    await app.emit_trade_failed("u1", {"n": 1})
    await app.emit_position_closed("u1", {"n": 1})
    await app.emit_notification("u1", {"n": 1})
    await app.emit_watchlist_quote("AAPL", {"n": number})
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


# All that is done with events on their way to clients, and may be switched on.
EVERYTHING_ON = {"throttle": "*=5", "stale_after": "*=60", "websocket_compression": True}


async def test_with_everything_on_there_are_no_other_events_or_arguments(
    make_server: MakeServer, stock_clients: StockClients, python_clients: PythonClients
) -> None:
    server = await make_server(**EVERYTHING_ON)
    session = {**await server.session("u1", tier="premium"), "recovery": False}
    made: list[Clients] = [stock_clients, python_clients]
    # A subscription begins with the quote of before: each client waits for its own last one.
    for last, (clients, transports) in enumerate(itertools.product(made, (["websocket"], ["polling"])), 1_000):
        client = await clients.connect(server.url, session, transports=transports)
        for topic, payload in (("portfolio", {}), ("trades", {}), ("watchlist", {"symbol": "AAPL"})):
            await client.call(f"subscribe:{topic}", payload)
        book = [[price, 100] for price in range(1_000)]
        for number in range(20):
            await server.app.emit_watchlist_quote("AAPL", {"n": number, "book": book})
        await emit_everything(server.app, "nobody", last)
        await client.wait_for("last")
        await client.wait_for("watchlist:quote", lambda args: args[0]["quote"] == {"n": last})  # noqa: B023
        await client.wait_for("market:status")  # throttled by itself: it may come after all others
        counts = {name: [len(args) for args in client.events(name)] for name in set(client.event_names())}
        confirmations = {f"subscribed:{topic}" for topic in ("portfolio", "trades", "watchlist")}
        # A volatile event is dropped for a client that is behind; one that polls is, after so many large quotes.
        assert set(counts) - confirmations - {"volatile"} == {*EVENTS} - {"to one", "volatile"}
        assert "volatile" in counts or transports == ["polling"]
        assert {count for some in counts.values() for count in some} == {1}
        assert counts["trade:executed"] == counts["portfolio:update"] == counts["notification"] == [1]
        numbers = [args[0]["quote"]["n"] for args in client.events("watchlist:quote")]
        assert numbers[-1] == last
