"""The load engine against the real server, and the faults that a proxy plants between publisher and server."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from kit.network.aiohttp_server import close_runner
from kit.network.ports import free_port
from kit.network.tls import make_certificates
from kit.servers.in_process import API_TOKEN, MakeServer, RunningServer
from kit.servers.redis_cluster import RedisCluster
from kit.servers.redis_server import RedisServer
from tradecast.config.settings import load_settings
from tradecast.load.backoff import Backoff
from tradecast.load.client import Credential
from tradecast.load.progress import Progress
from tradecast.load.run import LoadError, LoadOptions, run_load
from tradecast.load.streams import EventKind

Alter = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]
MIX = {"watchlist:quote": 4, "trade:executed": 2, "portfolio:update": 1, "notification": 1}


class EmitProxy:
    """Passes posts on to `/api/emit`, with the events altered on their way."""

    def __init__(self, target: str) -> None:
        self.url = ""
        self.alter: Alter = list
        self._target = target
        self._runner: web.AppRunner | None = None
        self._http = httpx.AsyncClient(trust_env=False, timeout=30)

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/api/emit", self._emit)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/api/emit"

    async def stop(self) -> None:
        await self._http.aclose()
        if self._runner is not None:
            await close_runner(self._runner)

    async def _emit(self, request: web.Request) -> web.Response:
        events = self.alter((await request.json())["events"])
        if not events:
            return web.json_response({})
        headers = {"authorization": request.headers["authorization"]}
        response = await self._http.post(self._target, json={"events": events}, headers=headers)
        return web.Response(status=response.status_code, body=response.content)


@pytest.fixture
async def proxy(server: RunningServer) -> AsyncIterator[EmitProxy]:
    between = EmitProxy(server.url + "/api/emit")
    await between.start()
    yield between
    await between.stop()


async def credentials(server: RunningServer, users: int) -> list[Credential]:
    sessions = [await server.session(f"u{number}") for number in range(users)]
    return [Credential(session["sessionID"], session["userId"]) for session in sessions]


async def options(server: RunningServer, users: int = 10, **changes: Any) -> LoadOptions:
    chosen: dict[str, Any] = {
        "token": API_TOKEN,
        "clients": users,
        "connect_rate": 500,
        "duration": 1,
        "rate": 60,
        "mix": MIX,
        **changes,
    }
    return LoadOptions(server.url, await credentials(server, users), **chosen)


@pytest.mark.serial  # it measures how many events get through
async def test_a_hundred_clients_lose_nothing_and_get_nothing_twice(server: RunningServer) -> None:
    report = await run_load(await options(server, 100, duration=3, rate=100))
    assert report.ok, report.table()
    assert (report.connected, report.subscribed) == (100, 100)
    assert report.published == 300
    assert report.deliveries == report.expected > 3_000
    assert server.app.get_total_connection_count() == 0


@pytest.mark.redis
async def test_publishing_through_redis(make_server: MakeServer, redis_server: RedisServer) -> None:
    server = await make_server(redis_url=redis_server.url)
    settings = load_settings({"REDIS_URL": redis_server.url})
    report = await run_load(await options(server, token=None, redis=settings))
    assert report.ok, report.table()
    assert report.published == 60
    assert report.deliveries == report.expected > 60


@pytest.mark.redis
async def test_publishing_through_a_cluster(make_server: MakeServer, empty_cluster: RedisCluster) -> None:
    server = await make_server(redis_url=empty_cluster.url)
    settings = load_settings({"REDIS_URL": empty_cluster.url})
    report = await run_load(await options(server, token=None, redis=settings))
    assert report.ok, report.table()
    assert report.published == 60
    assert report.deliveries == report.expected > 60


@pytest.mark.redis
async def test_what_redis_did_not_take_is_not_expected(make_server: MakeServer, redis_server: RedisServer) -> None:
    server = await make_server(redis_url=redis_server.url)
    settings = load_settings({"REDIS_URL": f"redis://127.0.0.1:{free_port()}/0", "PUBLISH_TIMEOUT": "1"})
    report = await run_load(await options(server, token=None, redis=settings))
    assert not report.ok
    assert (report.published, report.losses) == (0, 0), report.table()


async def test_several_clients_of_one_user(server: RunningServer) -> None:
    report = await run_load(await options(server, 3, clients=12))
    assert report.ok, report.table()
    assert report.connected == 12


async def test_planted_loss_is_found(server: RunningServer, proxy: EmitProxy) -> None:
    proxy.alter = lambda events: [event for event in events if event.get("trade", {}).get("seq") != 1]
    report = await run_load(await options(server, emit_url=proxy.url, mix={"trade:executed": 1}, drain=2))
    assert report.losses == 10, report.table()
    assert (report.doubles, report.out_of_order, report.deliveries) == (0, 0, report.expected - 10)


async def test_planted_double_is_found(server: RunningServer, proxy: EmitProxy) -> None:
    proxy.alter = lambda events: [
        event for event in events for _ in range(2 if event.get("trade", {}).get("seq") == 1 else 1)
    ]
    report = await run_load(await options(server, emit_url=proxy.url, mix={"trade:executed": 1}))
    assert (report.losses, report.doubles, report.out_of_order) == (0, 10, 0), report.table()


async def test_planted_disorder_is_found(server: RunningServer, proxy: EmitProxy) -> None:
    held: list[dict[str, Any]] = []

    def swap(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        out = []
        for event in events:
            if event["quote"]["seq"] == 2:
                held.append(event)
            else:
                out.append(event)
                if event["quote"]["seq"] == 3:
                    out.append(held.pop(0))
        return out

    proxy.alter = swap
    quotes: dict[str, Any] = {"mix": {"watchlist:quote": 1}, "symbols": ("AAPL",)}
    report = await run_load(await options(server, emit_url=proxy.url, **quotes))
    assert (report.losses, report.doubles, report.out_of_order) == (0, 0, 10), report.table()


async def test_free_users_get_no_quotes_and_that_is_reported(server: RunningServer) -> None:
    session = await server.session("free", tier="free")
    chosen = LoadOptions(
        server.url,
        [Credential(session["sessionID"], "free")],
        token=API_TOKEN,
        clients=1,
        duration=0.2,
        rate=20,
    )
    report = await run_load(chosen)
    assert report.errors == {"subscribe:watchlist: TIER_REQUIRED": 1}
    assert (report.losses, report.deliveries) == (0, report.expected)


async def test_refusals_are_reported_by_their_code(make_server: MakeServer) -> None:
    server = await make_server(max_connections_per_user=2)
    report = await run_load(await options(server, 1, clients=3, rate=0, duration=0))
    assert (report.connected, report.refused) == (2, {"TOO_MANY_CONNECTIONS": 1})


async def test_full_server_is_reported(make_server: MakeServer) -> None:
    server = await make_server(max_connections=4)
    report = await run_load(await options(server, 6, connect_rate=20, rate=0, duration=0))
    assert (report.connected, report.refused) == (4, {"HTTP 503": 2})


@pytest.mark.parametrize("kind", ["watchlist:quote", "trade:executed"])
async def test_clients_come_back_when_the_server_closes_the_transport(server: RunningServer, kind: EventKind) -> None:
    async def hang_up() -> None:
        for connection in list(server.app.registry.of_user("u1")):
            server.app.components.socket_server.close_transport(connection.sid)

    class HangUpOnce:
        """Acts once events are published."""

        def on_progress(self, progress: Progress) -> None:
            if not tasks and progress.published > 0:
                tasks.append(asyncio.create_task(hang_up()))

    tasks: list[asyncio.Task[None]] = []
    later = Backoff(delay=0.4, delay_max=0.4)
    chosen = await options(server, 3, duration=2, rate=60, mix={kind: 1}, symbols=("AAPL",), reconnect=later)
    report = await run_load(chosen, HangUpOnce())
    await asyncio.gather(*tasks)
    assert report.reconnects == 1, report.table()
    assert report.subscribed == 3
    # Quotes that came meanwhile are superseded, trades are not; neither is lost.
    assert report.ok, report.table()
    everything = report.published * (3 if kind == "watchlist:quote" else 1)
    assert (report.expected < everything) == (kind == "watchlist:quote"), report.table()


async def test_a_server_that_wants_tls_takes_the_word_of_a_header(make_server: MakeServer) -> None:
    server = await make_server(require_tls=True)
    asked = await options(server, 3)
    assert (await run_load(dataclasses.replace(asked, rate=0))).refused == {"HTTP 403": 3}
    report = await run_load(dataclasses.replace(asked, headers={"X-Forwarded-Proto": "https"}))
    assert report.ok, report.table()
    assert report.deliveries


async def test_a_certificate_is_checked_unless_disabled(make_server: MakeServer, tmp_path: Path) -> None:
    pem = make_certificates(tmp_path)
    server = await make_server(ssl_certfile=pem.server_cert, ssl_keyfile=pem.server_key)
    asked = await options(server, 3)
    asked = dataclasses.replace(asked, url=server.url.replace("http:", "https:", 1))
    assert (await run_load(dataclasses.replace(asked, rate=0))).errors == {"connect: tls_unknown_ca": 3}
    report = await run_load(dataclasses.replace(asked, verify_tls=False))
    assert report.ok, report.table()
    assert report.deliveries


async def test_wrong_token_is_reported(server: RunningServer) -> None:
    with pytest.raises(LoadError, match="answered 401"):
        await run_load(await options(server, 1, token="wrong"))
