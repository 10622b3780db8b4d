"""One feed for a fleet: real processes on a real Redis, and python-socketio's client on each server."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import socketio
from redis.asyncio import Redis

from kit.servers.process import ServeProcess, start, tradecast
from kit.servers.redis_server import RedisServer
from tradecast.demo.lead import LEAD_KEY

pytestmark = pytest.mark.redis
WITHIN = 60.0


@contextlib.asynccontextmanager
async def demo_server(redis: RedisServer) -> AsyncIterator[str]:
    """A demo server without a feed of its own; its address."""
    variables = {"REDIS_URL": redis.url, "SESSION_STORE": "redis", "LOG_LEVEL": "info", "LOG_FORMAT": "json"}
    async with start("demo", "--no-feed", DEMO_DAY_SECONDS="4", DEMO_TICK_SECONDS="0.1", **variables) as running:
        listening = await running.log("listening")
        yield f"http://127.0.0.1:{listening['public_port']}"


@contextlib.asynccontextmanager
async def feed(redis: RedisServer) -> AsyncIterator[ServeProcess]:
    variables = {"DEMO_DAY_SECONDS": "4", "DEMO_TICK_SECONDS": "0.1", "REDIS_URL": redis.url}
    async with start("feed", **variables) as running:
        listening = await running.log("listening")
        running.admin_url = f"http://127.0.0.1:{listening['admin_port']}"
        yield running


class Watcher:
    """A client that watches one symbol's quotes."""

    def __init__(self) -> None:
        self.quotes: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._client = socketio.AsyncClient(reconnection=False)

    async def connect(self, url: str, auth: dict[str, Any]) -> None:
        async def on_quote(data: dict[str, Any]) -> None:
            self.quotes.put_nowait(data)

        self._client.on("watchlist:quote", on_quote)
        await self._client.connect(url, auth=auth, transports=["websocket"], wait_timeout=WITHIN)
        await self._client.call("subscribe:watchlist", {"symbol": "AAPL"}, timeout=WITHIN)

    async def next(self) -> dict[str, Any]:
        return await asyncio.wait_for(self.quotes.get(), WITHIN)

    async def close(self) -> None:
        await self._client.disconnect()


@contextlib.asynccontextmanager
async def watching(url: str, auth: dict[str, Any]) -> AsyncIterator[Watcher]:
    watcher = Watcher()
    try:
        await watcher.connect(url, auth)
        yield watcher
    finally:
        await watcher.close()


async def both_get_one(here: Watcher, there: Watcher) -> None:
    """Until both have had the same quote: of those that come while a client is behind, it gets the newest alone."""
    of_here, of_there = [await here.next()], [await there.next()]
    async with asyncio.timeout(WITHIN):
        while not any(quote in of_there for quote in of_here):
            of_here.append(await here.next())
            of_there.append(await there.next())


async def log_in(url: str) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=url, timeout=30) as http:
        answer = (await http.post("/demo/login", json={"user": "demo-premium"})).json()
    return {"sessionID": answer["sessionID"], "userId": answer["userId"]}


async def replayed_day(url: str) -> str:
    async with httpx.AsyncClient(base_url=url, timeout=30) as http:
        return str((await http.get("/demo/history", params={"symbol": "AAPL"})).json()["date"])


async def test_one_feed_serves_a_fleet_and_the_next_continues(redis_server: RedisServer) -> None:
    async with demo_server(redis_server) as first, demo_server(redis_server) as second:
        auth = await log_in(first)  # valid on the other server too
        async with watching(first, auth) as here, watching(second, auth) as there:
            day = await replayed_day(second)
            async with contextlib.AsyncExitStack() as feeds:
                leading = await feeds.enter_async_context(feed(redis_server))
                await leading.log("this feed is publishing")
                waiting = await feeds.enter_async_context(feed(redis_server))
                assert (await waiting.log("feed is waiting"))["why"] == "another feed is publishing"
                await both_get_one(here, there)
                async with asyncio.timeout(WITHIN):
                    while await replayed_day(second) == day:  # the history follows, on a server without a feed
                        await there.next()
                async with httpx.AsyncClient(base_url=leading.admin_url, timeout=30) as http:
                    assert (await http.get("/health/ready")).status_code == 200
                    assert (await http.get("/health/redis")).status_code == 200
                    figures = (await http.get("/metrics")).text
                assert 'tradecast_events_emitted_total{event="watchlist:quote"}' in figures
                before = (await here.next())["quote"]["date"]
                leading.send(signal.SIGKILL)
                await waiting.log("this feed is publishing")
                while not here.quotes.empty():
                    here.quotes.get_nowait()
                assert (await here.next())["quote"]["date"] >= before, "it goes on where the other was"
                waiting.send(signal.SIGTERM)
                assert await waiting.ended() == 0


async def test_feed_that_stops_leaves_the_lead_at_once(redis_server: RedisServer) -> None:
    async with feed(redis_server) as first:
        await first.log("this feed is publishing")
        first.send(signal.SIGTERM)
        assert await first.ended() == 0
    async with Redis.from_url(redis_server.url) as redis:
        assert not await redis.exists(LEAD_KEY)


async def test_feed_without_redis_says_so() -> None:
    done = await tradecast("feed")
    assert done.code == 2
    assert "REDIS_URL" in done.err
    assert "Traceback" not in done.err
