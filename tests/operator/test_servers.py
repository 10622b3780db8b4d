"""The operator at the admin port of a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx
import pytest

from support.python_client import PythonClients
from support.redis_server import free_port
from support.server import MakeServer, RunningServer
from tradecast_operator.servers import Servers, ServerSilent

TOKEN = "operators-token"


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=5) as client:
        yield client


def at(server: RunningServer, client: httpx.AsyncClient, token: str = TOKEN) -> Servers:
    return Servers(client, urlsplit(server.admin_url).port or 0, token)


async def test_a_server_tells_its_connections_and_its_drain(make_server: MakeServer, client: httpx.AsyncClient) -> None:
    server = await make_server(admin_token=TOKEN, drain_delay=3)  # nobody leaves before it is cancelled
    servers = at(server, client)
    async with PythonClients() as clients:
        await clients.connect(server.url, await server.session("u1"), ["websocket"])
        stats = await servers.stats("127.0.0.1")
        assert not servers.refused
        assert (stats.connections, stats.draining, stats.shedding) == (1, False, False)
        assert stats.adapter["mode"] == "single"
        await servers.drain("127.0.0.1", 1, 60)
        await servers.drain("127.0.0.1", 1, 60)  # repeating it changes nothing
        assert (await servers.stats("127.0.0.1")).draining
        await servers.cancel_drain("127.0.0.1")
        await servers.cancel_drain("127.0.0.1")
        stats = await servers.stats("127.0.0.1")
        assert (stats.connections, stats.draining) == (1, False)
        await servers.shed("127.0.0.1", 1, 0.1)
        assert (await servers.stats("127.0.0.1")).shedding


@pytest.mark.parametrize("token", ["", "wrong"])
async def test_who_does_not_know_the_token_is_refused(
    make_server: MakeServer, client: httpx.AsyncClient, token: str
) -> None:
    servers = at(await make_server(admin_token=TOKEN), client, token)
    with pytest.raises(ServerSilent, match="it answers 401") as refused:
        await servers.stats("127.0.0.1")
    assert TOKEN not in str(refused.value)
    assert servers.refused


async def test_a_server_that_is_not_there_says_nothing(client: httpx.AsyncClient) -> None:
    with pytest.raises(ServerSilent, match="it does not answer: ConnectError"):
        await Servers(client, free_port(), TOKEN).stats("127.0.0.1")


async def test_an_answer_that_is_none_of_ours(server: RunningServer, client: httpx.AsyncClient) -> None:
    """The public port, say."""
    servers = Servers(client, urlsplit(server.url).port or 0, TOKEN)
    with pytest.raises(ServerSilent, match="it answers 404"):
        await servers.stats("127.0.0.1")
