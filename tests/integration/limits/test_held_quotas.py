"""What counts against a user's quotas is what is really held, whatever becomes of connections: a property."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit.clients.raw import CLOSE, Closed, WebSocket, client_frame
from kit.clock import HandClock
from kit.servers.in_process import MakeServer, RunningServer, settings_for_tests
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.engine.connection import Connection
from tradecast.engine.message import Message
from tradecast.events.subscriptions import is_subscription
from tradecast.limits.quota_ledger import QuotaLedger
from tradecast.redis_client.script import user_tag
from tradecast.server import WebSocketServer
from tradecast.sessions.models import Session, Tier, User
from unit.engine.hosts import FakeTransport
from unit.engine.http.test_request import request

TABS = 3
SLOTS = 4
KEY = f"tradecast:quota:{user_tag('u')}:subscriptions"
FIGURES: dict[str, Any] = {
    "max_connections_per_user": TABS,
    "recovery_window": 60,
    "rate_limit_global": 100_000,
    "rate_limit_subscribe": 100_000,
    "rate_limit_unsubscribe": 100_000,
}
OPERATIONS = (
    *("subscribe", "lose", "recover", "subscribe", "lose", "recover", "subscribe", "lose", "recover", "subscribe"),
    *("connect", "unsubscribe", "recover badly", "recover beside", "leave", "leave the page"),
    *("tier", "expire", "renew", "other tabs"),
)
STEPS = st.lists(
    st.tuples(st.sampled_from(OPERATIONS), st.integers(0, SLOTS - 1), st.integers(0, 5)), min_size=25, max_size=60
)

Steps = list[tuple[str, int, int]]


class Answering(FakeTransport):
    """A transport whose client answers heartbeats: a user with too many connections is probed."""

    connection: Connection

    def send(self, message: Message) -> None:
        super().send(message)
        if "2" in message.packets:
            asyncio.get_running_loop().call_soon(self.connection.receive, "3")


class Tab:
    """A client, on a transport without a network."""

    def __init__(self, app: WebSocketServer) -> None:
        self.app = app
        self.transport = Answering()
        self.connection: Connection = app.components.socket_server.eio.open(request(), self.transport)
        self.transport.connection = self.connection
        self.pid: str | None = None

    @property
    def alive(self) -> bool:
        return self.connection.reason is None and self.pid is not None

    async def connect(self, auth: dict[str, Any]) -> None:
        self.transport.sent.clear()
        self.connection.receive("40" + json.dumps(auth))
        await eventually(lambda: self.transport.sent or self.connection.closed)
        for packet in self.transport.sent:
            if isinstance(packet, str) and packet.startswith("40"):
                self.pid = json.loads(packet[2:]).get("pid", "")

    async def ask(self, number: int, event: str, symbol: str) -> None:
        self.connection.receive(f"42{number}" + json.dumps([event, {"symbol": symbol}]))
        answer = f"43{number}["
        await eventually(
            lambda: (
                self.connection.closed
                or any(isinstance(packet, str) and packet.startswith(answer) for packet in self.transport.sent)
            )
        )


class QuotaModel:
    """Servers, one user, and what the user does.

    Attributes:
        apps: The servers.
        pids: The private ids that its clients were given, by slot.
    """

    def __init__(
        self, apps: Sequence[WebSocketServer], most: int, auth: dict[str, Any], clock: HandClock, redis: Any
    ) -> None:
        self.apps = apps
        self.most = most
        self.auth = auth
        self.clock = clock
        self.redis = redis
        self.tabs: dict[int, Tab] = {}
        self.everybody: list[Tab] = []
        self.pids: dict[int, str] = {}
        self.numbers = itertools.count(1)

    @property
    def live(self) -> set[str]:
        """The subscriptions that connections really have."""
        return {
            f"{connection.id}|{room}"
            for app in self.apps
            for connection in app.registry.of_user("u")
            for room in connection.rooms
            if is_subscription(room)
        }

    @property
    def connections(self) -> int:
        return sum(len(app.registry.of_user("u")) for app in self.apps)

    async def do(self, what: str, which: int, number: int) -> None:
        """One step. `which` picks among the slots that it can be about, so that most steps do something."""
        alive = [slot for slot in range(SLOTS) if slot in self.tabs and self.tabs[slot].alive]
        free = [slot for slot in range(SLOTS) if slot not in alive]
        lost = [slot for slot in free if slot in self.pids]
        app = self.apps[number % len(self.apps)]
        if free and (what == "connect" or (what == "subscribe" and not alive)):
            await self.come(free[which % len(free)], app, {})
        elif what == "other tabs":
            for slot in free:
                await self.come(slot, app, {})
        elif what in ("recover", "recover badly") and lost:
            slot = lost[which % len(lost)]
            offset = {} if what == "recover" else {"offset": ("nonsense", "zz.1", "0", "", "-", "9")[number]}
            await self.come(slot, app, {"pid": self.pids[slot], **offset})
        elif what == "tier":
            tiers: tuple[Tier, ...] = ("free", "premium")  # in between, watchlists are left
            for tier in tiers:
                for one in self.apps:
                    await one.components.sync.apply_change(Session(self.auth["sessionID"], User("u", tier=tier), 9e9))
        elif what == "expire":
            await self.expire()
        elif what == "renew":
            await app.limiter.renew_all()
        elif alive:
            slot = alive[which % len(alive)]
            tab = self.tabs[slot]
            if what == "recover beside":
                await self.come(slot, app, {"pid": self.pids[slot]})
            elif what in ("subscribe", "unsubscribe"):
                await tab.ask(next(self.numbers), f"{what}:watchlist", f"S{number}")
            elif what == "leave":
                tab.connection.receive("41")
            elif what in ("lose", "leave the page"):
                if what == "leave the page":
                    tab.app.components.socket_server.transport_table.page_left(tab.connection.sid)
                tab.connection.lost("transport close")
        await self.check()

    async def come(self, slot: int, app: WebSocketServer, more: dict[str, Any]) -> None:
        tab = self.tabs[slot] = Tab(app)
        self.everybody.append(tab)
        await tab.connect({**self.auth, **more})
        if tab.pid:
            self.pids[slot] = tab.pid

    async def expire(self) -> None:
        """The time is over within which clients could have come back."""
        await self.settle()
        self.clock.now += 61
        if self.redis is not None:
            members = await self.redis.ask("ZRANGE", KEY, 0, -1)
            for member in set(members) - self.live:
                await self.redis.ask("ZADD", KEY, 1, member)
        await eventually(self.counts_what_is_held)

    async def counts_what_is_held(self) -> bool:
        counts = [await app.limiter.get_subscription_count("u") for app in self.apps]
        return counts == [len(self.live)] * len(self.apps)

    async def settle(self) -> None:
        """What goes on in the background is done."""
        for _ in range(5):
            await asyncio.sleep(0)  # engines tell of the end of connections in the next turns

        async def settled() -> bool:
            tasks = any(app.components.clients.tasks or app.components.hub.states.tasks for app in self.apps)
            return not tasks and await self.apps[0].limiter.get_connection_count("u") == self.connections

        await eventually(settled)

    async def check(self) -> None:
        await self.settle()
        assert self.connections <= TABS
        assert len(self.live) <= self.most, "no more than the quota is live"
        for app in self.apps:
            count = await app.limiter.get_subscription_count("u")
            assert len(self.live) <= count <= self.most
        if self.redis is not None:
            assert self.live <= set(await self.redis.ask("ZRANGE", KEY, 0, -1)), "what is live is counted by its name"

    async def end(self) -> None:
        """Everybody goes for good, and nothing is left."""
        for tab in self.everybody:
            if tab.alive:
                tab.connection.receive("41")
        await self.settle()
        assert self.connections == 0
        await self.expire()
        for app in self.apps:
            assert await app.limiter.get_subscription_count("u") == 0
            assert await app.limiter.get_connection_count("u") == 0
            assert list(app.limiter._ledger) == []


@contextlib.asynccontextmanager
async def world(servers: int, most: int, redis: RedisServer | None = None) -> AsyncIterator[QuotaModel]:
    clock = HandClock()
    where = {} if redis is None else {"redis_url": redis.url}
    made = [
        WebSocketServer(settings_for_tests(max_subscriptions_per_user=most, **FIGURES, **where)) for _ in range(servers)
    ]
    for app in made:
        await app.initialize()
        app.limiter._ledger = QuotaLedger(app.settings.recovery_window, clock)
    try:
        session_id, _ = await made[0].sessions.create(User("u", tier="premium"), 3600)
        yield QuotaModel(made, most, {"sessionID": session_id, "userId": "u"}, clock, redis)
    finally:
        for app in made:
            await app.shutdown()


async def play(steps: Steps, most: int, servers: int, redis: RedisServer | None = None) -> None:
    async with world(servers, most, redis) as found:
        for what, slot, number in steps:
            await found.do(what, slot, number)
        await found.end()


@settings(derandomize=True, database=None, deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(steps=STEPS, most=st.integers(1, 3))
def test_in_memory(steps: Steps, most: int) -> None:
    asyncio.run(play(steps, most, 1))


@pytest.mark.redis
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("patient_limits")
@settings(derandomize=True, database=None, deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(steps=STEPS, most=st.integers(1, 3))
def test_over_two_servers(redis_process: RedisServer, steps: Steps, most: int) -> None:
    redis_process.repair()
    asyncio.run(play(steps, most, 2, redis_process))


# -- the two faults that were reported


answers: dict[WebSocket, asyncio.Queue[str]] = {}


async def acknowledged(client: WebSocket) -> str:
    """The next acknowledgement."""
    async with asyncio.timeout(20):
        return await answers.setdefault(client, asyncio.Queue()).get()


OpenTab = Callable[[RunningServer, dict[str, Any]], Awaitable[tuple[WebSocket, str]]]


@pytest.fixture
async def tab() -> AsyncIterator[OpenTab]:
    """Open a tab: its WebSocket, and what it is answered. From then on it answers heartbeats."""
    readers: dict[WebSocket, asyncio.Task[None]] = {}

    async def read(client: WebSocket) -> None:
        with contextlib.suppress(Closed):
            while True:
                packet = await client.packet()
                if packet == "2":
                    await client.send("3")
                elif isinstance(packet, str) and packet.startswith("43"):
                    answers.setdefault(client, asyncio.Queue()).put_nowait(packet)

    async with contextlib.AsyncExitStack() as stack:

        async def open_tab(server: RunningServer, auth: dict[str, Any]) -> tuple[WebSocket, str]:
            client = await stack.enter_async_context(await WebSocket.connect(server.url))
            await client.opened()
            await client.send("40" + json.dumps(auth))
            answer = await client.until("4")
            if answer.startswith("40"):
                readers[client] = asyncio.create_task(read(client))
            return client, answer

        yield open_tab
        for reader in readers.values():
            reader.cancel()
        await asyncio.gather(*readers.values(), return_exceptions=True)


async def test_refused_recovery_gives_back_what_it_had_taken(make_server: MakeServer, tab: OpenTab) -> None:
    server = await make_server(max_connections_per_user=2, recovery_window=1)
    auth = await server.session("u")
    limiter = server.app.limiter
    client, answer = await tab(server, auth)
    for n in range(8):
        await client.send(f'42{n}["subscribe:watchlist",{{"symbol":"S{n}"}}]')
        await acknowledged(client)
    client.writer.transport.abort()
    await eventually(lambda: not server.app.registry.of_user("u"))
    assert await limiter.get_subscription_count("u") == 8, "they can be recovered"
    tabs = [await tab(server, auth) for _ in range(2)]
    _, refusal = await tab(server, {**auth, "pid": json.loads(answer[2:])["pid"]})
    assert "TOO_MANY_CONNECTIONS" in refusal

    async def given_back() -> bool:
        return await limiter.get_subscription_count("u") == 0

    await eventually(given_back)
    assert await limiter.get_connection_count("u") == len(tabs)


@pytest.mark.parametrize("leaving", ["lost", "page left"])
async def test_no_more_live_than_the_quota_by_dropping_and_recovering(
    make_server: MakeServer, tab: OpenTab, leaving: str
) -> None:
    server = await make_server(max_subscriptions_per_user=10, max_connections_per_user=20)
    auth = await server.session("u")
    pids, refused = [], 0
    for round_ in range(8):
        client, answer = await tab(server, auth)
        pids.append(json.loads(answer[2:])["pid"])
        for n in range(10):
            await client.send(f'42{n}["subscribe:watchlist",{{"symbol":"R{round_}S{n}"}}]')
            refused += "QUOTA_EXCEEDED" in await acknowledged(client)
        if leaving == "lost":
            client.writer.transport.abort()
        else:
            await client.write(client_frame(CLOSE, (1001).to_bytes(2, "big")))
        await eventually(lambda: not server.app.registry.of_user("u"))
    assert refused == (70 if leaving == "lost" else 0), "what is lost is counted, what is left is not"
    clients = [await tab(server, {**auth, "pid": pid}) for pid in pids]
    live = [room for one in server.app.registry.of_user("u") for room in one.rooms if is_subscription(room)]
    assert len(server.app.registry.of_user("u")) == len(clients)
    assert len(live) == 10
    assert await server.app.limiter.get_subscription_count("u") == 10
