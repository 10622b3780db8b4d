"""Servers that leave new clients to newer ones, through a real Redis."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from kit.clients.node import StockClients
from kit.clients.raw import WEBSOCKET, request, websocket_head
from kit.network.forwarder import Forwarder
from kit.servers.in_process import MakeServer, RunningServer
from kit.servers.process import ServeProcess, serving
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.config.settings import load_settings
from tradecast.lifecycle.revision_registry import KEY, RevisionRegistry, State
from tradecast.lifecycle.rollout import Rollout
from tradecast.redis_client.client import RedisClient, create_redis

pytestmark = pytest.mark.redis


@pytest.fixture
async def redis(redis_server: RedisServer) -> AsyncIterator[RedisClient]:
    client = create_redis(load_settings({}, redis_url=redis_server.url))
    yield client
    await client.aclose()


PATIENT = 20.0
"""Seconds: a Redis that is held up by a busy machine is no Redis that is away."""


class Pod:
    """What one server tells, by hand."""

    def __init__(self, redis: RedisClient, name: str, revision: str, state: State = "ready", **options: Any) -> None:
        self.now, self.rollout = state, Rollout()
        options = {"patience": PATIENT, **options}
        self.registry = RevisionRegistry(redis, name, revision, self, self.rollout, **options)

    def state(self) -> State:
        """As of `StateSource`."""
        return self.now

    async def look(self) -> bool:
        await self.registry.refresh()
        return self.rollout.superseded


async def test_rollout_and_a_drain_of_what_is_new(redis: RedisClient) -> None:
    old = Pod(redis, "a", "1")
    assert not await old.look()
    new = Pod(redis, "b", "2", "starting")
    assert not await new.look()
    assert not await old.look(), "nobody reaches it yet"
    new.now = "ready"
    assert not await new.look()
    assert await old.look()
    assert (old.registry.servers, new.registry.servers) == (2, 2)
    assert (old.rollout.takers, new.rollout.takers) == (1, 1), "the new one, which the old one's clients go to"
    new.now = "leaving"
    await new.look()
    assert not await old.look()
    assert old.registry.servers == 1
    new.now = "ready"
    await new.look()
    assert await old.look()
    await new.registry.leave()
    assert not await old.look()


async def test_rollback_while_servers_of_the_old_revision_live(redis: RedisClient) -> None:
    first, second, again = Pod(redis, "a", "1"), Pod(redis, "b", "2"), Pod(redis, "c", "1")
    for pod in (first, second):
        await pod.look()
    assert await first.look()
    assert not await again.look()
    assert await second.look()
    assert not await first.look()


async def test_container_that_is_restarted_is_no_newer(redis: RedisClient) -> None:
    await Pod(redis, "a", "1").look()
    await Pod(redis, "b", "2").look()
    assert await Pod(redis, "a", "1").look()
    assert not await Pod(redis, "b", "2").look()


async def test_silent_server_is_soon_forgotten_but_not_its_start(redis: RedisClient) -> None:
    old, new = Pod(redis, "a", "1"), Pod(redis, "b", "2")
    impatient = Pod(redis, "a", "1", lease=0.05)
    for pod in (old, new):
        await pod.look()
    assert await old.look()
    await asyncio.sleep(0.1)  # a lease is a time
    assert not await impatient.look()
    assert impatient.registry.servers == 1
    assert await old.look(), "by a longer lease it lives"
    assert set(await redis.hkeys(KEY)) == {b"a", b"b"}


async def test_redis_that_lost_everything_is_notified_again(redis: RedisClient) -> None:
    old, new = Pod(redis, "a", "1"), Pod(redis, "b", "2")
    for pod in (old, new):
        await pod.look()
    await redis.flushdb()
    assert not await new.look()
    assert await old.look(), "announced later, and yet older"


async def test_what_a_clock_set_back_left_behind_does_not_count(redis: RedisClient) -> None:
    seconds, _ = await redis.time()
    for name, ahead in (("b", 60), ("c", 3_600)):
        ahead_of_now = (seconds + ahead) * 1_000_000
        await redis.hset(KEY, name, f"{ahead_of_now} {ahead_of_now} ready 2")
    assert not await Pod(redis, "a", "1").look()
    assert set(await redis.hkeys(KEY)) == {b"a", b"b"}


async def test_hanging_redis_supersedes_nobody(redis: RedisClient, redis_server: RedisServer) -> None:
    old = Pod(redis, "a", "1", patience=0.2)
    await old.look()
    await Pod(redis, "b", "2").look()
    await eventually(old.look)  # it may be impatient with a Redis that is only busy
    await redis_server.pause(60)
    try:
        with capture_logs() as logs:
            assert not await old.look()
            assert not await old.look()
        assert [entry["log_level"] for entry in logs if entry["log_level"] == "warning"] == ["warning"], "told once"
        assert old.registry.servers == 0
        await old.registry.leave()
    finally:
        redis_server.resume()


# -- in a server


def superseded(server: RunningServer) -> float | None:
    return server.app.metrics.registry.get_sample_value("tradecast_superseded")


async def test_server_says_so_everywhere_and_stays_ready(make_server: MakeServer, own_redis: RedisServer) -> None:
    options: dict[str, Any] = {"redis_url": own_redis.url, "auth_required": False}
    old = await make_server(**options, fleet_revision="1", pod_name="pod-a")
    assert superseded(old) == 0
    new = await make_server(**options, fleet_revision="2")
    plain = await make_server(**options)
    await eventually(lambda: superseded(old) == 1)
    async with (
        httpx.AsyncClient(base_url=old.url, timeout=30) as http,
        httpx.AsyncClient(base_url=old.admin_url) as admin,
    ):
        ready = await http.get("/health/ready")
        assert (ready.status_code, ready.json()) == (200, {"status": "superseded"})
        await eventually(lambda: old.app.cluster.servers == 3)
        stats = (await admin.get("/admin/stats")).json()["fleet"]
        assert stats == {"pod": "pod-a", "revision": "1", "superseded": True, "servers": 3, "connections": 0}
        refused = await request(old.url, websocket_head(WEBSOCKET))
        assert (refused.status, refused.json()["code"]) == (503, "SERVER_SUPERSEDED")
        assert (superseded(new), superseded(plain)) == (0, 0)
        await own_redis.kill()
        await eventually(lambda: superseded(old) == 0)
        assert (await http.get("/health/ready")).json() == {"status": "ready"}


async def test_new_server_counts_when_endpoints_have_followed(
    make_server: MakeServer, redis_server: RedisServer
) -> None:
    old = await make_server(redis_url=redis_server.url, fleet_revision="1")
    new = await make_server(redis_url=redis_server.url, fleet_revision="2", drain_delay=3600)
    fleet = new.app.components.revisions
    assert fleet is not None
    await eventually(lambda: fleet.servers == 2)
    await eventually(lambda: old.app.components.revisions is not None and old.app.components.revisions.servers == 2)
    assert superseded(old) == 0
    new.app.components.readiness._listening_since = time.monotonic() - 3_601
    await eventually(lambda: superseded(old) == 1)
    new.app.components.drain.start()
    await eventually(lambda: superseded(old) == 0)
    new.app.components.drain._delay = 0  # it is stopped now
    assert new.app.components.drain.cancel()


@pytest.mark.node
async def test_clients_find_the_new_server_and_the_old_one_when_that_dies(
    redis_server: RedisServer, stock_clients: StockClients
) -> None:
    common = {"REDIS_URL": redis_server.url, "AUTH_REQUIRED": "false", "LOG_LEVEL": "info"}

    async def connections(server: ServeProcess) -> int:
        async with httpx.AsyncClient(base_url=server.admin_url, timeout=30) as http:
            return int((await http.get("/admin/stats")).json()["websocket"]["totalConnections"])

    async with serving(**common, FLEET_REVISION="1") as old, Forwarder(old.url) as service:

        async def connect(count: int) -> list[Any]:
            opening = [
                await stock_clients.open(service.url, {}, ["websocket"], reconnectionDelay=100) for _ in range(count)
            ]
            await asyncio.gather(*(client.wait_connect() for client in opening))
            return opening

        early = await connect(3)
        async with serving(**common, FLEET_REVISION="2") as new:
            service.urls.append(new.url)
            await old.log("superseded: new clients go to newer servers")
            late = await connect(6)
            assert (await connections(old), await connections(new)) == (3, 6)
            assert sum(client.reconnect_attempts for client in late) > 0, "every second connection went to the old one"
            assert all(client.connected and not client.reconnect_attempts for client in early), "they stay"
            new.send(signal.SIGKILL)
            await old.log("not superseded any more")
            await asyncio.gather(*(client.wait_disconnect() for client in late))
            await asyncio.gather(*(client.wait_connect() for client in late))
        assert await connections(old) == 9
