"""A user with too many connections: those whose clients do not answer make room, and live ones never do."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from kit.clients.raw import Closed, WebSocket
from kit.servers.in_process import MakeServer, RunningServer
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.limits import connection_slots

Open = Callable[..., Awaitable[str]]
MOST = 10
PUT_OFF = "put off"


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not answer a probe is not waited for as long as usual."""
    monkeypatch.setattr(connection_slots, "PATIENCE", 2.0)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who answers a probe may take as long as a busy machine does."""
    monkeypatch.setattr(connection_slots, "PATIENCE", 20.0)


@pytest.fixture
async def open_tab() -> AsyncIterator[Open]:
    """Open a tab; what it is answered. A live one answers heartbeats from then on, another one is half-open."""
    async with contextlib.AsyncExitStack() as stack:
        answering: list[asyncio.Task[None]] = []

        async def answer(client: WebSocket) -> None:
            with contextlib.suppress(Closed, TimeoutError):
                while True:
                    if await client.packet() == "2":
                        await client.send("3")

        async def connect(server: RunningServer, auth: dict[str, Any], *, live: bool) -> str:
            client = await stack.enter_async_context(await WebSocket.connect(server.url))
            await client.opened()
            await client.send("40" + json.dumps(auth))
            try:
                packet = await client.until("4")
            except Closed:
                return PUT_OFF
            if live:
                answering.append(asyncio.create_task(answer(client)))
            return packet

        yield connect
        for task in answering:
            task.cancel()
        await asyncio.gather(*answering, return_exceptions=True)


def ids(server: RunningServer) -> list[str]:
    """A user's connections, oldest first."""
    return [one.id for one in sorted(server.app.registry.of_user("u"), key=lambda one: one.connected_at)]


def probes(server: RunningServer, result: str) -> float:
    return server.app.metrics.registry.get_sample_value("tradecast_probes_total", {"result": result}) or 0.0


@pytest.mark.usefixtures("brief")
async def test_half_open_connection_makes_room(make_server: MakeServer, open_tab: Open) -> None:
    server = await make_server()
    auth = await server.session("u")
    for number in range(MOST):
        assert (await open_tab(server, auth, live=number == 0)).startswith("40")
    before = ids(server)
    assert (await open_tab(server, auth, live=True)).startswith("40"), "the eleventh comes in"
    after = ids(server)
    assert len(after) == MOST
    assert before[0] in after, "the live one stays"
    assert len(set(before) - set(after)) == 1, "and only one has gone"
    assert probes(server, "replaced") == 1


@pytest.mark.usefixtures("brief")
async def test_the_one_heard_from_longest_ago_goes(make_server: MakeServer, open_tab: Open) -> None:
    server = await make_server(max_connections_per_user=3, ping_interval=20)
    auth = await server.session("u")
    for _ in range(3):
        await open_tab(server, auth, live=False)
    engine = server.app.components.socket_server.eio
    connections = server.app.registry.of_user("u")
    for seconds, one in zip((15, 2, 9), connections, strict=True):
        engine.wheel.schedule(engine.sockets[one.transport_sid], seconds)
    assert (await open_tab(server, auth, live=True)).startswith("40")
    left = server.app.registry.of_user("u")
    assert connections[1] not in left
    assert connections[0] in left
    assert connections[2] in left


@pytest.mark.usefixtures("patient")
async def test_eleven_live_tabs_do_not_evict_each_other(make_server: MakeServer, open_tab: Open) -> None:
    server = await make_server()
    auth = await server.session("u")
    for _ in range(MOST):
        await open_tab(server, auth, live=True)
    before = ids(server)
    for _ in range(3):
        assert "TOO_MANY_CONNECTIONS" in await open_tab(server, auth, live=True)
    assert ids(server) == before
    assert probes(server, "answered") == 3
    assert probes(server, "replaced") == 0


@pytest.mark.usefixtures("patient")
async def test_probes_are_few(make_server: MakeServer, open_tab: Open) -> None:
    server = await make_server(max_connections_per_user=2)
    auth = await server.session("u")
    for _ in range(2):
        await open_tab(server, auth, live=True)
    answers = [await open_tab(server, auth, live=True) for _ in range(9)]
    assert len([one for one in answers if "TOO_MANY_CONNECTIONS" in one]) == 6
    assert answers[6:] == [PUT_OFF] * 3, "they come back when they may be probed again"
    assert len(ids(server)) == 2


@pytest.mark.usefixtures("brief")
async def test_two_that_come_at_once(make_server: MakeServer, open_tab: Open) -> None:
    server = await make_server(max_connections_per_user=2)
    auth = await server.session("u")
    for _ in range(2):
        await open_tab(server, auth, live=False)
    answers = await asyncio.gather(*(open_tab(server, auth, live=True) for _ in range(2)))
    assert sorted(answer[:2] for answer in answers) == ["40", PUT_OFF[:2]]
    assert (await open_tab(server, auth, live=True)).startswith("40"), "who was put off comes back, and in"
    assert "TOO_MANY_CONNECTIONS" in await open_tab(server, auth, live=True)


@pytest.mark.redis
@pytest.mark.usefixtures("patient_limits")
async def test_over_two_servers(make_server: MakeServer, redis_server: RedisServer, open_tab: Open) -> None:
    options: dict[str, Any] = {"redis_url": redis_server.url, "max_connections_per_user": 4}
    one, two = await make_server(**options), await make_server(**options)
    await eventually(lambda: one.app.cluster.servers == two.app.cluster.servers == 2)
    auth = await one.session("u")
    for server, live in ((one, True), (two, False), (one, True), (two, True)):
        assert (await open_tab(server, auth, live=live)).startswith("40")
    gone = ids(two)[0]
    assert (await open_tab(one, auth, live=True)).startswith("40")
    assert gone not in ids(two)
    assert (len(ids(one)), len(ids(two))) == (3, 1)
    assert "TOO_MANY_CONNECTIONS" in await open_tab(two, auth, live=True)
    assert await one.app.limiter.get_connection_count("u") == 4


async def test_plain_path_asks_nobody(make_server: MakeServer, open_tab: Open) -> None:
    server = await make_server()
    auth = await server.session("u")
    for _ in range(MOST):
        await open_tab(server, auth, live=True)
    assert [probes(server, result) for result in ("replaced", "answered", "unknown", "limited")] == [0] * 4
