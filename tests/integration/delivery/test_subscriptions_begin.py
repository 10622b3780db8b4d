"""What a standard client gets at once: the state of what it subscribes to, and what counted before in the answer."""

from __future__ import annotations

from typing import Any

import pytest

from kit.clients.node import StockClient, StockClients
from kit.servers.in_process import MakeServer, RunningServer
from kit.servers.redis_server import RedisServer

pytestmark = [pytest.mark.redis, pytest.mark.node]
SYMBOLS = [f"S{number}" for number in range(5)]


@pytest.fixture(params=["single", "pubsub"])
async def both(
    request: pytest.FixtureRequest, make_server: MakeServer, own_redis: RedisServer
) -> tuple[RunningServer, RunningServer]:
    """Where events are emitted, and a server that has never seen the rooms (in `single` the same)."""
    if request.param == "single":
        server = await make_server()
        return server, server
    one, other = [await make_server(redis_url=own_redis.url) for _ in range(2)]
    for server in (one, other):
        await server.app.components.hub.broker.wait_until_subscribed()
    return one, other


async def call(client: StockClient, event: str, data: Any = None) -> Any:
    (answer,) = await client.call(event, *(() if data is None else (data,)))
    return answer


async def test_a_client_that_comes_later_begins_with_what_there_is(
    both: tuple[RunningServer, RunningServer], stock_clients: StockClients
) -> None:
    one, other = both
    app = one.app
    await app.emit_market_status("closed")
    await app.emit_market_status("open")
    for number, symbol in enumerate(SYMBOLS):
        await app.emit_watchlist_quote(symbol, {"price": 0})
        await app.emit_watchlist_quote(symbol, {"price": number})
    for number in range(25):
        await app.emit_trade_executed("u1", {"n": number})
        await app.emit_notification("u1", {"n": number})
        await app.emit_portfolio_update("u1", {"n": number})
        await app.emit_trade_executed("u2", {"n": -1})
    client = await stock_clients.connect(other.url, await other.session("u1"), transports=["websocket"])
    await client.wait_for("market:status", lambda args: args[0]["status"] == "open")
    answer = await call(client, "subscribe:trades")
    assert [one["data"]["trade"]["n"] for one in answer["recent"]] == list(range(5, 25))
    assert {one["event"] for one in answer["recent"]} == {"trade:executed"}
    assert client.events("subscribed:trades")[0][0] == answer
    assert len((await call(client, "subscribe:portfolio"))["recent"]) == 20
    assert "recent" not in await call(client, "subscribe:portfolio")
    notes = await call(client, "notifications:recent")
    assert (notes["success"], notes["userId"]) == (True, "u1")
    assert [one["data"]["notification"]["n"] for one in notes["recent"]] == list(range(5, 25))
    assert client.events("notifications:recent")[0][0] == notes
    answer = await call(client, "subscribe:watchlist", {"symbols": [*SYMBOLS, " "]})
    assert (answer["symbols"], len(answer["failed"])) == (SYMBOLS, 1)
    # They come before the answer.
    quotes = {args[0]["symbol"]: args[0]["quote"]["price"] for args in client.events("watchlist:quote")}
    assert quotes == {symbol: number for number, symbol in enumerate(SYMBOLS)}
    assert len(client.events("watchlist:quote")) == len(SYMBOLS)
    await app.emit_trade_executed("u1", {"n": 25})
    await client.wait_for("trade:executed")
    await app.emit_notification("u1", {"n": 25})
    await client.wait_for("notification")
    for event in ("trade:executed", "notification"):
        assert len(client.events(event)) == 1  # nothing of before came as an event
    assert client.events("portfolio:update") == []
    assert len(client.events("market:status")) == 1


async def test_nobody_gets_what_is_not_theirs(
    both: tuple[RunningServer, RunningServer], stock_clients: StockClients
) -> None:
    one, other = both
    await one.app.emit_watchlist_quote("S0", {"price": 1})
    await one.app.emit_notification("u1", {"n": 1})
    client = await stock_clients.connect(other.url, await other.session("u2", tier="free"), transports=["websocket"])
    assert (await call(client, "subscribe:watchlist", {"symbols": ["S0"]}))["reason"] == "TIER_REQUIRED"
    assert (await call(client, "notifications:recent", {"userId": "u1"}))["reason"] == "USER_MISMATCH"
    assert (await call(client, "notifications:recent"))["recent"] == []
    assert client.events("watchlist:quote") == []
