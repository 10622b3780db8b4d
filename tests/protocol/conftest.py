"""Clients of each kind for the contract's tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import structlog.testing

from kit.clients.interface import Client, Clients
from protocol.contract import FAST, Connect, Server, Session

KINDS: dict[str, tuple[str, list[str]]] = {
    "stock-websocket": ("stock_clients", ["websocket"]),
    "stock-polling": ("stock_clients", ["polling"]),
    "stock-upgrading": ("stock_clients", ["polling", "websocket"]),
    "python": ("python_clients", ["polling", "websocket"]),
}


@pytest.fixture(autouse=True)
def log() -> Iterator[Any]:
    """What the server logged. Unconfigured, structlog would draw tracebacks with all locals: minutes for a deep one."""
    with structlog.testing.capture_logs() as lines:
        yield lines


def make_connect(clients: Clients, transports: list[str], *, recovers: bool = True) -> Connect:
    """A `Connect` for one kind of client. One that does not recover says so, as docs/client.md advises."""

    async def connect(server: Server, session: Session | None = None, **options: Any) -> Client:
        opened = options.pop("wait", True) is False
        make = clients.open if opened else clients.connect
        if session is not None and not recovers:
            session = {**session, "recovery": False}
        return await make(server.url, session, **{"transports": transports, **FAST, **options})

    return connect


@pytest.fixture(params=list(KINDS))
def connect(request: pytest.FixtureRequest) -> Connect:
    """Connects clients of each kind."""
    fixture, transports = KINDS[request.param]
    return make_connect(request.getfixturevalue(fixture), transports, recovers=request.param != "python")


@pytest.fixture(params=["stock-websocket", "stock-polling"])
def stock_connect(request: pytest.FixtureRequest) -> Connect:
    """Connects stock clients, over either transport."""
    fixture, transports = KINDS[request.param]
    return make_connect(request.getfixturevalue(fixture), transports)
