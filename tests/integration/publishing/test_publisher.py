"""Emitters of another process, through a real Redis to a real server."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import re
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest
import structlog

from kit.clients.python import PythonClients
from kit.servers.in_process import MakeServer, settings_for_tests
from kit.servers.redis_cluster import RedisCluster
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.config.settings import SettingsError, load_settings
from tradecast.delivery.errors import AdapterUnavailable
from tradecast.events.payloads import Trade
from tradecast.packets.exact import NotExact
from tradecast.publishing.publisher import Publisher
from tradecast.publishing.sync_publisher import SyncPublisher

pytestmark = pytest.mark.redis
PREFIX = "tradecast:events:0:{0}:"
NUMBER = re.compile(r'"n":(\d+)')


class Seen:
    """Keeps the names of the events that Redis has taken (`EmitObserver`)."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def event_emitted(self, event: str, recipients: int) -> None:
        """As of `EmitObserver`."""
        self.events.append(event)


@pytest.mark.parametrize("database", [0, 3])
async def test_published_events_reach_clients(
    redis_server: RedisServer, make_server: MakeServer, database: int
) -> None:
    settings = {"redis_url": f"redis://127.0.0.1:{redis_server.port}/{database}"}
    server = await make_server(**settings)
    seen = Seen()
    async with (
        PythonClients() as clients,
        Publisher(settings_for_tests(**settings), seen) as out,
    ):
        session = await server.session("u1")
        client = await clients.connect(server.url, {**session, "recovery": False}, ["websocket"])
        await out.emit_notification("u1", {"title": "Hello"})
        received, *_ = await client.wait_for("notification")  # an offset follows
        assert received["notification"] == {"title": "Hello"}
        assert received["userId"] == "u1"
        await out.emit_market_status("open")
        (status,) = await client.wait_for("market:status")
        assert status["status"] == "open"
        with pytest.raises(TypeError):
            await out.emit_notification("u1", {"title": object()})
    assert seen.events == ["notification", "market:status"]


async def test_it_publishes_for_both_modes_or_for_one(
    redis_server: RedisServer, empty_cluster: RedisCluster, make_server: MakeServer
) -> None:
    urls = {"redis_url": redis_server.url, "redis_cluster_url": empty_cluster.url}
    servers = [await make_server(**urls, adapter_mode=mode) for mode in ("pubsub", "sharded")]
    session = {**await servers[0].session("u1"), "recovery": False}

    def program() -> None:
        with SyncPublisher(settings_for_tests(**urls)) as out:
            out.emit_notification("u1", {"n": "both, from a program without an event loop"})

    async with (
        PythonClients() as clients,
        Publisher(settings_for_tests(**urls)) as both,
        Publisher(settings_for_tests(**urls), both=False) as one,
        Publisher(settings_for_tests(**urls, adapter_mode="sharded"), both=False) as other,
    ):
        near, far = [await clients.connect(server.url, session, ["websocket"]) for server in servers]
        await one.emit_notification("u1", {"n": "pubsub"})
        await other.emit_notification("u1", {"n": "sharded"})
        await asyncio.to_thread(program)
        await both.emit_notification("u1", {"n": "last"})
        for client, own in ((near, "pubsub"), (far, "sharded")):
            await client.wait_for("notification", lambda args: args[0]["notification"]["n"] == "last")
            said = [args[0]["notification"]["n"] for args in client.events("notification")]
            assert said == [own, "both, from a program without an event loop", "last"]


@pytest.mark.parametrize(
    ("settings", "both", "why"),
    [
        ({"redis_url": "redis://x"}, True, "REDIS_CLUSTER_URL: is needed"),
        ({"redis_url": "redis+cluster://x"}, True, "REDIS_CLUSTER_URL: is needed"),
        ({"redis_url": "redis://x", "adapter_mode": "single"}, None, "ADAPTER_MODE: servers in mode single"),
    ],
)
def test_where_it_cannot_be_heard_it_says_so(settings: dict[str, str], both: bool | None, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        Publisher(settings_for_tests(**settings), both=both)


async def test_several_rooms_with_exceptions(redis_server: RedisServer, make_server: MakeServer) -> None:
    server = await make_server(redis_url=redis_server.url)
    async with PythonClients() as clients, Publisher(settings_for_tests(redis_url=redis_server.url)) as out:
        one, other = [
            await clients.connect(server.url, {**await server.session(user), "recovery": False}, ["websocket"])
            for user in ("u1", "u2")
        ]
        await out.emit("first", ("several", 1), to=["user:u1", "authenticated"])
        await out.emit("second", to=["user:u1", "authenticated"], except_rooms="user:u2", volatile=True)
        await out.emit("third", 3, to="authenticated", skip_sid=server.app.registry.of_user("u1")[0].sid)
        await out.emit("nobody", to=[])
        await out.emit("last", to="authenticated")
        for client in (one, other):
            await client.wait_for("last")
        assert one.event_names() == ["first", "second", "last"]
        assert other.event_names() == ["first", "third", "last"]
        assert one.events("first") == [["several", 1]]


async def test_many_at_a_time_keep_their_order(redis_server: RedisServer, make_server: MakeServer) -> None:
    server = await make_server(redis_url=redis_server.url)
    async with PythonClients() as clients, Publisher(settings_for_tests(redis_url=redis_server.url)) as out:
        session = await server.session("u1")
        client = await clients.connect(server.url, {**session, "recovery": False}, ["websocket"])
        await asyncio.gather(*(out.emit_notification("u1", {"n": number}) for number in range(500)))
        await client.wait_for("notification", lambda args: args[0]["notification"]["n"] == 499)
        assert [args[0]["notification"]["n"] for args in client.events("notification")] == list(range(500))


async def test_redis_that_is_away_is_reported_to_the_caller(own_redis: RedisServer) -> None:
    async with Publisher(settings_for_tests(redis_url=own_redis.url, publish_timeout=0.5)) as out:
        await own_redis.stop()
        with pytest.raises(AdapterUnavailable):
            await out.emit_notification("u1", {"title": "Hello"})


async def test_a_function_in_place_of_an_observer_still_works_and_warns(redis_server: RedisServer) -> None:
    emitted: list[tuple[str, int]] = []
    settings = load_settings({"REDIS_URL": redis_server.url})
    with pytest.warns(DeprecationWarning, match="on_emitted") as warned:
        publisher = Publisher(settings, on_emitted=lambda event, recipients: emitted.append((event, recipients)))
    async with publisher:
        await publisher.emit_notification("u1", {"title": "Hello"})
    assert emitted == [("notification", 0)]
    assert warned[0].filename == __file__


def test_without_redis_there_is_nothing_to_publish_to() -> None:
    with pytest.raises(SettingsError, match="REDIS_URL"):
        Publisher(settings_for_tests())


QUIET = """
import asyncio, sys
from tradecast.events.payloads import Trade
from tradecast.publishing.publisher import Publisher
from tradecast.publishing.sync_publisher import SyncPublisher
from tradecast.config.settings import load_settings

settings = load_settings({{"REDIS_URL": "{url}", "PUBLISH_TIMEOUT": "{timeout}"}})

async def main():
    publisher = Publisher(settings)
    try:
        await publisher.emit_notification("planted-user", {{"n": 1}})
        await publisher.emit_watchlist_quote("AAPL", {{"price": 1}})
        await publisher.emit_market_status("open")
    except Exception as error:
        assert {away}, error

{how}
"""
HOW = {
    "asyncio.run": "asyncio.run(main())",
    "a loop of one's own": (
        "loop = asyncio.new_event_loop(); loop.run_until_complete(main());"
        "loop.run_until_complete(loop.shutdown_asyncgens()); loop.close()"
    ),
    "without a loop": (
        "publisher = SyncPublisher(settings)\ntry:\n    publisher.emit_notification('planted-user', {'n': 1})\n"
        "except Exception as error:\n    assert AWAY, error"
    ),
    "forgotten": "SyncPublisher(settings)\nPublisher(settings)",
}


@pytest.mark.parametrize("away", [False, True])
@pytest.mark.parametrize("how", HOW)
async def test_it_is_silent_and_closes_itself(own_redis: RedisServer, how: str, away: bool) -> None:
    """In a program that has configured no logging and uses no `with`, with every warning shown."""
    if away:
        await own_redis.stop()
    timeout = 0.5 if away else 30  # a busy machine may need longer than half a second for a Redis that is there
    program = QUIET.format(url=own_redis.url, how=HOW[how], away=away, timeout=timeout).replace("AWAY", str(away))
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "dev", "-W", "default::ResourceWarning:redis", "-c", program),
        **options,  # type: ignore[arg-type]
    )
    out, errors = await asyncio.wait_for(process.communicate(), 60)
    # What packages warn of when they are imported is theirs, and asyncio's "took 0.121 seconds" a busy machine's.
    others = re.compile(r".*DeprecationWarning|  |Executing <.* took [\d.]+ seconds$")
    said = [line for line in errors.decode().splitlines() if not others.match(line)]
    assert (process.returncode, out.decode(), said) == (0, "", [])


async def test_a_program_that_configures_logging_gets_lines_about_trouble(
    own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    configured = structlog.get_config()
    structlog.reset_defaults()
    await own_redis.stop()
    try:
        with caplog.at_level(logging.WARNING, "tradecast"):
            async with Publisher(settings_for_tests(redis_url=own_redis.url, publish_timeout=0.5)) as out:
                with pytest.raises(AdapterUnavailable):
                    await out.emit_notification("u1", {})
    finally:
        structlog.configure(**configured)
    assert any("Redis request failed, retrying" in line for line in caplog.messages)


async def test_what_waits_for_nothing_has_no_task(redis_server: RedisServer) -> None:
    before = asyncio.all_tasks()
    out = Publisher(settings_for_tests(redis_url=redis_server.url))
    for number in range(3):
        await out.emit_notification("u1", {"n": number})
    await eventually(lambda: asyncio.all_tasks() == before)
    await out.close()
    await out.close()
    with pytest.raises(AdapterUnavailable):
        await out.emit_notification("u1", {})


async def test_it_takes_the_payload_models_and_refuses_what_is_not_exact(redis_server: RedisServer) -> None:
    seen = Seen()
    async with Publisher(settings_for_tests(redis_url=redis_server.url), seen) as out:
        await out.emit_trade_executed("u1", Trade(symbol="AAPL", price=Decimal("512.40")))
        with pytest.raises(NotExact, match=r"quote\.price"):
            await out.emit_watchlist_quote("AAPL", {"price": float("nan")})
        with pytest.raises(ValueError, match="a symbol is"):
            await out.emit_watchlist_quote("AAPL\n", {"price": 1})
    assert seen.events == ["trade:executed"]


async def test_one_that_is_closed_says_so(redis_server: RedisServer, recwarn: pytest.WarningsRecorder) -> None:
    def program() -> None:
        with SyncPublisher(settings_for_tests(redis_url=redis_server.url)) as out:
            out.emit_notification("u1", {})
        out.close()
        with pytest.raises(AdapterUnavailable, match="closed"):
            out.emit_notification("u1", {})

    await asyncio.to_thread(program)
    gc.collect()
    assert not [one for one in recwarn if "never awaited" in str(one.message)]


def test_in_another_loop_it_says_so(redis_server: RedisServer) -> None:
    """And waits for nothing that only the first one could do."""
    publisher = Publisher(settings_for_tests(redis_url=redis_server.url))
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    first.run_until_complete(publisher.emit_notification("u1", {}))
    with pytest.raises(RuntimeError, match="one event loop"):
        second.run_until_complete(asyncio.wait_for(publisher.emit_notification("u1", {}), 20))
    first.run_until_complete(publisher.close())
    first.run_until_complete(first.shutdown_asyncgens())
    first.close()
    second.close()


async def count_calls(redis: RedisServer) -> int:
    """How many scripts Redis has run."""
    found: int = (await redis.ask("INFO", "commandstats"))["cmdstat_evalsha"]["calls"]
    return found


async def test_a_batch_takes_one_round_trip_for_many_events(own_redis: RedisServer) -> None:
    settings = settings_for_tests(redis_url=own_redis.url)
    async with Publisher(settings) as out:
        await out.emit_notification("u1", {"n": "so that Redis has the script"})
        before = await count_calls(own_redis)
        events = [{"event": "notification", "userId": "u1", "notification": {"n": n}} for n in range(1_000)]
        assert await out.emit_batch(events) == [None] * 1_000
        assert await count_calls(own_redis) - before == math.ceil(1_000 / settings.publish_batch)
        before = await count_calls(own_redis)
        await out.emit_batch(events[: settings.publish_batch])
        assert await count_calls(own_redis) - before == 1
        assert await out.emit_batch([]) == []
    found = [NUMBER.search(entry[1]["m"]) for entry in await own_redis.ask("XRANGE", PREFIX + "h:user:u1", "-", "+")]
    numbers = [int(one[1]) for one in found if one]
    assert len(numbers) >= 1_000  # the first ones are trimmed
    assert numbers == [*range(1_000), *range(settings.publish_batch)][-len(numbers) :]


async def test_each_event_of_a_batch_has_a_result(redis_server: RedisServer, make_server: MakeServer) -> None:
    settings = {"redis_url": redis_server.url}
    server = await make_server(**settings)
    async with PythonClients() as clients, Publisher(settings_for_tests(**settings)) as out:
        session = await server.session("u1")
        client = await clients.connect(server.url, {**session, "recovery": False}, ["websocket"])
        results = await out.emit_batch(
            [
                {"event": "notification", "userId": "u1", "notification": {"n": 1}},
                {"event": "notification", "userId": "u1", "notification": {"n": object()}},
                {"event": "notification", "userId": "u1", "notification": {"n": 2}, "kind": "latest"},
                {"event": "notification"},
                {"event": "own", "to": "user:u1", "data": {"n": 3}, "kind": "volatile"},
                {"event": "notification", "userId": "u1", "notification": {"n": 4}},
            ]
        )
        assert [type(one) for one in results] == [type(None), NotExact, ValueError, ValueError, type(None), type(None)]
        (own,) = await client.wait_for("own")
        assert own == {"n": 3}
        await client.wait_for("notification", lambda arguments: arguments[0]["notification"] == {"n": 4})


@pytest.mark.parametrize("events", [None, {}, {"event": "own", "to": "a"}, "own", b"", iter("ab")])
async def test_what_is_no_batch_is_refused(redis_server: RedisServer, events: Any) -> None:
    """A single event, most of all."""
    async with Publisher(settings_for_tests(redis_url=redis_server.url)) as out:
        with pytest.raises(TypeError, match="a batch is a list of events, not "):
            await out.emit_batch(events)


async def test_a_batch_that_redis_does_not_take_says_so_of_each_event(own_redis: RedisServer) -> None:
    async with Publisher(settings_for_tests(redis_url=own_redis.url, publish_timeout=0.2)) as out:
        await own_redis.stop()
        results = await out.emit_batch([{"event": "own", "to": "a", "data": n} for n in range(3)])
        assert all(isinstance(one, AdapterUnavailable) for one in results)


async def test_a_publisher_says_the_kind(redis_server: RedisServer) -> None:
    async with Publisher(settings_for_tests(redis_url=redis_server.url)) as out:
        await out.emit_portfolio_update("kinds", {"n": 1}, kind="latest")
        await out.emit_to_room("kinds", "own", {"n": 1}, kind="latest")
        await out.emit("other", {"n": 1}, to="kinds", kind="volatile")
        with pytest.raises(ValueError, match=r"kind of trade:executed is counted, and not latest"):
            await out.emit_trade_executed("kinds", {"n": 1}, kind="latest")
        with pytest.raises(ValueError, match=r"kind is one of counted, latest, volatile"):
            await out.emit("own", {"n": 1}, to="kinds", kind="newest")  # type: ignore[arg-type]  # this is what is tried
    assert await redis_server.ask("HKEYS", PREFIX + "l:portfolio:kinds") == ["portfolio:update"]
    assert await redis_server.ask("HKEYS", PREFIX + "l:kinds") == ["own"]
    assert await redis_server.ask("EXISTS", PREFIX + "h:kinds") == 0
