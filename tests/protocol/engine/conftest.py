"""Servers for raw clients, who need no session here; each test on asyncio's own event loop and on uvloop's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import uvloop

from kit.servers.in_process import MakeServer, RunningServer
from tradecast.connections.connection import Connection
from tradecast.server import WebSocketServer

BEATING: dict[str, Any] = {"ping_interval": 0.3, "ping_timeout": 0.5}
"""Settings of a server whose heartbeats a test can wait for, and leave unanswered."""
PATIENT: dict[str, Any] = {"ping_interval": 0.3, "ping_timeout": 15}
"""The same for a client that answers, on a busy machine: without an answer there is no further heartbeat."""


def add_handlers(app: WebSocketServer) -> None:
    """`echo` answers with its arguments."""

    def echo(connection: Connection, *arguments: Any) -> Any:
        return arguments

    app.register_event_handler("echo", echo)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Whose transports the engine gets: they differ in when they call back, and in what they refuse."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def open_server(make_server: MakeServer) -> RunningServer:
    """A server that everybody may use."""
    return await make_server(add_handlers, auth_required=False)


@pytest.fixture
async def beating_server(make_server: MakeServer) -> RunningServer:
    """The same with quick heartbeats."""
    return await make_server(add_handlers, auth_required=False, **BEATING)


@pytest.fixture
async def patient_server(make_server: MakeServer) -> RunningServer:
    """The same for a client that answers them."""
    return await make_server(add_handlers, auth_required=False, **PATIENT)
