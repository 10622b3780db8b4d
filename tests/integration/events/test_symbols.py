"""Symbols are parts of rooms, channels and keys: any printable character, in every mode, live and after a lost link."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from kit.clients.node import StockClients
from kit.delivery.redis_brokers import until_delivered
from kit.servers.in_process import API_TOKEN, MakeServer, settings_for_tests
from kit.servers.redis_cluster import RedisCluster
from kit.servers.redis_server import RedisServer
from protocol.contract import FAST, ask, barrier
from tradecast.publishing.publisher import Publisher

pytestmark = [pytest.mark.redis, pytest.mark.node]
PRINTABLE = [chr(number) for number in range(0x21, 0x7F)]
# Each character alone, first, in the middle and last; hash tags, globs, and what looks like other rooms of ours.
SYMBOLS = [
    *PRINTABLE,
    *(f"A{one}B" for one in [*PRINTABLE, " "]),
    *(
        "{0}",
        "{}",
        "}{",
        "{18}X",
        "a{b",
        "{a}{b}",
        "*",
        "?*",
        "[a-z]",
        "h:watchlist:X",
        "user:u1",
        "/admin,x",
        "portfolio:u1",
    ),
    *("aapl", "AAPL", "AaPl", "$SPX", "BTC_USDT", ".SPX251219C05000000", "~" * 64, '"\\', "%s", "A  B", "\\x00"),
]


@pytest.fixture(params=["single", "pubsub", "sharded"])
def mode(request: pytest.FixtureRequest) -> dict[str, Any]:
    if request.param == "single":
        return {}
    if request.param == "pubsub":
        redis: RedisServer = request.getfixturevalue("redis_server")
        return {"redis_url": redis.url}
    cluster: RedisCluster = request.getfixturevalue("empty_cluster")
    return {"redis_url": cluster.url}


async def test_any_printable_symbol_reaches_who_watches_it_and_nobody_else(
    mode: dict[str, Any], make_server: MakeServer, stock_clients: StockClients
) -> None:
    symbols = list(dict.fromkeys(SYMBOLS))
    limits = {"max_subscriptions_per_user": 1_000, "max_symbols_per_request": 1_000, "session_store": "memory"}
    server = await make_server(**mode, **limits)
    client = await stock_clients.connect(server.url, await server.session("u1"), ["websocket"], **FAST)
    answer = await ask(client, "subscribe:watchlist", {"symbols": symbols[::2]})
    assert answer["symbols"] == symbols[::2]
    assert answer["failed"] == []
    wanted = symbols[::2]

    async def quote(turn: int) -> None:
        events = [{"event": "watchlist:quote", "symbol": one, "quote": {"price": turn}} for one in symbols]
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            headers = {"authorization": f"Bearer {API_TOKEN}"}
            answer = await http.post(f"{server.url}/api/emit", json={"events": events}, headers=headers)
        assert answer.status_code == 202, answer.text

    await quote(1)
    await until_delivered(server.app.components.hub.broker)
    await barrier(client)
    assert sorted(args[0]["symbol"] for args in client.events("watchlist:quote")) == sorted(wanted)
    if mode:
        before = len(client.events("watchlist:quote"))
        async with Publisher(settings_for_tests(**mode)) as publisher:
            for one in symbols:
                await publisher.emit_watchlist_quote(one, {"price": 2})
        await until_delivered(server.app.components.hub.broker)
        await barrier(client)
        assert sorted(args[0]["symbol"] for args in client.events("watchlist:quote")[before:]) == sorted(wanted)

    seen = len(client.events("watchlist:quote"))
    await client.drop()
    await quote(3)
    await client.wait_connect()
    assert client.recovered
    await until_delivered(server.app.components.hub.broker)
    await barrier(client)
    replayed = {args[0]["symbol"]: args[0]["quote"]["price"] for args in client.events("watchlist:quote")[seen:]}
    assert replayed == dict.fromkeys(wanted, 3)
    answer = await ask(client, "unsubscribe:watchlist", {"symbols": wanted})
    assert answer["symbols"] == wanted
