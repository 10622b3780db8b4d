"""Figures that change while servers run: from a file, by way of `/admin/stats`, under events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from kit.clients.node import StockClients
from kit.delivery.redis_brokers import partitions_of
from kit.servers.in_process import MakeServer, RunningServer
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.config.runtime_settings import RuntimeSettings
from tradecast.delivery.redis.broker import RedisBroker
from tradecast.runtime_config.manager import compute_revision


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        yield client


class File:
    """The file that servers watch."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, text: str) -> str:
        """The revision of what it has now."""
        self.path.write_text(text)
        return compute_revision(text.encode())

    def say(self, **figures: float) -> str:
        return self.write(json.dumps(figures))

    def remove(self) -> None:
        self.path.unlink()


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path / "adapter.yaml")


async def adapter_stats(http: httpx.AsyncClient, server: RunningServer) -> dict[str, Any]:
    stats = (await http.get(f"{server.admin_url}/admin/stats")).json()
    return dict(stats["adapter"])


async def until_in_force(http: httpx.AsyncClient, server: RunningServer, revision: str | None) -> dict[str, Any]:
    async def confirmed() -> bool:
        return bool((await adapter_stats(http, server))["revision"] == revision)

    await eventually(confirmed)
    return await adapter_stats(http, server)


async def test_a_single_server_reports_what_is_in_effect(
    make_server: MakeServer, http: httpx.AsyncClient, file: File
) -> None:
    revision = file.say(history_events=5)
    server = await make_server(adapter_file=str(file.path), history_events=77, publish_batch=9)
    stats = await adapter_stats(http, server)
    assert stats == {
        "mode": "single",
        "modes": ["single"],
        "other": None,
        "inForce": {
            "history_events": 5,
            "publish_batch": 9,
            "batch_window_ms": 0,
            "publish_buffer": 10_000,
            "publish_timeout": 10,
            "channel_linger": 15,
            "subscription_batch": 500,
            "publish_both": 0,
        },
        "source": {**dict.fromkeys(stats["inForce"], "settings"), "history_events": "file"},
        "revision": revision,
        "seen": revision,
        "error": None,
        "unknown": [],
        "traffic": {
            "publishedPerSecond": 0,
            "messagesPerSecond": 0,
            "lagMs": {"last": None, "p99": None},
            "gapsRepaired": 0,
            "eventsReadBack": 0,
            "clientsBegunAnew": 0,
            "waiting": 0,
            "channels": 0,
            "hears": None,
            "awaySeconds": 0,
        },
    }
    assert server.app.components.hub.broker.retention.events_per_room == 5  # type: ignore[attr-defined]
    file.remove()
    assert (await until_in_force(http, server, None))["inForce"]["history_events"] == 77
    assert server.app.components.hub.broker.retention.events_per_room == 77  # type: ignore[attr-defined]


async def test_without_a_file_the_settings_are_in_effect(server: RunningServer, http: httpx.AsyncClient) -> None:
    stats = await adapter_stats(http, server)
    assert set(stats["source"].values()) == {"settings"}
    assert (stats["revision"], stats["error"]) == (None, None)
    assert "tradecast_adapter_settings" in (await http.get(f"{server.admin_url}/metrics")).text


async def test_a_file_that_is_invalid_is_reported_and_changes_nothing(
    make_server: MakeServer, http: httpx.AsyncClient, file: File
) -> None:
    good = file.say(publish_batch=3, next_versions=1)
    server = await make_server(adapter_file=str(file.path))

    def error() -> float | None:
        return server.app.metrics.registry.get_sample_value("tradecast_adapter_settings_error")

    assert error() == 0
    bad = file.write("publish_batch: 0\n")
    await eventually(error)
    stats = await adapter_stats(http, server)
    assert (stats["revision"], stats["seen"]) == (good, bad)
    assert stats["error"] == "publish_batch: Input should be greater than or equal to 1"
    assert stats["inForce"]["publish_batch"] == 3
    assert stats["unknown"] == ["next_versions"]
    better = file.say(publish_batch=4)
    stats = await until_in_force(http, server, better)
    assert (stats["error"], stats["inForce"]["publish_batch"]) == (None, 4)
    assert error() == 0


async def test_a_server_starts_with_a_file_that_is_invalid(
    make_server: MakeServer, http: httpx.AsyncClient, file: File
) -> None:
    file.write("}")
    server = await make_server(adapter_file=str(file.path), publish_batch=9)
    stats = await adapter_stats(http, server)
    assert stats["inForce"]["publish_batch"] == 9
    assert "neither YAML nor JSON" in stats["error"]


def runs_with(server: RunningServer) -> dict[str, float]:
    """The figures where they are used."""
    broker = server.app.components.hub.broker
    assert isinstance(broker, RedisBroker)
    (found,) = {
        (
            one.writer.retention.events_per_room,
            one.writer.queue._max_batch,
            one.writer.queue._window * 1000,
            one.writer.queue.capacity,
            one.writer.queue.timeout,
            one.subscription.linger,
            one.subscription._batch,
            int(broker.publishes_both),
        )
        for one in partitions_of(broker)
    }
    return dict(zip(RuntimeSettings.model_fields, found, strict=True))


@pytest.mark.redis
@pytest.mark.node
async def test_changes_under_events_lose_and_repeat_nothing(
    make_server: MakeServer,
    redis_server: RedisServer,
    stock_clients: StockClients,
    http: httpx.AsyncClient,
    file: File,
) -> None:
    servers = [
        await make_server(
            redis_url=redis_server.url,
            adapter_file=str(file.path),
            rate_limit_subscribe=100_000,
            rate_limit_unsubscribe=100_000,
            rate_limit_global=1_000_000,
        )
        for _ in range(2)
    ]
    for server in servers:
        assert isinstance(server.app.components.hub.broker, RedisBroker)
        await server.app.components.hub.broker.wait_until_subscribed()
    session = await servers[0].session("u1")
    clients = [await stock_clients.connect(one.url, session, transports=["websocket"]) for one in servers]
    sent = 0
    ended = asyncio.Event()

    async def publish() -> None:
        nonlocal sent
        while not ended.is_set():
            server = servers[sent // 40 % 2]
            some = [server.app.emit_notification("u1", {"n": sent + more}) for more in range(40)]
            sent += 40
            await asyncio.gather(*some)

    async def come_and_go() -> None:
        while not ended.is_set():
            await clients[0].call("subscribe:trades")
            await clients[0].call("unsubscribe:trades")

    work = [asyncio.create_task(publish()), asyncio.create_task(come_and_go())]
    for figures in (
        {"publish_batch": 1, "subscription_batch": 1, "channel_linger": 0},
        {"publish_batch": 1_000, "batch_window_ms": 30, "publish_buffer": 50_000},
        {"batch_window_ms": 5, "publish_batch": 7, "history_events": 100_000, "publish_timeout": 60},
        {"channel_linger": 0},
    ):
        revision = file.say(**figures)
        for server in servers:
            stats = await until_in_force(http, server, revision)
            assert {name: stats["inForce"][name] for name in figures} == figures
            assert runs_with(server) == stats["inForce"]
    ended.set()
    await asyncio.gather(*work)
    for client in clients:
        await client.wait_for("notification", lambda args: args[0]["notification"]["n"] == sent - 1)
        assert [args[0]["notification"]["n"] for args in client.events("notification")] == list(range(sent))
    traffic = (await adapter_stats(http, servers[0]))["traffic"]
    assert traffic["publishedPerSecond"] > 0
    assert traffic["messagesPerSecond"] > 0
    assert traffic["lagMs"]["p99"] >= 0
    assert traffic["hears"] is True
    assert traffic["channels"] >= 3
    assert traffic["gapsRepaired"] == 0
