"""Slow clients on a real server with real sockets: fresh quotes, every trade, and no cost for others."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any, cast

import pytest

from kit.clients.raw import Polling
from kit.clients.slow import SlowClient
from kit.metrics.values import read_samples
from kit.servers.in_process import MakeServer, RunningServer
from kit.waiting import eventually
from tradecast.engine.transports.backlog import Waiting
from tradecast.engine.transports.base import UNSENT
from tradecast.engine.transports.websocket import WebSocketTransport
from tradecast.events.kinds import KINDS

SYMBOLS = ("AAPL", "AMZN", "GOOG", "MSFT", "TSLA")
FILLER = "x" * 250


def metric(server: RunningServer, name: str, **labels: str) -> float:
    samples = read_samples(server.app.metrics.render_prometheus("")[1])
    return samples[f"tradecast_{name}", frozenset(labels.items())]


def waiting(server: RunningServer) -> Waiting:
    return server.app.components.socket_server.eio.backlog.count()


async def subscribe(client: SlowClient, *symbols: str) -> None:
    await client.send("42" + json.dumps(["subscribe:trades", {}]))
    await client.until('42["subscribed:trades"')
    if symbols:
        await client.send("42" + json.dumps(["subscribe:watchlist", {"symbols": list(symbols)}]))
        await client.until('42["subscribed:watchlist"')


async def send_quotes(server: RunningServer, n: int) -> None:
    for symbol in SYMBOLS:
        await server.app.emit_watchlist_quote(symbol, {"n": n, "filler": FILLER})


def numbers(client: SlowClient) -> list[int]:
    """The trades that came."""
    return [payload["trade"]["n"] for _, payload in client.events("trade:executed")]


def closed(server: RunningServer) -> float:
    """How many clients were closed since what waited for them was too old."""
    return sum(metric(server, "slow_clients_total", reason=reason) for reason in ("slow", "silent"))


async def test_slow_client_gets_fresh_quotes_and_every_trade_and_nobody_else_notices(make_server: MakeServer) -> None:
    """Five times as much is sent as its link carries: without conflation its quotes grow older all the time."""
    server = await make_server()
    slow = await SlowClient.join(server.url, await server.session("u1"))
    quick = await SlowClient.join(server.url, await server.session("u2"), rate=10_000_000)
    for client in (slow, quick):
        await subscribe(client, *SYMBOLS)
    slow.rate = 10_000
    most = 0
    begun = slow.read
    read_before: list[int] = []  # each round
    rounds = 0
    trades = 0
    while slow.read < begun + 80_000:  # eight seconds, and more on a busy machine
        read_before.append(slow.read)
        await send_quotes(server, rounds)
        rounds += 1
        if not rounds % 5:
            await server.app.emit_trade_executed("u1", {"n": trades})
            trades += 1
        most = max(most, waiting(server).size)
        await asyncio.sleep(0.03)
    read = slow.read - begun
    await eventually(lambda: len(numbers(slow)) == trades)
    assert numbers(slow) == list(range(trades)), "in order, each once"
    sent = rounds * len(SYMBOLS) * len(FILLER)
    assert sent > 2 * read, "the link is too slow for all"
    quotes = slow.events("watchlist:quote")
    ahead = [at - read_before[payload["quote"]["n"]] for at, payload in quotes]
    assert max(ahead) < 40_000, "bytes that came before it: without conflation, as many as the run has, and more"
    for symbol in SYMBOLS:
        of_symbol = [payload["quote"]["n"] for _, payload in quotes if payload["symbol"] == symbol]
        assert of_symbol == sorted(set(of_symbol))
    await eventually(
        lambda: [one["quote"]["n"] for _, one in slow.events("watchlist:quote")][-5:] == [rounds - 1] * 5,
        what="the newest of each symbol",
    )
    counts = [len([1 for _, one in slow.events("watchlist:quote") if one["symbol"] == symbol]) for symbol in SYMBOLS]
    assert max(counts) - min(counts) <= max(counts) / 2, "every symbol gets its turn"
    assert most < 20_000, "a quote of each symbol waits, and the trades"
    await eventually(lambda: len(quick.events("watchlist:quote")) == rounds * len(SYMBOLS))
    assert metric(server, "conflated_messages_total") > rounds
    await eventually(lambda: waiting(server).messages == 0)
    assert closed(server) == 0
    for client in (slow, quick):
        await client.close()


async def test_who_unsubscribes_gets_nothing_of_the_room_behind_the_answer(server: RunningServer) -> None:
    client = await SlowClient.join(server.url, await server.session("u1"))
    await subscribe(client, *SYMBOLS)
    client.rate = 0
    n = 0
    while waiting(server).messages < len(SYMBOLS) + 20:
        await send_quotes(server, n)
        await server.app.emit_trade_executed("u1", {"n": n})
        n += 1
        await asyncio.sleep(0)
    await client.send('42["unsubscribe:watchlist",{"symbol":"AAPL"}]')
    await client.send('42["unsubscribe:trades",{}]')
    await eventually(lambda: server.app.components.manager.is_occupied("trades:u1") is False)
    client.rate = 1_000_000
    await client.until('42["unsubscribed:trades"')
    await eventually(lambda: waiting(server).messages == 0)
    await server.app.emit_to_user("u1", "last", {})
    await client.until('42["last"')
    packets = [packet for _, packet in client.packets]
    for answer, event in (
        ('42["unsubscribed:watchlist"', '42["watchlist:quote",{"symbol":"AAPL"'),
        ('42["unsubscribed:trades"', '42["trade:executed"'),
    ):
        behind = packets[next(at for at, packet in enumerate(packets) if packet.startswith(answer)) :]
        assert [packet for packet in behind if packet.startswith(event)] == []
    assert any(packet.startswith('42["watchlist:quote",{"symbol":"MSFT"') for packet in packets[-10:]), "others stay"
    await client.close()


async def test_who_is_ended_gets_nothing_behind_the_disconnect(server: RunningServer) -> None:
    client = await SlowClient.join(server.url, await server.session("u1"))
    await subscribe(client, *SYMBOLS)
    client.rate = 0
    n = 0
    while waiting(server).messages < len(SYMBOLS) + 20:
        await send_quotes(server, n)
        await server.app.emit_trade_executed("u1", {"n": n})
        n += 1
        await asyncio.sleep(0)
    (connection,) = server.app.registry
    await server.app.components.socket_server.end(connection.sid)
    client.rate = 1_000_000
    await client.until("41")
    await eventually(lambda: client.is_closed)
    packets = [packet for _, packet in client.packets]
    assert packets[-1] == "41"
    assert len(numbers(client)) < n - 15, "what waited was dropped"
    await client.close()


async def test_who_lets_trades_wait_for_too_long_is_closed_without_a_word_and_recovers(make_server: MakeServer) -> None:
    server = await make_server(slow_client_timeout=1)
    auth = await server.session("u1")
    client = await SlowClient.join(server.url, auth)
    pid = json.loads((await client.until("40{"))[2:])["pid"]
    await subscribe(client)
    client.rate = 0
    n = 0

    async def is_closed() -> bool:
        nonlocal n
        # As long as it takes: the client may be in the middle of a read, after which the system takes more.
        if not closed(server) and not waiting(server).messages:
            await server.app.emit_trade_executed("u1", {"n": n, "filler": FILLER})
            n += 1
        return closed(server) == 1

    await eventually(is_closed, within=60)
    await eventually(lambda: server.app.get_total_connection_count() == 0)
    assert waiting(server).messages == 0
    client.rate = 1_000_000
    await eventually(lambda: client.is_closed)
    assert client.close_frames == 0
    assert not any(packet.startswith("41") for _, packet in client.packets)
    again = await SlowClient.join(server.url, {**auth, "pid": pid, "offset": client.last_offset})
    await eventually(lambda: len(numbers(client)) + len(numbers(again)) == n)
    assert numbers(client) + numbers(again) == list(range(n))
    for one in (client, again):
        await one.close()


async def test_client_that_polls_rarely_gets_the_newest_quotes_and_every_trade(make_server: MakeServer) -> None:
    server = await make_server(transports=("polling",))
    client = await Polling.connect(server.url)
    await client.join(await server.session("u1"))
    await client.post('42["subscribe:trades",{}]', '42["subscribe:watchlist",{"symbol":"AAPL"}]')
    while not any(packet.startswith('42["subscribed:watchlist"') for packet in await client.packets()):
        pass
    received = 0
    for poll in range(3):
        for n in range(100):
            await server.app.emit_watchlist_quote("AAPL", {"n": 100 * poll + n, "filler": FILLER})
            if not n % 10:
                await server.app.emit_trade_executed("u1", {"n": 10 * poll + n // 10})
        packets: list[str] = []
        while not any(f'"n":{100 * poll + 99},"filler"' in packet for packet in packets):  # answers have a bound
            packets += await client.packets()
        got = [json.loads(packet[2:]) for packet in packets if packet.startswith("42")]
        assert [one[1]["trade"]["n"] for one in got if one[0] == "trade:executed"] == [10 * poll + n for n in range(10)]
        quotes = [one[1]["quote"]["n"] for one in got if one[0] == "watchlist:quote"]
        # The first ones, as for a client that keeps up; then the newest.
        assert quotes == [*range(100 * poll, 100 * poll + len(quotes) - 1), 100 * poll + 99]
        assert len(quotes) <= 1 + UNSENT // len(FILLER) + 1
        received += len(quotes)
    assert metric(server, "conflated_messages_total") == 3 * 100 - received


class Wire:
    """A connection that notes what is written to it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(bytes(data))
        self.transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)


@pytest.mark.parametrize("event", ["notification", "trade:executed"])
async def test_notifications_of_a_moment_are_one_write_and_trades_are_not(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch, event: str
) -> None:
    # A moment that is longer than a busy machine holds up this process.
    monkeypatch.setitem(KINDS, "notification", replace(KINDS["notification"], window=3.0))
    client = await SlowClient.join(server.url, await server.session("u1"))
    (connection,) = server.app.components.socket_server.eio.sockets.values()
    transport = connection.transport
    assert isinstance(transport, WebSocketTransport)
    wire = Wire(transport.transport)
    transport.transport = cast(asyncio.Transport, wire)
    for n in range(3):
        await server.app.emit_to_user("u1", event, {"n": n})
        await asyncio.sleep(0)
    await eventually(lambda: len(client.events(event)) == 3)
    assert [payload["n"] for _, payload in client.events(event)] == [0, 1, 2]
    assert len(wire.written) == (1 if event == "notification" else 3)
    await client.close()


async def test_notification_does_not_wait_behind_what_comes_after_it(server: RunningServer) -> None:
    client = await SlowClient.join(server.url, await server.session("u1"))
    for n in range(20):
        await server.app.emit_to_user("u1", "notification" if n % 3 else "trade:failed", {"n": n})
        await asyncio.sleep(0.005 * (n % 4))
    await eventually(lambda: len(client.events("notification")) + len(client.events("trade:failed")) == 20)
    order = [json.loads(packet[2:])[1]["n"] for _, packet in client.packets if packet.startswith("42")]
    assert order == list(range(20))
    await client.close()
