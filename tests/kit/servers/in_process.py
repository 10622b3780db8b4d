"""A real server in the test's own loop, on free ports of 127.0.0.1."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Self

import pytest

from tradecast.bootstrap.ports import create_process
from tradecast.config.settings import Settings, load_settings
from tradecast.demo.app import run_demo
from tradecast.lifecycle.process import Process
from tradecast.server import WebSocketServer
from tradecast.sessions.models import Tier, User

API_TOKEN = "test-api-token"


class RunningServer:
    """A `WebSocketServer` that is served, and how a test reaches it."""

    def __init__(self, settings: Settings, prepare: Callable[[WebSocketServer], None] | None = None) -> None:
        self.app = WebSocketServer(settings)
        if prepare is not None:
            prepare(self.app)
        self._process: Process | None = None

    async def __aenter__(self) -> Self:
        await self.app.initialize()
        await self.serve()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Stop as the process does on SIGTERM; stopping twice does nothing."""
        if self._process is not None:
            await self.stop_serving()
            await self.app.shutdown()

    async def serve(self) -> None:
        """Listen; the server is initialized."""
        self._process = create_process(self.app)
        await self._process.start()

    async def stop_serving(self) -> None:
        """Stop listening."""
        process, self._process = self._process, None
        if process is not None:
            await process.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port('public')}"

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self._port('admin')}"

    @property
    def internal_url(self) -> str:
        return f"http://127.0.0.1:{self._port('internal')}"

    async def session(
        self,
        user_id: str,
        tier: Tier = "premium",
        *,
        is_admin: bool = False,
        name: str = "",
        email: str = "",
        max_age: float = 3600,
    ) -> dict[str, str]:
        """Make a session; what a client passes as `auth`."""
        session_id, _ = await self.app.sessions.create(User(user_id, name, email, is_admin, tier), max_age)
        return {"sessionID": session_id, "userId": user_id}

    def connections(self, port: str) -> set[Any]:
        """What is connected to a port."""
        assert self._process is not None, "the server is not running"
        return self._process.connections(port)

    @property
    def ports(self) -> dict[str, int]:
        """All of them, by name."""
        assert self._process is not None
        return dict(self._process.ports)

    def _port(self, name: str) -> int:
        assert self._process is not None, "the server is not running"
        return self._process.ports[name]


MakeServer = Callable[..., Awaitable[RunningServer]]


def settings_for_tests(**settings: Any) -> Settings:
    """Settings for a server in a test: free ports, loopback, nothing from the environment."""
    defaults: dict[str, Any] = {f"{name}host": "127.0.0.1" for name in ("", "admin_", "internal_")}
    defaults |= {f"{name}port": 0 for name in ("", "admin_", "internal_")}
    # A busy machine may hold up a Redis that is there for longer than the usual two seconds.
    defaults |= {"api_token": API_TOKEN, "shutdown_timeout": 3, "drain_rate": 10_000, "redis_timeout": 10}
    return load_settings({}, **{**defaults, **settings})


@pytest.fixture
async def make_server() -> AsyncIterator[MakeServer]:
    """Start servers with settings of the test's choice; all are stopped at its end."""
    running: list[RunningServer] = []

    async def make(prepare: Callable[[WebSocketServer], None] | None = None, **settings: Any) -> RunningServer:
        server = RunningServer(settings_for_tests(**settings), prepare)
        await server.__aenter__()
        running.append(server)
        return server

    yield make
    for server in running:
        await server.stop()


@pytest.fixture
async def server(make_server: MakeServer) -> RunningServer:
    """A server in single-server mode, sessions in memory."""
    return await make_server()


@pytest.fixture
async def demo_server() -> AsyncIterator[str]:
    """The address of a server with the demo, with days that pass four times as fast as usual."""
    async with contextlib.AsyncExitStack() as stack:
        server = RunningServer(settings_for_tests(demo_tick_seconds=0.2, demo_day_seconds=5))
        await server.app.initialize()
        stack.push_async_callback(server.app.shutdown)
        await stack.enter_async_context(run_demo(server.app))
        await server.serve()
        stack.push_async_callback(server.stop_serving)
        yield server.url
