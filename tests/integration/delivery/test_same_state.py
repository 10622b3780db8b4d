"""Whatever a client is like and goes through, in the end it shows what was published last.

Every combination: clients on slow links, that ask for deltas, that take compressed messages; whose connection is lost,
who are moved to another server, and who load their page again, all while a replay of real prices is published.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest

from kit.clients.node import StockClients
from kit.clients.page import Page
from kit.network.slow_link import SlowLink
from kit.servers.redis_server import RedisServer
from kit.servers.serve_service import ServeService
from kit.waiting import eventually
from tradecast.config.settings import load_settings
from tradecast.demo.prices import load_prices
from tradecast.demo.replay import Replay
from tradecast.publishing.publisher import Publisher

pytestmark = [pytest.mark.redis, pytest.mark.node, pytest.mark.timeout(180)]

SEED = 21
SETTINGS = {
    "LOG_LEVEL": "info",
    "ACCEPT_RATE": "1000",
    "ACCEPT_BURST": "1000",
    "THROTTLE": "*=15",
    "WEBSOCKET_COMPRESSION": "true",
}
EVENTS = ("recovered", "moved", "reloaded")
# What a page is like: all that goes together, in each combination.
TRAITS = ("slow", "deltas", "compressed")
KINDS = [kind for count in range(4) for kind in itertools.combinations(TRAITS, count)]
# Between two polls a client is slow, too. Answers to polls are compressed for all clients.
KINDS += [("polling",), ("slow", "polling"), ("deltas", "polling"), ("slow", "deltas", "polling")]
TICKS, TICK = 90, 0.03
# At which tick what happens; trades before a reload are fewer than what an answer lists.
AT = {"recovered": 20, "moved": 40, "reloaded": 60}
TRADE_EVERY = 5
FAST, SLOW = 100_000_000.0, 60_000.0
# Of a slow client: bytes that the kernel takes before the server has to wait.
BUFFER = 4_096
IN_THE_END = 60.0
RUNS = itertools.count()
# Else it was not tried.
COUNTED = (
    "tradecast_compressed_messages_total",
    "tradecast_conflated_messages_total",
    "tradecast_throttled_events_total",
)

_RUNS = itertools.count()


class Publication:
    """A replay of real prices, published to everybody, and trades of each user.

    Args:
        redis: Where to.
        users: Whose trades there are.
        seed: Of the order in a tick.

    Attributes:
        quotes: The newest quote of each symbol.
        trades: How many each user has had.
        status: The market's newest.
    """

    def __init__(self, redis: RedisServer, users: Sequence[str], seed: int) -> None:
        prices = load_prices()
        self.symbols = sorted(prices)
        self.quotes: dict[str, Any] = {}
        self.trades = 0
        self.status: Any = None
        self._replay = Replay(prices, start=prices["FB"].days[40], day_seconds=TICKS * TICK / 2)
        self._users = users
        self._draw = random.Random(seed)
        self._publisher = Publisher(load_settings({"REDIS_URL": redis.url}))
        self._tick = 0
        # A page begins with the newest quotes of the run before: numbers rise over the runs.
        self._first = 1_000 * next(_RUNS)

    async def __aenter__(self) -> Publication:
        await self._publisher.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._publisher.close()

    async def tick(self) -> None:
        """Publish what is next: a quote of each symbol, trades now and then, the market's status when it changes."""
        self._tick += 1
        moment = self._replay.at(self._tick * TICK)
        symbols = self._draw.sample(self.symbols, len(self.symbols))
        quotes = {symbol: self._quote(symbol, moment.quotes[symbol].payload()) for symbol in symbols}
        self.quotes |= quotes
        publish = self._publisher
        async with asyncio.TaskGroup() as group:
            for symbol in symbols:
                group.create_task(publish.emit_watchlist_quote(symbol, quotes[symbol]))
            if self.status is None or moment.state != self.status["phase"]:
                self.status = moment.status()
                group.create_task(publish.emit_market_status(self.status))
        if self._tick % TRADE_EVERY == 0:
            self.trades += 1
            async with asyncio.TaskGroup() as group:
                for user in self._users:
                    trade = {"n": self.trades, "symbol": self.symbols[0], "quantity": 25}
                    group.create_task(publish.emit_trade_executed(user, trade))

    def _quote(self, symbol: str, payload: dict[str, Any]) -> dict[str, Any]:
        # So large that a slow link cannot carry all of them, and that it is compressed.
        depth = [[round(payload["price"] + step / 100, 2), 100 * step] for step in range(1, 90)]
        return {
            **payload,
            "n": self._first + self._tick,
            "depth": depth,
            "note": None if self._tick % 7 == 0 else "replay",
        }


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    """One of the module's own: its servers stay over its tests."""
    server = RedisServer()
    try:
        server.start_now()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module")
def servers(redis: RedisServer) -> Iterator[list[ServeService]]:
    """Two servers of one fleet."""
    servers = [ServeService(REDIS_URL=redis.url, **SETTINGS) for _ in range(2)]
    try:
        for server in servers:
            server.start_now()
        yield servers
    finally:
        for server in servers:
            server.close()


@contextlib.asynccontextmanager
async def opened_pages(
    servers: list[ServeService], clients: StockClients, symbols: Sequence[str], run: str
) -> AsyncIterator[list[Page]]:
    """A page of each kind, loaded."""
    async with contextlib.AsyncExitStack() as stack:
        pages = []
        for number, kind in enumerate(KINDS):
            rate, buffer = (SLOW, BUFFER) if "slow" in kind else (FAST, None)
            link = await stack.enter_async_context(
                SlowLink(servers[0].url, delay=0.0, rate=rate, receive_buffer=buffer)
            )
            auth: dict[str, Any] = dict(await asyncio.to_thread(servers[0].make_session, f"{run}-{number}"))
            if "deltas" in kind:
                auth["deltas"] = True
            options = {
                "transports": ["polling" if "polling" in kind else "websocket"],
                "perMessageDeflate": "compressed" in kind,
            }
            page = Page("+".join(kind) or "plain", clients, link, auth, symbols, **options)
            stack.push_async_callback(page.close)
            pages.append(page)
        await asyncio.gather(*(page.load() for page in pages))
        yield pages


async def interrupt(page: Page, event: str, servers: list[ServeService], before: asyncio.Task[None] | None) -> None:
    """Let something happen to a page, once it has come through what happened before."""
    if before is not None:
        await before
    if event == "reloaded":
        await page.load()
        return
    if event == "moved":
        page.link.target = next(server.url for server in servers if server.url != page.link.target)
    await page.lose_connection()
    await page.client.wait_connect()


def differences(page: Page, publication: Publication) -> list[str]:
    """What a page shows that is not so."""
    found = list(page.wrong)
    for symbol, quote in publication.quotes.items():
        shown = page.quotes.get(symbol)
        if shown != quote:
            found.append(f"{symbol}: shows {shown and shown['n']}, not {quote['n']}")
    if page.trades != list(range(1, publication.trades + 1)):
        found.append(f"trades: {page.trades}, not 1 to {publication.trades}")
    if page.status != publication.status:
        found.append(f"market: {page.status}, not {publication.status}")
    return [f"{page.name}: {one}" for one in found]


def count(servers: list[ServeService]) -> dict[str, float]:
    """What the servers have counted so far, together."""
    metrics = [server.read_metrics() for server in servers]
    return {name: sum(one.get(name, 0.0) for one in metrics) for name in COUNTED}


def name_of(events: tuple[str, ...]) -> str:
    """For the test's name."""
    return "+".join(events) or "undisturbed"


@pytest.mark.parametrize(
    "events",
    [events for count in range(len(EVENTS) + 1) for events in itertools.combinations(EVENTS, count)],
    ids=name_of,
)
async def test_each_client_shows_what_was_published_last(
    events: tuple[str, ...], redis: RedisServer, servers: list[ServeService], stock_clients: StockClients
) -> None:
    run = "-".join(("u", *events))
    counted = await asyncio.to_thread(count, servers)
    users = [f"{run}-{number}" for number in range(len(KINDS))]
    async with (
        Publication(redis, users, SEED) as publication,
        opened_pages(servers, stock_clients, publication.symbols, run) as pages,
    ):
        loop = asyncio.get_running_loop()
        happening: dict[Page, asyncio.Task[None]] = {}
        due = {AT[event]: event for event in events}
        begun = loop.time()
        for tick in range(TICKS):
            if tick in due:
                for page in pages:
                    before = happening.get(page)
                    happening[page] = asyncio.create_task(interrupt(page, due[tick], servers, before))
            await publication.tick()
            await asyncio.sleep(max(0.0, begun + tick * TICK - loop.time()))
        await asyncio.gather(*happening.values())
        with contextlib.suppress(AssertionError):  # what is missing is told below
            await eventually(lambda: not any(differences(page, publication) for page in pages), IN_THE_END, every=0.05)
        await asyncio.gather(*(page.catch_up() for page in pages))
    assert [one for page in pages for one in differences(page, publication)] == []
    now = await asyncio.to_thread(count, servers)
    assert [name for name in COUNTED if now[name] <= counted[name]] == []
    # A slow client may get every quote whole, if its link is never free.
    fast = [page for page in pages if "slow" not in page.name]
    assert {page.name for page in fast if page.deltas} == {page.name for page in fast if "deltas" in page.name}
    if "reloaded" not in events:  # else those before were the former page's
        expected = len(set(events))
        assert {page.recovered for page in pages} == {expected}
