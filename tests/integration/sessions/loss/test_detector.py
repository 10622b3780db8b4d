"""A Redis with the sessions in it that comes back empty: nobody has logged out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from kit.clients.raw import Closed, WebSocket
from kit.servers.in_process import MakeServer, RunningServer
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.config.settings import load_settings
from tradecast.connections.connection import Connection
from tradecast.sessions.admin import SessionAdmin, make_handle
from tradecast.sessions.create import create_sessions
from tradecast.sessions.loss.marks import StoreMarks
from tradecast.sessions.service import Sessions

pytestmark = [pytest.mark.redis, pytest.mark.timeout(180)]
Join = Callable[[RunningServer, dict[str, str]], Awaitable[WebSocket]]


class Clock:
    """The time, and what a test adds."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
async def join() -> AsyncIterator[Join]:
    async with contextlib.AsyncExitStack() as stack:

        async def connect(server: RunningServer, auth: dict[str, str]) -> WebSocket:
            client = await stack.enter_async_context(await WebSocket.connect(server.url))
            await client.opened()
            await client.join(auth)
            return client

        yield connect


async def answer(server: RunningServer, auth: dict[str, str]) -> str:
    """What a new client gets: its packet, or that it is put off."""
    async with await WebSocket.connect(server.url) as client:
        await client.opened()
        await client.send("40" + json.dumps(auth))
        try:
            return await client.until("4")
        except Closed:
            return "put off"


def give_clock(server: RunningServer, clock: Clock) -> None:
    sessions = server.app.sessions
    sessions._clock = clock
    sessions._reader._clock = clock
    sessions.loss._clock = sessions.loss.state._clock = clock
    assert isinstance(sessions.loss._marks, StoreMarks)
    sessions.loss._marks._clock = clock


async def crowd(server: RunningServer, join: Join, count: int) -> list[dict[str, str]]:
    auths = [await server.session(f"u{number}") for number in range(count)]
    for auth in auths:
        await join(server, auth)
    await eventually(lambda: server.app.components.watcher.mode == "polling")
    await eventually(lambda: server.app.sessions.loss.instances is not None)
    await eventually(lambda: len(server.app.components.watcher._known) == count)
    return auths


def here(server: RunningServer) -> int:
    return len(server.app.registry)


async def restart_empty(redis: RedisServer) -> None:
    redis.kill_now()
    redis.start_now()


async def lost(server: RunningServer, count: int) -> None:
    await eventually(lambda: len(server.app.sessions.loss.state.lost) == count, 60)


async def looked(server: RunningServer, times: int = 3) -> None:
    """So many looks at the store are done."""
    watcher, seen = server.app.components.watcher, 0
    original = watcher._mark_up

    def count(mode: Any) -> None:
        nonlocal seen
        seen += 1
        original(mode)

    watcher._mark_up = count  # type: ignore[method-assign]
    await eventually(lambda: seen >= times, 60)
    watcher._mark_up = original  # type: ignore[method-assign]


@contextlib.asynccontextmanager
async def command_line(redis: RedisServer) -> AsyncIterator[SessionAdmin]:
    """What `tradecast session` does: another process on the same Redis."""
    from tradecast.redis_client.client import create_redis

    settings = load_settings({"REDIS_URL": redis.url})
    client = create_redis(settings)
    book: Sessions = create_sessions(settings, client)
    yield SessionAdmin(book)
    await book.close()
    await client.aclose()


async def test_everybody_stays_until_the_time_has_passed(
    make_server: MakeServer, own_redis: RedisServer, join: Join
) -> None:
    server = await make_server(redis_url=own_redis.url)
    clock = Clock()
    give_clock(server, clock)
    auths = await crowd(server, join, 22)
    await restart_empty(own_redis)
    await lost(server, 22)
    await looked(server)
    assert here(server) == 22
    assert "tradecast_sessions_lost 22.0" in server.app.metrics.render_prometheus()[1].decode()
    assert await answer(server, auths[0]) == "put off", "as if the store did not answer"
    assert await answer(server, {"sessionID": "x" * 32, "userId": "u"}) == "put off"
    again = await server.session("u0")
    assert (await answer(server, again)).startswith("40"), "who has logged in again comes in"
    clock.ahead = 901
    await eventually(lambda: here(server) == 0, 60)
    assert "SESSION_NOT_FOUND" in await answer(server, auths[0])
    assert "tradecast_sessions_lost 0.0" in server.app.metrics.render_prometheus()[1].decode()


async def test_clients_that_connect_while_it_happens_stay(
    make_server: MakeServer, own_redis: RedisServer, join: Join
) -> None:
    """Their sessions were read before, and they are connected afterwards."""
    limited, go_on = 0, asyncio.Event()

    async def wait(connection: Connection) -> None:
        nonlocal limited
        limited += 1
        if connection.user is not None and connection.user.id.startswith("slow"):
            await go_on.wait()

    server = await make_server(
        lambda app: app.set_rate_limit_middleware(wait), redis_url=own_redis.url, connect_timeout=60
    )
    await crowd(server, join, 22)
    slow = [await server.session(f"slow{number}") for number in range(3)]
    connecting = asyncio.gather(*(join(server, auth) for auth in slow))
    await eventually(lambda: limited == 25)
    await restart_empty(own_redis)
    await lost(server, 22)
    await looked(server)
    go_on.set()
    await connecting
    await looked(server)
    assert here(server) == 25
    # Revocations reach them, though no poll has seen their sessions.
    async with command_line(own_redis) as admin:
        await admin.revoke(user_id="slow0")
        await eventually(lambda: here(server) == 24, 60)
        await admin.revoke(session_id=slow[1]["sessionID"])
        await eventually(lambda: here(server) == 23, 60)


async def test_few_sessions_are_people_who_have_logged_out(
    make_server: MakeServer, own_redis: RedisServer, join: Join
) -> None:
    server = await make_server(redis_url=own_redis.url)
    auths = await crowd(server, join, 19)
    await restart_empty(own_redis)
    await eventually(lambda: here(server) == 0, 60)
    await eventually(lambda: _is_refused(server, auths[0]), 60)


async def _is_refused(server: RunningServer, auth: dict[str, str]) -> bool:
    return "SESSION_NOT_FOUND" in await answer(server, auth)


async def test_the_same_instance_that_is_emptied_has_been_emptied_by_somebody(
    make_server: MakeServer, own_redis: RedisServer, join: Join
) -> None:
    server = await make_server(redis_url=own_redis.url)
    await crowd(server, join, 22)
    await own_redis.ask("FLUSHALL")
    await eventually(lambda: here(server) == 0, 60)


async def test_log_outs_count_meanwhile(make_server: MakeServer, own_redis: RedisServer, join: Join) -> None:
    server, other = await make_server(redis_url=own_redis.url), await make_server(redis_url=own_redis.url)
    auths = await crowd(server, join, 24)
    few = [await other.session(f"o{number}") for number in range(3)]
    for auth in few:
        await join(other, auth)
    await eventually(lambda: len(other.app.components.watcher._known) == 3)
    await restart_empty(own_redis)
    await lost(server, 24)
    await lost(other, 3)
    assert (here(server), here(other)) == (24, 3), "a server with few clients is told by one with many"
    again = await server.session("u5")
    await join(server, again)
    await own_redis.ask("DEL", f"sess:{again['sessionID']}")
    await eventually(lambda: here(server) == 24, 60)
    # the admin API of another server, the command line
    assert await SessionAdmin(other.app.sessions).revoke(session_id=auths[0]["sessionID"]) == 0
    await eventually(lambda: here(server) == 23, 60)
    assert "SESSION_NOT_FOUND" in await answer(server, auths[0])
    async with command_line(own_redis) as admin:
        await admin.revoke(user_id="u1")
        await eventually(lambda: here(server) == 22, 60)
        await admin.revoke(handle=make_handle(auths[2]["sessionID"]))
        await eventually(lambda: here(server) == 21, 60)
        late = await make_server(redis_url=own_redis.url)
        assert await answer(late, auths[9]) == "put off", "a server that starts afterwards has heard of it"
        await admin.revoke(everything=True)
        await eventually(lambda: here(server) == here(other) == 0, 60)
        assert "SESSION_NOT_FOUND" in await answer(late, auths[9])


async def test_restarted_with_what_it_had(make_server: MakeServer, durable_redis: RedisServer, join: Join) -> None:
    server = await make_server(redis_url=durable_redis.url)
    auths = await crowd(server, join, 21)
    durable_redis.stop_now()
    durable_redis.start_now()
    await looked(server, 4)
    assert here(server) == 21
    assert not server.app.sessions.loss.state.active
    await durable_redis.ask("DEL", f"sess:{auths[0]['sessionID']}")
    await eventually(lambda: here(server) == 20, 60)


async def test_all_of_a_store_without_a_loss(make_server: MakeServer, own_redis: RedisServer, join: Join) -> None:
    server = await make_server(redis_url=own_redis.url)
    await crowd(server, join, 21)
    async with command_line(own_redis) as admin:
        assert await admin.revoke(everything=True) == 21
    await eventually(lambda: here(server) == 0, 60)
