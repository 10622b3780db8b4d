"""Throttled quotes and stale symbols with real servers, a real Redis and standard clients."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from kit.clients.node import StockClient, StockClients
from kit.servers.fleet import metric
from kit.servers.in_process import MakeServer, RunningServer
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.config.settings import load_settings
from tradecast.publishing.publisher import Publisher

pytestmark = [pytest.mark.redis, pytest.mark.node]
RATE = 10


def prices(client: StockClient, symbol: str) -> list[int]:
    quotes = [args[0] for args in client.events("watchlist:quote")]
    return [quote["quote"]["price"] for quote in quotes if quote["symbol"] == symbol]


async def subscribe(clients: StockClients, server: RunningServer, user: str, *symbols: str) -> StockClient:
    client = await clients.connect(server.url, await server.session(user), transports=["websocket"])
    (answer,) = await client.call("subscribe:watchlist", {"symbols": list(symbols)})
    assert answer["symbols"] == list(symbols)
    return client


async def publish_for(publisher: Publisher, seconds: float) -> tuple[int, float, float]:
    """1,000 quotes a second of each symbol; the last price, how many seconds it took, and in how many it ran."""
    start = time.monotonic()
    price = 0
    tenths = set()  # a busy machine may leave some out
    while (now := time.monotonic()) < start + seconds:
        tenths.add(int(now * 10))
        due = int((now - start) * 1000) + 1
        batch = range(price + 1, due + 1)
        await asyncio.gather(
            *(publisher.emit_watchlist_quote(symbol, {"price": one}) for one in batch for symbol in ("FAST", "BTC"))
        )
        price = max(price, due)
        await asyncio.sleep(0.005)
    return price, time.monotonic() - start, len(tenths) / 10


async def test_a_thousand_quotes_a_second_arrive_as_ten_and_the_last_one_always(
    make_server: MakeServer, redis_server: RedisServer, stock_clients: StockClients
) -> None:
    throttled = await make_server(redis_url=redis_server.url, throttle=(f"*={RATE}", "BTC=2"), quote_age_sample=1)
    other = await make_server(redis_url=redis_server.url)
    a = await subscribe(stock_clients, throttled, "u1", "FAST", "BTC", "SLOW")
    b = await subscribe(stock_clients, other, "u2", "FAST")
    async with Publisher(load_settings({"REDIS_URL": redis_server.url})) as publisher:
        await publisher.emit_watchlist_quote("SLOW", {"price": 1})
        last, took, ran = await publish_for(publisher, 2)
        await publisher.emit_trade_executed("u1", {"price": 1})
    await eventually(lambda: prices(a, "FAST")[-1:] == prices(a, "BTC")[-1:] == prices(b, "FAST")[-1:] == [last])
    assert prices(a, "SLOW") == [1]
    # The other server does not throttle: it only leaves out what is replaced while the client does not read.
    there = prices(b, "FAST")
    assert there == sorted(set(there))
    assert len(there) + metric(other, "conflated_messages_total") == last
    for symbol, rate in (("FAST", RATE), ("BTC", 2)):
        got = prices(a, symbol)
        assert got == sorted(set(got))
        assert got[0] == 1
        # The first and the last stand outside of the full intervals. A slow machine makes it fewer, never more.
        assert ran * rate / 3 <= len(got) <= (took + 1) * rate + 2
    assert metric(throttled, "throttled_events_total") == 2 * last - len(prices(a, "FAST") + prices(a, "BTC"))
    assert metric(throttled, "throttle_buffered_events") == 0
    ages = metric(throttled, "quote_age_seconds_count")
    assert ages == len(prices(a, "FAST") + prices(a, "BTC") + prices(a, "SLOW"))


def notices(client: StockClient) -> list[dict[str, Any]]:
    return [args[0] for args in client.events("watchlist:stale")]


async def test_a_dead_feed_is_one_notice_and_one_when_it_lives_again(
    make_server: MakeServer, redis_server: RedisServer, stock_clients: StockClients
) -> None:
    server = await make_server(redis_url=redis_server.url, stale_after=("*=1",))
    a = await subscribe(stock_clients, server, "u1", "A", "B", "C")
    async with Publisher(load_settings({"REDIS_URL": redis_server.url})) as publisher:
        for symbol in "ABC":
            await publisher.emit_watchlist_quote(symbol, {"price": 1})
        await publisher.emit_market_status({"state": "open"})
        # A sweep may fall between two of the quotes, here and below: then there are two notices.
        await eventually(lambda: stale(a) == list("ABC"))
        late = await subscribe(stock_clients, server, "u2", "B")
        await late.wait_for("watchlist:stale", timeout=30)
        await asyncio.gather(*(publisher.emit_watchlist_quote(symbol, {"price": 2}) for symbol in "ABC"))
        await eventually(lambda: live(a)[:3] == list("ABC"))
        await eventually(lambda: live(late)[:1] == ["B"])
        await publisher.emit_market_status("closed")
    told = [one["stale"] for one in notices(a)]
    assert told[: told.index(False)] in ([True], [True, True])
    first, second = notices(a)[0], notices(a)[told.index(False)]
    assert first["since"] < first["timestamp"] <= second["since"] <= second["timestamp"]
    assert [(one["symbols"], one["stale"]) for one in notices(late)[:2]] == [(["B"], True), (["B"], False)]
    await a.wait_for("market:status", lambda args: args[0]["status"] == "closed")


def stale(client: StockClient) -> list[str]:
    """Symbols that were said to be stale."""
    return sorted(symbol for one in notices(client) if one["stale"] for symbol in one["symbols"])


def live(client: StockClient) -> list[str]:
    """Symbols that were said to live again."""
    return sorted(symbol for one in notices(client) if not one["stale"] for symbol in one["symbols"])
