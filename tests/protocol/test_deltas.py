"""Deltas on the wire, and the helpers that follow them: in the end they know what a client without them knows."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

import pytest
import socketio

from kit.clients.interface import WAIT, Client
from kit.clients.node import StockClient, StockClients
from kit.clients.python import PythonClients
from kit.servers.in_process import MakeServer, RunningServer
from kit.waiting import eventually
from protocol.conftest import make_connect
from protocol.contract import FAST, Connect, barrier
from tradecast.client import quotes
from tradecast.client.quotes import Quotes
from tradecast.delivery.shaping.deltas import apply_patch
from tradecast.demo.feed import Feed
from tradecast.events.contract import SERVER_EVENTS

pytestmark = pytest.mark.node

SYMBOLS = ["AAPL", "FB", "GOOG", "IBM", "MSFT"]
APPLY = f"""
import {{ readFileSync }} from "node:fs";
import {{ applyPatch }} from "{Path(quotes.__file__).with_name("quotes.mjs").as_uri()}";
const pairs = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(pairs.map(([before, patch]) => applyPatch(before, patch))));
"""
TICKS = 120
"""Of the demo's replay: several days, which begin and end."""


class Follower(Protocol):
    """A helper on a client."""

    async def newest(self) -> dict[str, Any]:
        """The newest payload of each symbol."""
        ...

    async def handed_out(self) -> list[tuple[str, Any]]:
        """All that it has handed out."""
        ...

    async def drop(self) -> None:
        """Lose the connection."""
        ...

    async def wait_connect(self) -> None:
        """Until it is back."""
        ...

    def deltas(self) -> int:
        """How many deltas have come."""
        ...


class JavaScriptFollower:
    """`Quotes` of quotes.mjs on a stock client."""

    def __init__(self, client: StockClient) -> None:
        self.client = client

    async def newest(self) -> dict[str, Any]:
        return dict((await self.client.quotes(SYMBOLS))["newest"])

    async def handed_out(self) -> list[tuple[str, Any]]:
        return [(symbol, payload) for symbol, payload in (await self.client.quotes(SYMBOLS))["handedOut"]]

    async def drop(self) -> None:
        await self.client.drop()
        await self.client.wait_disconnect()

    async def wait_connect(self) -> None:
        await self.client.wait_connect()

    def deltas(self) -> int:
        return len(self.client.events("watchlist:quote:delta"))


class PythonFollower:
    """`Quotes` of quotes.py on python-socketio's client."""

    def __init__(self, sio: socketio.AsyncClient) -> None:
        self.sio = sio
        self.seen: list[tuple[str, Any]] = []
        self.connects = 0
        self.quotes = Quotes(sio, on_quote=lambda *quote: self.seen.append(quote), on_connect=self._count)
        self._deltas = 0
        taken = sio.handlers["/"]["watchlist:quote:delta"]

        def take(*arguments: Any) -> None:
            self._deltas += 1
            taken(*arguments)

        sio.on("watchlist:quote:delta", take)

    def _count(self) -> None:
        self.connects += 1

    async def newest(self) -> dict[str, Any]:
        return {symbol: self.quotes.get(symbol) for symbol in SYMBOLS}

    async def handed_out(self) -> list[tuple[str, Any]]:
        return self.seen

    async def drop(self) -> None:
        self.connects = 0
        self.sio.eio.ws._response.connection.transport.abort()

    async def wait_connect(self) -> None:
        await eventually(lambda: self.connects > 0)

    def deltas(self) -> int:
        return self._deltas


@pytest.fixture
async def opened() -> AsyncIterator[list[PythonFollower]]:
    """Python followers, to be closed."""
    made: list[PythonFollower] = []
    yield made
    for follower in made:
        await follower.quotes.close()
        await follower.sio.disconnect()


async def follow(
    how: str, server: RunningServer, stock_clients: StockClients, opened: list[PythonFollower]
) -> Follower:
    auth = {**await server.session("u2"), "deltas": True}
    if how == "python":
        sio = socketio.AsyncClient(reconnection_delay=0.03, reconnection_delay_max=0.1, randomization_factor=0)
        python = PythonFollower(sio)
        opened.append(python)
        await sio.connect(server.url, auth={**auth, "recovery": False}, transports=["websocket"], wait_timeout=WAIT)
        assert (await python.quotes.subscribe(SYMBOLS)).symbols == SYMBOLS
        return python
    if how == "javascript-not-recovered":
        auth["recovery"] = False
    transport = "polling" if how == "javascript-polling" else "websocket"
    client = await stock_clients.connect(server.url, auth, transports=[transport], **FAST)
    answer = await client.follow_quotes(SYMBOLS, repairInterval=50)
    assert answer == {"symbols": SYMBOLS, "failed": []}
    return JavaScriptFollower(client)


@pytest.fixture(params=["stock_clients", "python_clients"])
def connect(request: pytest.FixtureRequest) -> Connect:
    """Connects clients over WebSocket: who is between two polls gets whole quotes, as every client that is behind."""
    return make_connect(
        request.getfixturevalue(request.param), ["websocket"], recovers=request.param != "python_clients"
    )


HOW = ["javascript", "javascript-polling", "javascript-not-recovered", "python"]


@pytest.mark.parametrize("how", HOW)
async def test_whoever_follows_deltas_over_a_replay_knows_what_everybody_knows(
    make_server: MakeServer, stock_clients: StockClients, opened: list[PythonFollower], how: str
) -> None:
    server = await make_server(demo_tick_seconds=0.2, demo_day_seconds=5)
    plain = await stock_clients.connect(server.url, await server.session("u1"), transports=["websocket"])
    await plain.call("subscribe:watchlist", {"symbols": SYMBOLS})
    follower = await follow(how, server, stock_clients, opened)
    feed = Feed(server.app, server.app.settings)
    for tick in range(TICKS):
        await feed.tick()
        if tick == TICKS // 3:
            await follower.drop()
        elif tick == TICKS // 2:
            await follower.wait_connect()
        if tick % 10 == 0:
            await barrier(plain)  # so that what is sent leaves meanwhile

    await barrier(plain)
    full = {payload["symbol"]: payload for (payload,) in plain.events("watchlist:quote")}
    assert set(full) == set(SYMBOLS)

    async def knows_all() -> bool:
        return await follower.newest() == full

    await eventually(knows_all)
    assert follower.deltas() > (0 if how == "javascript-polling" else TICKS)
    shown: dict[str, str] = {}
    sent = [payload for (payload,) in plain.events("watchlist:quote")]
    for symbol, payload in await follower.handed_out():
        assert shown.setdefault(symbol, payload["timestamp"]) <= payload["timestamp"]
        shown[symbol] = payload["timestamp"]
        assert payload in sent, "what was handed out was never sent"


async def test_who_does_not_ask_gets_what_everybody_got(server: RunningServer, connect: Connect) -> None:
    clients = []
    for deltas in (None, False, "true", 1):
        auth = await server.session("u1")
        clients.append(await connect(server, auth if deltas is None else {**auth, "deltas": deltas}))
    asking = await connect(server, {**await server.session("u1"), "deltas": True})
    for client in (*clients, asking):
        await client.call("subscribe:watchlist", {"symbol": "AAPL"})
    for price in range(3):
        await server.app.emit_watchlist_quote("AAPL", {"price": price, "name": "Apple" * 20})
    await barrier(*clients, asking)
    for client in clients:
        assert [set(payload) for (payload,) in client.events("watchlist:quote")] == [
            {"symbol", "quote", "timestamp"}
        ] * 3
        assert client.events("watchlist:quote:delta") == []
    assert len(asking.events("watchlist:quote")) == 1
    assert len(asking.events("watchlist:quote:delta")) == 2


async def test_who_asks_gets_documented_events_only(server: RunningServer, connect: Connect) -> None:
    client = await connect(server, {**await server.session("u1"), "deltas": True})
    for event in ("subscribe:portfolio", "subscribe:trades"):
        await client.call(event)
    await client.call("subscribe:watchlist", {"symbols": ["AAPL", "FB"]})
    for price in (1, 2, None, 4):
        for symbol in ("AAPL", "FB"):
            await server.app.emit_watchlist_quote(symbol, {"price": price, "name": "name" * 20})
        await server.app.emit_market_status({"state": "open"})
        await server.app.emit_notification("u1", {"title": "Hello"})
        await server.app.emit_trade_executed("u1", {"symbol": "AAPL"})
        await server.app.emit_portfolio_update("u1", {"value": 1})
    await barrier(client)
    names = {event for event in event_names(client) if event != "error"}  # the barrier's
    assert names <= set(SERVER_EVENTS)
    assert {"watchlist:quote", "watchlist:quote:delta", "trade:executed", "market:status"} <= names
    for name in names:
        for arguments in client.events(name):
            SERVER_EVENTS[name].model_validate(arguments[0])
    for (payload,) in client.events("watchlist:quote:delta"):
        assert payload["symbol"] in ("AAPL", "FB")
        assert type(payload["number"]) is int


def event_names(client: Client) -> set[str]:
    return {name for name in SERVER_EVENTS if client.events(name)} | {"error"}


async def test_who_subscribes_again_gets_a_whole_one(server: RunningServer, connect: Connect) -> None:
    client = await connect(server, {**await server.session("u1"), "deltas": True})

    async def send(price: int) -> None:
        await server.app.emit_watchlist_quote("AAPL", {"price": price, "name": "Apple" * 20})

    await client.call("subscribe:watchlist", {"symbol": "AAPL"})
    await send(1)
    await send(2)
    await client.call("subscribe:watchlist", {"symbols": ["AAPL"]})
    await send(3)
    await send(4)
    await barrier(client)
    wholes = [payload["quote"]["price"] for (payload,) in client.events("watchlist:quote")]
    assert wholes[0] == 1
    assert wholes[-1] == 3
    assert [payload["quote"]["price"] for (payload,) in client.events("watchlist:quote:delta")] == [2, 4]


async def test_a_helper_without_a_base_asks_for_a_whole_one(server: RunningServer, stock_clients: StockClients) -> None:
    auth = {**await server.session("u1"), "deltas": True}
    client = await stock_clients.connect(server.url, auth, transports=["websocket"])
    await client.follow_quotes(["AAPL"], repairInterval=60_000)

    async def send(price: int) -> None:
        await server.app.emit_watchlist_quote("AAPL", {"price": price, "name": "Apple" * 20})

    async def price() -> Any:
        newest = (await client.quotes(["AAPL"]))["newest"]["AAPL"]
        return newest and newest["quote"]["price"]

    await send(1)
    await send(2)
    await eventually_is(price, 2)
    await client.receive_quote("watchlist:quote:delta", {"symbol": "AAPL", "number": 1, "quote": {"price": 666}})
    await client.wait_for("subscribed:watchlist", lambda args: True)
    await client.wait_for("subscribed:watchlist", lambda args: True)  # the second request
    await send(3)
    await eventually_is(price, 3)
    for number in range(100):
        await client.receive_quote("watchlist:quote:delta", {"symbol": "AAPL", "number": number})
    await barrier(client)
    assert len(client.events("subscribed:watchlist")) == 2
    assert all(payload["quote"]["price"] != 666 for _, payload in (await client.quotes([]))["handedOut"])


async def eventually_is(read: Any, wanted: Any) -> None:
    async def is_it() -> bool:
        return bool(await read() == wanted)

    await eventually(is_it)


async def test_the_javascript_helper_reports_stale_quotes(server: RunningServer, stock_clients: StockClients) -> None:
    auth = {**await server.session("u1"), "deltas": True}
    client = await stock_clients.connect(server.url, auth, transports=["websocket"])
    await client.follow_quotes(["AAPL", "FB"], maxAge=1)
    await server.app.emit_watchlist_quote("AAPL", {"price": 1})
    await client.wait_for("watchlist:quote")
    assert (await client.quotes([]))["stale"] == []  # nobody knows whether the market is open
    await server.app.emit_market_status({"state": "open"})

    async def stale() -> Any:
        return (await client.quotes([]))["stale"]

    await eventually_is(stale, [["AAPL", True]])
    assert (await client.quotes([]))["staleNow"] == ["AAPL"]
    await server.app.emit_market_status({"state": "closed"})
    await server.app.emit_watchlist_quote("AAPL", {"price": 2})
    await eventually_is(stale, [["AAPL", True], ["AAPL", False]])


async def test_the_javascript_helper_reports_what_the_server_says_is_stale(
    make_server: MakeServer, stock_clients: StockClients
) -> None:
    server = await make_server(stale_after=("*=1",))
    client = await stock_clients.connect(server.url, await server.session("u1"), transports=["websocket"])
    await server.app.emit_market_status({"state": "open"})
    await client.follow_quotes(["AAPL"])

    async def stale() -> Any:
        return (await client.quotes([]))["stale"]

    await eventually_is(stale, [["AAPL", True]])
    await server.app.emit_market_status({"state": "closed"})  # so that it does not become stale again
    await server.app.emit_watchlist_quote("AAPL", {"price": 1})
    await eventually_is(stale, [["AAPL", True], ["AAPL", False]])
    said = {"since": "2026-01-01T00:00:00.000Z", "timestamp": "2026-01-01T00:00:00.000Z"}
    await client.receive_quote("watchlist:stale", {"symbols": ["AAPL", "X"], "stale": True, **said})
    await client.receive_quote("watchlist:stale", {"symbols": ["AAPL"], "stale": False, **said})
    assert (await stale())[2:] == [["AAPL", True], ["AAPL", False]]


async def test_the_javascript_helper_unsubscribes_and_says_what_was_refused(
    server: RunningServer, stock_clients: StockClients
) -> None:
    client = await stock_clients.connect(server.url, await server.session("u1"), transports=["websocket"])
    answer = await client.follow_quotes(["AAPL", "prix en €"])
    assert answer["symbols"] == ["AAPL"]
    assert [failed["reason"] for failed in answer["failed"]] == ["SYMBOL_INVALID"]
    await server.app.emit_watchlist_quote("AAPL", {"price": 1})
    await client.wait_for("watchlist:quote")
    assert (await client.quotes(["AAPL"]))["wanted"] == ["AAPL"]
    assert await client.unfollow_quotes(["AAPL", "FB"]) == {"symbols": ["AAPL"], "failed": []}
    found = await client.quotes(["AAPL"])
    assert (found["wanted"], found["newest"]["AAPL"]) == ([], None)


async def test_the_javascript_helper_unsubscribes_from_what_it_left_while_it_was_away(
    server: RunningServer, stock_clients: StockClients
) -> None:
    client = await stock_clients.connect(server.url, await server.session("u1"), transports=["websocket"], **FAST)
    await client.follow_quotes(["AAPL", "FB"])
    await server.app.emit_market_status({"state": "open"})
    await client.wait_for("market:status")  # so that it has something to recover
    await server.app.emit_notification("u1", {"title": "Hello"})
    await client.wait_for("notification")
    await client.drop()
    await client.wait_disconnect()
    assert await client.unfollow_quotes(["AAPL"]) == {"symbols": ["AAPL"], "failed": []}
    await client.wait_connect()
    assert client.recovered
    await client.wait_for("unsubscribed:watchlist", lambda args: args[0]["symbols"] == ["AAPL"])
    for symbol in ("AAPL", "FB"):
        await server.app.emit_watchlist_quote(symbol, {"price": 1})
    await client.wait_for("watchlist:quote", lambda args: args[0]["symbol"] == "FB")
    assert [symbol for symbol, _ in (await client.quotes([]))["handedOut"]] == ["FB"]
    assert not any(payload["symbol"] == "AAPL" for (payload,) in client.events("watchlist:quote"))


def test_javascript_s_patches_are_python_s() -> None:
    values: list[Any] = [
        1,
        "a",
        [1, {"a": None}],
        {},
        {"a": 1},
        {"a": {"b": 2, "c": None}},
        {"a": None, "b": {"c": None}},
    ]
    # To be fields like any other.
    values += [{"__proto__": {"a": 1}, "constructor": None, "1": 0.1}, {"__proto__": {"b": 2}, "constructor": {"a": 1}}]
    pairs = [[before, patch] for before in values for patch in values]
    ran = subprocess.run(
        ["node", "--input-type=module", "-e", APPLY],
        input=json.dumps(pairs),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == [apply_patch(before, patch) for before, patch in pairs]


async def test_clients_of_another_kind_follow_without_the_helper(
    server: RunningServer, python_clients: PythonClients
) -> None:
    """What docs/client.md says is enough: RFC 7396, and numbers in a row."""
    auth = {**await server.session("u1"), "deltas": True, "recovery": False}
    client = await python_clients.connect(server.url, auth, transports=["websocket"])
    await client.call("subscribe:watchlist", {"symbol": "AAPL"})
    for price in (1, 2):
        await server.app.emit_watchlist_quote("AAPL", {"price": price, "name": "Apple" * 20})
    await barrier(client)
    ((whole,),) = client.events("watchlist:quote")
    ((delta,),) = client.events("watchlist:quote:delta")
    assert delta["number"] == whole["number"] + 1
    assert delta["quote"] == {"price": 2}
    assert set(delta) <= {"symbol", "quote", "timestamp", "number"}
