"""Limits of users and of anonymous clients, as guards of their connections."""

from __future__ import annotations

from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from kit.servers.in_process import MakeServer, RunningServer
from tradecast.connections.connection import Connection
from tradecast.connections.rate_limits import create_rate_limit_middleware
from tradecast.delivery.errors import EventRefused, TryAgain
from tradecast.limits.limiter import RateLimiter
from tradecast.sessions.errors import AuthRefused
from tradecast.sessions.models import Session, User

pytestmark = pytest.mark.serial


async def open_transport(server: RunningServer, **options: Any) -> ClientConnection:
    url = f"{server.url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket"
    client = await connect(url, compression=None, **options)
    await client.recv()
    return client


class FullLimiter(RateLimiter):
    """Counts as many connections as are allowed, wherever they are."""

    full = True

    async def acquire_connection(self, user_id: str, member: str) -> bool:
        return not self.full


class Here:
    """A user's connections to this server."""

    def __init__(self, connections: list[Connection]) -> None:
        self.connections = connections

    def of_user(self, user_id: str) -> list[Connection]:
        return self.connections


async def test_connections_counted_elsewhere_put_a_user_off_and_own_ones_refuse(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    here: list[Connection] = []
    limiter = FullLimiter(server.app.settings, None)
    middleware = create_rate_limit_middleware(limiter, connections=Here(here))
    connection = Connection("sid", "id", None, claims=None, connected_at=0)  # type: ignore[arg-type]  # not used
    connection.attach(Session("s", User("u1"), 0))
    with pytest.raises(TryAgain):
        await middleware(connection)
    limiter.full = False
    await middleware(connection)  # let in: what was before does not count against the next spell
    limiter.full = True
    monkeypatch.setattr("tradecast.connections.rate_limits.LEASE", 0.5)
    with pytest.raises(TryAgain):
        await middleware(connection)
    monkeypatch.setattr("tradecast.connections.rate_limits.LEASE", -1.0)  # the leases of a dead server are over
    with pytest.raises(AuthRefused):
        await middleware(connection)
    monkeypatch.undo()
    here += [connection] * server.app.settings.max_connections_per_user
    with pytest.raises(AuthRefused):
        await middleware(connection)


async def test_rate_limit_of_an_anonymous_client_outlives_its_leaving(make_server: MakeServer) -> None:
    server = await make_server(
        auth_required=False, rate_limit_global=3, rate_limit_subscribe=3, rate_limit_unsubscribe=3
    )
    client, other = await open_transport(server), await open_transport(server)
    for _ in range(3):
        await client.send("40")
        assert str(await client.recv()).startswith("40{")
        await client.send('42["x"]')
        assert "UNKNOWN_EVENT" in str(await client.recv())
        await client.send("41")
    for one, reason in ((client, "RATE_LIMITED"), (other, "UNKNOWN_EVENT")):
        await one.send("40")
        assert str(await one.recv()).startswith("40{")
        await one.send('42["x"]')
        assert reason in str(await one.recv())
        await one.close()


async def test_rate_limit_is_per_connection_for_anonymous_clients(make_server: MakeServer) -> None:
    server = await make_server(
        auth_required=False, rate_limit_global=3, rate_limit_subscribe=3, rate_limit_unsubscribe=3
    )
    middleware = create_rate_limit_middleware(server.app.limiter)
    one, other = (Connection(n, n, None, claims=None, connected_at=0) for n in "ab")  # type: ignore[arg-type]  # as above
    await middleware(one)
    await middleware(other)
    for _ in range(3):
        await ask(one)
    with pytest.raises(EventRefused):
        await ask(one)
    await ask(other)


async def ask(connection: Connection) -> None:
    """An event as it passes the guard of its connection."""
    pending = connection.guards[0](connection, "x", None)
    if pending is not None:
        await pending
