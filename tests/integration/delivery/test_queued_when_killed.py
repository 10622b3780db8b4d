"""What a server had queued for a client when it was killed: recovery brings it, and without recovery it is lost."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx
import pytest

from kit.clients.node import StockClient, StockClients
from kit.network.losing_link import LosingLink
from kit.servers.in_process import API_TOKEN
from kit.servers.process import ServeProcess, serving, tradecast
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually

pytestmark = [pytest.mark.redis, pytest.mark.node]


class Stage(NamedTuple):
    """A client's server behind a link, and another server.

    Attributes:
        victim: The client's server.
        other: Another one of the fleet.
        link: Between client and server.
        auth: The client's session.
    """

    victim: ServeProcess
    other: ServeProcess
    link: LosingLink
    auth: dict[str, Any]

    async def emit(self, **event: Any) -> None:
        """Through the other server, which lives on."""
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            headers = {"authorization": f"Bearer {API_TOKEN}"}
            answer = await http.post(f"{self.other.url}/api/emit", json=event, headers=headers)
            assert answer.status_code == 202, answer.text

    async def quote(self, price: int) -> None:
        await self.emit(event="watchlist:quote", symbol="AAPL", quote={"price": price})

    async def trade(self, number: int) -> None:
        await self.emit(event="trade:executed", userId="u1", trade={"quantity": number})

    def move(self) -> None:
        """The client's server dies; the link leads to the other one from now on, and loses nothing."""
        self.link.losing = ()
        self.link.target = self.other.url
        self.victim.send(signal.SIGKILL)


@pytest.fixture
async def stage(redis_server: RedisServer) -> AsyncIterator[Stage]:
    """Two servers of a fleet, and a link to one of them."""
    async with build(redis_server) as built:
        yield built


@asynccontextmanager
async def build(redis: RedisServer) -> AsyncIterator[Stage]:
    variables = {"REDIS_URL": redis.url, "API_TOKEN": API_TOKEN}
    async with (
        serving(**variables) as victim,
        serving(**variables) as other,
        LosingLink(victim.url) as link,
    ):
        made = await tradecast("session", "create", "u1", "--tier", "premium", REDIS_URL=redis.url)
        auth = {key: json.loads(made.out)[key] for key in ("sessionID", "userId")}
        yield Stage(victim, other, link, auth)


async def subscribe(client: StockClient) -> None:
    for event, payload in (("trades", {"userId": "u1"}), ("watchlist", {"symbols": ["AAPL"]})):
        (answer,) = await client.call(f"subscribe:{event}", payload)
        assert "code" not in answer, answer


def prices(client: StockClient) -> list[int]:
    return [args[0]["quote"]["price"] for args in client.events("watchlist:quote")]


def trades(client: StockClient) -> list[int]:
    return [args[0]["trade"]["quantity"] for args in client.events("trade:executed")]


async def test_a_quote_that_was_queued_behind_a_trade_comes_from_another_server(
    stage: Stage, stock_clients: StockClients
) -> None:
    """The trade's offset covers the quote, which the client never got."""
    client = await stock_clients.connect(stage.link.url, stage.auth, transports=["websocket"])
    await subscribe(client)
    await stage.quote(1)
    await stage.trade(1)
    await eventually(lambda: (prices(client), trades(client)) == ([1], [1]))
    stage.link.losing = [b"watchlist:quote"]
    await stage.quote(2)
    await stage.quote(3)
    await eventually(lambda: stage.link.lost)
    await stage.trade(2)
    await eventually(lambda: trades(client) == [1, 2])
    stage.move()
    await stage.trade(3)
    await eventually(lambda: trades(client)[-1:] == [3])
    assert client.recovered
    await eventually(lambda: prices(client)[-1:] == [3])
    await stage.quote(4)
    await stage.trade(4)
    await eventually(lambda: (prices(client)[-1:], trades(client)[-1:]) == ([4], [4]))
    assert trades(client) == [1, 2, 3, 4], "each once, in order"
    assert prices(client) == sorted(prices(client)), "never an older one behind a newer one"
    assert set(prices(client)) <= {1, 3, 4}


async def test_a_client_without_recovery_loses_what_was_queued(stage: Stage, stock_clients: StockClients) -> None:
    auth = {**stage.auth, "recovery": False}
    client = await stock_clients.connect(stage.link.url, auth, transports=["websocket"])
    await subscribe(client)
    await stage.trade(1)
    await eventually(lambda: trades(client) == [1])
    stage.link.losing = [b"trade:executed"]
    await stage.trade(2)
    await eventually(lambda: stage.link.lost)
    stage.move()
    await client.wait_disconnect()
    await client.wait_connect()
    assert not client.recovered
    await stage.trade(3)  # it is in no room yet
    await subscribe(client)
    await stage.trade(4)
    await eventually(lambda: trades(client)[-1:] == [4])
    assert trades(client) == [1, 4]
