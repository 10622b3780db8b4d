"""What a publisher or a client may say that makes no sense, through the public entrances: nobody suffers from it."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import socketio

from kit.clients.interface import WAIT
from kit.clients.node import StockClient, StockClients
from kit.clients.raw import TEXT, WEBSOCKET, Wire, client_frame, websocket_head
from kit.servers.in_process import MakeServer, RunningServer
from kit.waiting import eventually
from tradecast.client.quotes import Quotes

pytestmark = pytest.mark.node

ROOM, QUOTE, DELTA = "watchlist:AAPL", "watchlist:quote", "watchlist:quote:delta"
AHEAD, NOW, BEHIND = "2099-01-01T01:00:00.000Z", "2099-01-01T00:00:00.000Z", "1970-01-01T00:00:00.000Z"


async def watching(clients: StockClients, server: RunningServer, user: str = "u1", **auth: Any) -> StockClient:
    """A standard client that watches AAPL."""
    session = {**await server.session(user, tier="premium"), **auth}
    client = await clients.connect(server.url, session, transports=["websocket"])
    await client.call("subscribe:watchlist", {"symbol": "AAPL"})
    return client


@contextlib.asynccontextmanager
async def helped(server: RunningServer, user: str = "u2") -> AsyncIterator[tuple[Quotes, socketio.AsyncClient]]:
    """The helper for Python, with deltas, subscribed to AAPL."""
    sio = socketio.AsyncClient(reconnection_delay=0.05, reconnection_delay_max=0.1)
    quotes = Quotes(sio, repair_interval=0.05)
    auth = {**await server.session(user, tier="premium"), "recovery": False, "deltas": True}
    try:
        await sio.connect(server.url, auth=auth, transports=["websocket"], wait_timeout=WAIT)
        await quotes.subscribe(["AAPL"])
        yield quotes, sio
    finally:
        await quotes.close()
        await sio.shutdown()


async def publish(server: RunningServer, price: object, timestamp: str = NOW) -> None:
    """A quote with a timestamp of a publisher's own."""
    payload = {"symbol": "AAPL", "quote": {"price": price}, "timestamp": timestamp}
    await server.app.emit_to_room(ROOM, QUOTE, payload)


async def shows(quotes: Quotes, price: object) -> None:
    """Wait until the helper has that price."""
    await eventually(lambda: (quotes.get("AAPL") or {}).get("quote", {}).get("price") == price, 20)


# -- values


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
async def test_a_price_that_is_no_number_is_refused_and_the_next_one_comes(
    server: RunningServer, stock_clients: StockClients, value: float
) -> None:
    plain = await watching(stock_clients, server)
    async with helped(server) as (quotes, _):
        await server.app.emit_watchlist_quote("AAPL", {"price": 101.5})
        with pytest.raises(TypeError, match="NaN or infinite"):
            await server.app.emit_watchlist_quote("AAPL", {"price": value})
        await server.app.emit_watchlist_quote("AAPL", {"price": 102.5})
        await shows(quotes, 102.5)
        await plain.wait_for(QUOTE, lambda args: args[0]["quote"]["price"] == 102.5)
    assert [args[0]["quote"]["price"] for args in plain.events(QUOTE)] == [101.5, 102.5]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
async def test_the_emit_api_refuses_what_is_no_json(
    make_server: MakeServer, stock_clients: StockClients, value: str
) -> None:
    server = await make_server(api_token="x" * 32)
    client = await watching(stock_clients, server)
    body = f'{{"event": "watchlist:quote", "symbol": "AAPL", "quote": {{"price": {value}}}}}'
    headers = {"authorization": f"Bearer {'x' * 32}"}
    async with httpx.AsyncClient(trust_env=False, timeout=30, headers=headers) as http:
        answer = await http.post(f"{server.url}/api/emit", content=body)
    assert 400 <= answer.status_code < 500, answer.text
    await publish(server, 1)
    assert (await client.wait_for(QUOTE))[0]["quote"] == {"price": 1}


async def test_a_huge_quote_comes_whole_and_the_next_one_after_it(
    server: RunningServer, stock_clients: StockClients
) -> None:
    plain = await watching(stock_clients, server)
    book = [[price, "x" * 100] for price in range(10_000)]
    async with helped(server) as (quotes, _):
        for number in range(3):
            await server.app.emit_watchlist_quote("AAPL", {"n": number, "book": book})
        await server.app.emit_watchlist_quote("AAPL", {"n": 3, "book": []})
        await plain.wait_for(QUOTE, lambda args: args[0]["quote"] == {"n": 3, "book": []}, 30)
        await eventually(lambda: (quotes.get("AAPL") or {}).get("quote") == {"n": 3, "book": []}, 30)


async def test_deeply_nested_quotes_end_alike_with_deltas(server: RunningServer, stock_clients: StockClients) -> None:
    plain = await watching(stock_clients, server)

    def nested(depth: int, leaf: int) -> dict[str, Any]:
        payload: dict[str, Any] = {"leaf": leaf, "none": None}
        for _ in range(depth):
            payload = {"inner": payload, "list": [payload]}
            if depth > 20:
                payload.pop("list")
        return payload

    async with helped(server) as (quotes, _):
        for depth in (1, 10, 100, 200, 10, 1):
            for leaf in (1, 2):
                await server.app.emit_watchlist_quote("AAPL", nested(min(depth, 8) if depth < 20 else depth, leaf))
        await server.app.emit_watchlist_quote("AAPL", {"last": True})
        await plain.wait_for(QUOTE, lambda args: args[0]["quote"] == {"last": True})
        await eventually(lambda: (quotes.get("AAPL") or {}).get("quote") == {"last": True}, 20)


# -- deltas


@pytest.mark.parametrize(
    "delta",
    [
        {"symbol": "AAPL", "quote": {"price": 666}, "timestamp": NOW, "number": 1_000_000},
        {"symbol": "AAPL", "quote": {"price": 666}, "timestamp": NOW},
        {"symbol": "AAPL", "quote": None, "number": 1},
        {"symbol": "UNKNOWN", "quote": {"price": 666}, "number": 2},
        {"quote": {"price": 666}, "number": 2},
        {"symbol": ["AAPL"], "number": "2"},
        "text",
        None,
    ],
)
async def test_a_delta_without_its_base_changes_nothing(server: RunningServer, delta: Any) -> None:
    async with helped(server) as (quotes, sio):
        await publish(server, 1)
        await shows(quotes, 1)
        await server.app.emit_to_room(ROOM, DELTA, delta)
        await sio.call("subscribe:trades", {})  # behind it
        shown = quotes.get("AAPL")
        assert shown is not None
        assert shown["quote"] == {"price": 1}
        for price in (2, 3):
            await publish(server, price)
        await shows(quotes, 3)


async def test_a_number_of_the_publisher_s_own_confuses_nobody(
    server: RunningServer, stock_clients: StockClients
) -> None:
    plain = await watching(stock_clients, server)
    async with helped(server) as (quotes, _):
        for price, number in ((1, 7), (2, 8), (3, "x"), (4, 8), (5, None), (6, 1)):
            payload = {"symbol": "AAPL", "quote": {"price": price}, "timestamp": NOW, "number": number}
            await server.app.emit_to_room(ROOM, QUOTE, payload)
            await shows(quotes, price)
        await publish(server, 7)
        await shows(quotes, 7)
        await publish(server, 8)
        await shows(quotes, 8)
    await plain.wait_for(QUOTE, lambda args: args[0]["quote"]["price"] == 8)


@pytest.mark.parametrize("deltas", ["yes", 1, 0, [], {}, None, "x" * 10_000, False])
async def test_who_asks_for_deltas_in_another_way_gets_whole_quotes(
    server: RunningServer, stock_clients: StockClients, deltas: Any
) -> None:
    client = await watching(stock_clients, server, deltas=deltas)
    for price in (1, 2, 3):
        await publish(server, price)
    await client.wait_for(QUOTE, lambda args: args[0]["quote"]["price"] == 3)
    assert DELTA not in client.event_names()


# -- clocks


async def test_a_publisher_s_clock_does_not_say_which_quote_is_newest(
    server: RunningServer, stock_clients: StockClients
) -> None:
    plain = await watching(stock_clients, server)
    async with helped(server) as (quotes, _):
        for price, timestamp in ((1, AHEAD), (2, NOW), (3, BEHIND), (4, "no time"), (5, AHEAD)):
            await publish(server, price, timestamp)
            await shows(quotes, price)
            await plain.wait_for(QUOTE)
    assert [args[0]["quote"]["price"] for args in plain.events(QUOTE)] == [1, 2, 3, 4, 5]


async def test_nor_after_a_lost_connection(server: RunningServer) -> None:
    async with helped(server) as (quotes, sio):
        await publish(server, 1, AHEAD)
        await shows(quotes, 1)
        before = sio.sid
        sio.eio.ws._response.connection.transport.abort()
        await eventually(lambda: sio.connected and sio.sid != before, 20)
        await sio.call("subscribe:watchlist", {"symbol": "AAPL"})
        await publish(server, 2, NOW)  # the first quote that comes on this connection
        await shows(quotes, 2)


# -- offers of compression

OFFERS = (
    "permessage-deflate; server_max_window_bits=7",
    "permessage-deflate; server_max_window_bits=99999999999999999999",
    "permessage-deflate; server_max_window_bits",
    "permessage-deflate; client_max_window_bits=x",
    "permessage-deflate; client_max_window_bits=15; client_max_window_bits=14",
    "permessage-deflate; unknown=1",
    "permessage-deflate; server_no_context_takeover=1",
    "permessage-deflate" + "; a=1" * 1_000,
    ", ".join(["permessage-deflate; server_max_window_bits=8"] * 200),
    "x-webkit-deflate-frame, mux; max-channels=4",
    'permessage-deflate; client_max_window_bits="15',
    ";;;,,,===",
    "\x80\xff",
)


@pytest.mark.parametrize("offer", OFFERS, ids=range(len(OFFERS)))
async def test_an_offer_that_is_invalid_is_declined(server: RunningServer, offer: str) -> None:
    async with await Wire.open(server.url) as wire:
        await wire.write(websocket_head(WEBSOCKET, f"Sec-WebSocket-Extensions: {offer}"))
        answer = await wire.read_answer()
        # One that is too long or has bytes that no header has may be refused, as any other head.
        if answer.status != 101:
            assert answer.status in (400, 431)
            return
        assert "sec-websocket-extensions" not in answer.headers
        assert await opening(wire) == b"0"
        await wire.write(client_frame(TEXT, "x"))


async def opening(wire: Wire) -> bytes:
    """The first byte of the first message, after the frame's own four."""
    head = await asyncio.wait_for(wire.reader.readexactly(5), 20)
    assert head[0] == 0x81, "not compressed"
    return head[4:5] if head[1] == 126 else head[2:3]


@pytest.mark.parametrize("bits", [b"\xc1", b"\xa1", b"\x91", b"\xf1"])
async def test_a_frame_compressed_without_an_agreement_ends_its_connection(server: RunningServer, bits: bytes) -> None:
    async with await Wire.open(server.url) as wire:
        await wire.write(websocket_head(WEBSOCKET))
        assert (await wire.read_answer()).status == 101
        await wire.write(bits + client_frame(TEXT, "40{}")[1:])
        await wire.read_to_end()
    async with await Wire.open(server.url) as wire:
        await wire.write(websocket_head(WEBSOCKET))
        assert (await wire.read_answer()).status == 101
