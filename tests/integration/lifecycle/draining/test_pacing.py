"""One pace for all servers on a Redis: by the row of slots itself, and by real servers that drain together."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from kit.clients.node import StockClient, StockClients
from kit.lifecycle import ClientsByHand, DrainsByHand, OpenGate, ReceiversByHand
from kit.servers.process import ServeProcess, serving
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.config.settings import load_settings
from tradecast.lifecycle.draining.drain import Drain
from tradecast.lifecycle.draining.paced_disconnect import PacedDisconnect
from tradecast.lifecycle.draining.pacing import BATCH_SECONDS, KEY, FleetPace
from tradecast.redis_client.client import RedisClient, create_redis

pytestmark = pytest.mark.redis


@pytest.fixture
async def redis(redis_server: RedisServer) -> AsyncIterator[RedisClient]:
    client = create_redis(load_settings({}, redis_url=redis_server.url))
    yield client
    await client.aclose()


async def test_slots_of_all_servers_follow_each_other(redis: RedisClient) -> None:
    servers = [FleetPace(redis, ReceiversByHand(), patience=10, jitter=lambda: 0.0) for _ in range(4)]
    started = time.monotonic()
    times = [moment for server in servers for moment in await server.reserve(1_000, 100)]
    late = time.monotonic() - started  # each answer takes its time, and moments count from it
    assert len(times) == 100
    for number, moment in enumerate(times):
        assert started + number / 100 - 0.001 <= moment <= started + number / 100 + late + 0.001


@pytest.mark.serial
async def test_a_batch_is_no_longer_than_what_is_wanted(redis: RedisClient) -> None:
    one, other = (
        FleetPace(redis, ReceiversByHand(), jitter=lambda: 0.0),
        FleetPace(redis, ReceiversByHand(), jitter=lambda: 0.0),
    )
    assert len(await one.reserve(3, 1_000)) == 3
    (moment,) = await other.reserve(1, 1_000)
    assert moment <= time.monotonic() + 0.003


@pytest.mark.serial
async def test_what_is_left_unused_is_soon_over(redis: RedisClient) -> None:
    """A drain that is cancelled leaves at most a batch behind."""
    for _ in range(3):
        await FleetPace(redis, ReceiversByHand()).reserve(100_000, 1_000)
    (moment,) = await FleetPace(redis, ReceiversByHand(), jitter=lambda: 0.0).reserve(1, 1_000)
    assert moment <= time.monotonic() + 3 * BATCH_SECONDS
    assert 0 < await redis.pttl(KEY) <= 1_000 * (3 * BATCH_SECONDS + 1) + 1


@pytest.mark.serial
@pytest.mark.parametrize(("slow", "servers"), [(1e-300, 1), (0.001, 3), (1, 60), (3.9, 60)])
async def test_a_rate_waits_for_no_slots_of_a_far_lower_one(redis: RedisClient, slow: float, servers: int) -> None:
    """A shed of one client in a quarter of an hour, or a rate that was raised since, stops no drain of the fleet."""
    for _ in range(servers):
        await FleetPace(redis, ReceiversByHand(), patience=10).reserve(1_000, slow)
    moments = await FleetPace(redis, ReceiversByHand(), patience=10, jitter=lambda: 0.0).reserve(1_000, 100)
    assert len(moments) == 25
    assert moments[0] <= time.monotonic() + 1


async def test_servers_of_one_low_rate_share_it(redis: RedisClient) -> None:
    started = time.monotonic()
    servers = [FleetPace(redis, ReceiversByHand(), patience=10, jitter=lambda: 0.0) for _ in range(5)]
    times = [moment for server in servers for moment in await server.reserve(1_000, 0.5)]
    late = time.monotonic() - started
    for number, moment in enumerate(times):
        assert started + 2 * number - 0.001 <= moment <= started + 2 * number + late + 0.001


@pytest.mark.serial
async def test_clock_that_was_set_back_keeps_nobody_waiting(redis: RedisClient) -> None:
    seconds, _ = await redis.time()
    in_an_hour = (seconds + 3_600) * 1_000_000
    await redis.hset(KEY, mapping={"free": in_an_hour, "at": in_an_hour})
    assert (await FleetPace(redis, ReceiversByHand()).reserve(1, 10))[0] <= time.monotonic() + 0.2


@pytest.mark.serial
async def test_slow_redis_is_left_alone_for_a_while(redis: RedisClient, redis_server: RedisServer) -> None:
    now = 0.0
    pace = FleetPace(redis, ReceiversByHand(), patience=0.2, leave_alone=5, clock=lambda: now, jitter=lambda: 0.0)
    await redis_server.pause(60)
    try:
        with capture_logs() as logs:
            assert await pace.reserve(2, 10) == [0, 0.1]
            async with asyncio.timeout(0.15):  # nobody is asked
                assert await pace.reserve(2, 10) == [0.2, pytest.approx(0.3)]
            now = 6.0
            assert await pace.reserve(2, 10) == [6, pytest.approx(6.1)]
            assert [entry["log_level"] for entry in logs] == ["warning"], "told once"
            redis_server.resume()
            now = 12.0
            await pace.reserve(1, 10)
            assert logs[-1]["event"] == "all servers keep one pace again"
    finally:
        redis_server.resume()
    assert await redis.exists(KEY)


@pytest.mark.serial
async def test_a_server_whose_turn_would_come_too_late_takes_no_slot(redis: RedisClient) -> None:
    one, other = (FleetPace(redis, ReceiversByHand(), patience=10, jitter=lambda: 0.0) for _ in range(2))
    for _ in range(8):
        await one.reserve(1_000, 100)
    assert await other.reserve(1_000, 100, need=40) == [], "in two seconds, for a quarter of a second's worth"
    assert len(await other.reserve(1_000, 100, need=15)) == 25, "it can wait"
    assert await other.reserve(25, 100, need=15) == [], "not with the last ones"


@pytest.mark.serial
async def test_urgent_servers_wait_for_nobody_but_those_who_take_their_clients(redis: RedisClient) -> None:
    receivers = ReceiversByHand(200)
    servers = [FleetPace(redis, receivers, patience=10, jitter=lambda: 0.0) for _ in range(4)]
    for _ in range(8):
        await servers[0].reserve(1_000, 100)
    started = time.monotonic()
    moments = sorted([moment for server in servers for moment in await server.reserve_urgent(1_000, 10, 40)])
    assert len(moments) == 40
    assert moments[-1] - started < 0.75, "the row of the others is two seconds long"
    started = time.monotonic()
    moments = sorted([moment for server in servers for moment in await server.reserve_urgent(1_000, 10, 150)])
    late = time.monotonic() - started
    assert len(moments) == 4 * 37
    assert moments[-1] - started >= 3 * 37 / 200, "600 a second are more than the receivers take"
    (fast,) = {len(await server.reserve_urgent(1_000, 10, 100_000)) for server in servers}
    assert fast == 50, "one server alone is no faster than the receivers either"
    assert len(await servers[0].reserve_urgent(1_000, 400, 100_000)) == 100, "nor slower than the servers' own rate"
    assert late < 5


async def test_urgent_server_continues_without_redis(own_redis: RedisServer) -> None:
    client = create_redis(load_settings({}, redis_url=own_redis.url, redis_timeout=0.2))
    await own_redis.kill()
    now = 5.0
    pace = FleetPace(client, ReceiversByHand(20), clock=lambda: now, jitter=lambda: 0.0)
    assert await pace.reserve_urgent(100, 10, 1_000) == [5 + number / 20 for number in range(5)]
    await client.aclose()


async def test_drain_ends_in_time_where_redis_hangs(redis: RedisClient, redis_server: RedisServer) -> None:
    clients = ClientsByHand(10)
    disconnects = PacedDisconnect(clients, clients, pace=FleetPace(redis, ReceiversByHand(), patience=30))
    drain = Drain(disconnects, OpenGate(), DrainsByHand(), delay=0, rate=100, timeout=0.3)
    await redis_server.pause(60)
    try:
        async with asyncio.timeout(20):
            await drain.finish()
    finally:
        redis_server.resume()
    assert clients.reasons == ["timeout"] * 10


# -- real servers


class DrainingServers:
    """Servers with stock clients, and when each client was closed.

    Attributes:
        gone: Moments at which clients were seen to go, per server.
    """

    def __init__(self, servers: list[ServeProcess], clients: list[list[StockClient]]) -> None:
        self.servers = servers
        self.gone: list[list[float]] = [[] for _ in servers]
        self._waiting = [
            asyncio.create_task(self._see(client, moments))
            for group, moments in zip(clients, self.gone, strict=True)
            for client in group
        ]

    async def _see(self, client: StockClient, moments: list[float]) -> None:
        await client.wait_disconnect()
        moments.append(time.monotonic())

    def count(self) -> int:
        return sum(map(len, self.gone))

    async def drain(self) -> float:
        """Tell all at once to end; when that was."""
        started = time.monotonic()
        for server in self.servers:
            server.send(signal.SIGTERM)
        return started

    async def over(self) -> None:
        """Until all clients have gone and all servers have ended well."""
        await asyncio.gather(*self._waiting)
        assert [await server.ended() for server in self.servers] == [0] * len(self.servers)

    def close(self) -> None:
        for task in self._waiting:
            task.cancel()


@contextlib.asynccontextmanager
async def fleet(
    redis: RedisServer, clients: StockClients, each: int, **variables: str
) -> AsyncIterator[DrainingServers]:
    """Three servers with `each` stock clients, anonymous ones."""
    async with contextlib.AsyncExitStack() as stack:
        common = {"REDIS_URL": redis.url, "AUTH_REQUIRED": "false", **variables}
        servers = await asyncio.gather(*(stack.enter_async_context(serving(**common)) for _ in range(3)))
        groups = [
            await asyncio.gather(
                *(clients.connect(server.url, {}, ["websocket"], reconnection=False) for _ in range(each))
            )
            for server in servers
        ]
        made = DrainingServers(list(servers), [list(group) for group in groups])
        stack.callback(made.close)
        yield made


@pytest.mark.node
@pytest.mark.serial  # a server that is held up asks for its slots too late to be among the first
async def test_servers_that_end_together_keep_one_pace(redis_server: RedisServer, stock_clients: StockClients) -> None:
    async with fleet(redis_server, stock_clients, 15, DRAIN_RATE="20") as servers:
        started = await servers.drain()
        await servers.over()
        times = sorted(moment for moments in servers.gone for moment in moments)
        assert len(times) == 45
        # 45 at 20 a second take 2.2 s; three times 20 would take 0.75. What is seen may be late, and never early.
        assert times[-1] - started >= 2.1
        for number, moment in enumerate(times, start=1):
            assert number <= 20 * (moment - started) + 2
        half = times[len(times) // 2]
        assert all(any(moment <= half for moment in moments) for moments in servers.gone), "all get on"


@pytest.mark.node
@pytest.mark.serial  # a server that is held up would disconnect the rest at once
async def test_servers_whose_machine_goes_soon_are_ready_before(
    redis_server: RedisServer, stock_clients: StockClients
) -> None:
    """At the rate it would take 24 s, and by the settings ten minutes. There are 6 s, less the time for the end."""
    variables = {"DRAIN_RATE": "1", "DRAIN_TIMEOUT": "600", "PLATFORM_NOTICE": "6", "SHUTDOWN_TIMEOUT": "1"}
    async with fleet(redis_server, stock_clients, 8, **variables) as servers:
        started = await servers.drain()
        await servers.over()
        times = sorted(moment for moments in servers.gone for moment in moments)
        assert len(times) == 24
        assert times[-1] - started <= 6
        for number, moment in enumerate(times, start=1):
            assert number <= 3 * 8 / (0.8 * 5) * (moment - started) + 5, "one by one: no storm at the end"
        for server in servers.servers:
            assert sum("the drain is urgent" in line for line in server.err) == 1
            assert not any("closed the rest at once" in line for line in server.err)


@pytest.mark.node
async def test_redis_that_dies_meanwhile_does_not_stop_them(
    own_redis: RedisServer, stock_clients: StockClients
) -> None:
    # so many that there are enough of them left when Redis is noticed to have died
    async with fleet(own_redis, stock_clients, 40, DRAIN_RATE="15", LOG_LEVEL="info") as servers:
        started = await servers.drain()
        await eventually(lambda: servers.count() >= 10)
        await own_redis.kill()
        await servers.over()
        assert servers.count() == 120
        times = sorted(moment for moments in servers.gone for moment in moments)
        for number, moment in enumerate(times, start=1):
            assert number <= 3 * 15 * (moment - started) + 4, "each at its own pace now"
        for server in servers.servers:
            told = [line for line in server.err if "keeps its own pace" in line]
            assert len(told) <= 1
            assert not any("Traceback" in line for line in server.err)
        assert any("keeps its own pace" in line for server in servers.servers for line in server.err)
