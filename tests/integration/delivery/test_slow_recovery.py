"""A client with a slow link comes back: its replay goes out as the link takes it, and nothing is confirmed before."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kit.clients.node import StockClient, StockClients
from kit.clients.raw import WebSocket
from kit.network.slow_link import SlowLink
from kit.servers.in_process import MakeServer, RunningServer
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.delivery.clients.client import Client
from tradecast.delivery.ids import parse_offset

pytestmark = pytest.mark.node
SIZE = 2_000
MISSED = 150
LIVE = 60
# Bytes a second: the replay takes some seconds.
RATE = 100_000
# Events that may be on their way at a time: some rounds of the replay, wherever they wait.
ON_THE_WAY = 75
NOWHERE = "http://127.0.0.1:1"
FULL = "\u00e9" * (SIZE // 2)


def numbers(client: StockClient) -> list[int]:
    return [args[0]["notification"]["n"] for args in client.events("notification")]


async def miss(server: RunningServer, first: int, count: int) -> None:
    for n in range(first, first + count):
        await server.app.emit_notification("u1", {"n": n, "text": FULL})


def seen_id(client: StockClient) -> int:
    """The id of the last event that a client has got, by its offset."""
    events = client.events("notification")
    offset = parse_offset(events[-1][1], 1) if events else None
    return 0 if offset is None else offset.ids[0]


async def watch(check: Callable[[], Awaitable[None]]) -> None:
    while True:
        await check()
        await asyncio.sleep(0.005)


def hub_client(server: RunningServer) -> Client | None:
    return next(iter(server.app.components.hub.clients.by_sid.values()), None)


@pytest.mark.parametrize("transports", [["websocket"], ["polling"], ["polling", "websocket"]], ids="-".join)
async def test_a_long_replay_over_a_slow_link_gets_through(
    make_server: MakeServer, stock_clients: StockClients, transports: list[str]
) -> None:
    """Sent at once, all of it would wait in the server, and be too old before it is sent."""
    server = await make_server(ping_interval=0.3, ping_timeout=20)
    most = 0

    async def check() -> None:
        nonlocal most
        client = hub_client(server)
        if client is not None and client.is_replaying and client.replay:
            sent = MISSED - len(client.replay)
            most = max(most, sent - (len(numbers(stock)) - 1))
            if most > ON_THE_WAY:
                # As below: the client may have got them, and its report is late.
                with link.hold():
                    what = "the replay goes out as the link takes it"
                    await eventually(lambda: sent - (len(numbers(stock)) - 1) <= ON_THE_WAY, 15, what=what)
                most = ON_THE_WAY
        confirmed = client.session.confirmed[0] if client is not None and client.session.confirmed else 0
        if confirmed > max(seen_id(stock), quiet):
            # The client has it all the same: only its report to this test may be later than its heartbeat.
            with link.hold():
                await eventually(lambda: seen_id(stock) >= confirmed, 15, what="no heartbeat confirms too much")

    async with SlowLink(server.url, delay=0.01, rate=RATE, receive_buffer=4_096) as link:
        stock = await stock_clients.connect(link.url, await server.session("u1"), transports=transports)
        await server.app.emit_notification("u1", {"n": 0, "text": ""})
        await stock.wait_for("notification")
        quiet = seen_id(stock)
        link.target = NOWHERE
        for sid in list(server.app.components.hub.clients.by_sid):
            server.app.components.socket_server.close_transport(sid)
        await stock.wait_disconnect()
        await miss(server, 1, MISSED)
        link.target = server.url
        watching = asyncio.create_task(watch(check))
        try:
            await stock.wait_connect(timeout=60)
            assert stock.recovered
            await server.app.emit_notification("u1", {"n": MISSED + 1, "text": "live"})
            await eventually(lambda: numbers(stock)[-1] == MISSED + 1 or watching.done(), within=60)
            # Now they are queued by the engine, heartbeats among them.
            await miss(server, MISSED + 2, LIVE)
            await eventually(lambda: numbers(stock)[-1] == MISSED + 1 + LIVE or watching.done(), within=60)
        finally:
            watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        if not watching.cancelled():
            watching.result()
    assert numbers(stock) == list(range(MISSED + 2 + LIVE)), "each once, in order"
    for reason in ("slow", "silent", "queue_full"):
        found = server.app.metrics.registry.get_sample_value("tradecast_slow_clients_total", {"reason": reason})
        assert found == 0
    assert most > 0, "there was a replay to look at"


@pytest.mark.redis
async def test_who_reads_nothing_starts_a_new_session_after_three_closes(
    make_server: MakeServer, redis_server: RedisServer
) -> None:
    """Closed by the engine, whose queue is full, and by the delivery, whose buffer is."""
    server = await make_server(redis_url=redis_server.url, send_queue_limit=20)
    session = await server.session("u1")
    clients = server.app.components.hub.clients.by_sid
    auth: dict[str, Any] = dict(session)
    pids = []
    for _ in range(5):
        async with await WebSocket.connect(server.url) as socket:
            await socket.opened()
            await socket.send(f"40{json.dumps(auth)}")
            pids.append(json.loads((await socket.until("40"))[2:])["pid"])
            auth["pid"] = pids[0]
            number = 0
            while clients:  # it reads nothing more
                await server.app.emit_notification("u1", {"n": number, "text": FULL * 100})
                number += 1
        await eventually(lambda: not server.app.components.hub.states.tasks)
    assert len(set(pids[:3])) == 1
    assert pids[3] != pids[0]
    registry = server.app.metrics.registry
    for result, count in (("recovered", 2), ("slow", 2)):
        assert registry.get_sample_value("tradecast_recoveries_total", {"result": result}) == count
    assert registry.get_sample_value("tradecast_slow_clients_total", {"reason": "queue_full"}) == 5, "each was counted"
