"""The operator at the admin port of a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import urlsplit

import httpx
import pytest

from kit.clients.python import PythonClients
from kit.network.ports import free_port
from kit.servers.in_process import MakeServer, RunningServer
from tradecast_operator.clients.server_admin import KnownServers, ServerAdmin, ServerSilent, Target, make_client

TOKEN = "operators-token"
POD = Target("uid-a", "127.0.0.1", revision="replica-set-uid")


class Wire:
    """Sees each request of a client.

    Attributes:
        sent: What showed who asks, of each request; empty: nothing.
        statuses: Of the answers.
    """

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.statuses: list[int] = []

    def watch(self, client: httpx.AsyncClient) -> None:
        client.event_hooks = {"request": [self._asked], "response": [self._answered]}

    async def _asked(self, request: httpx.Request) -> None:
        self.sent.append(request.headers.get("authorization", ""))

    async def _answered(self, response: httpx.Response) -> None:
        self.statuses.append(response.status_code)


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
async def client(wire: Wire) -> AsyncIterator[httpx.AsyncClient]:
    async with make_client() as client:
        wire.watch(client)
        yield client


def at(
    server: RunningServer,
    client: httpx.AsyncClient,
    token: str = TOKEN,
    known: KnownServers | None = None,
    *,
    bearer: bool = False,
) -> ServerAdmin:
    return ServerAdmin(client, urlsplit(server.admin_url).port or 0, token, known, bearer=bearer)


async def test_a_server_tells_its_connections_and_its_drain(
    make_server: MakeServer, client: httpx.AsyncClient, wire: Wire
) -> None:
    # Nobody leaves before it is cancelled.
    server = await make_server(admin_token=TOKEN, pod_uid="uid-a", drain_delay=3)
    servers = at(server, client)
    async with PythonClients() as clients:
        await clients.connect(server.url, await server.session("u1"), ["websocket"])
        stats = await servers.stats(POD)
        assert not servers.refused
        assert (stats.connections, stats.draining, stats.shedding) == (1, False, False)
        assert stats.adapter["mode"] == "single"
        await servers.drain(POD, 1, 60)
        await servers.drain(POD, 1, 60)  # repeating it changes nothing
        assert (await servers.stats(POD)).draining
        await servers.cancel_drain(POD)
        await servers.cancel_drain(POD)
        stats = await servers.stats(POD)
        assert (stats.connections, stats.draining) == (1, False)
        await servers.shed(POD, 1, 0.1)
        assert (await servers.stats(POD)).shedding
    # One question for the first nonce; from then on each answer brings the next one.
    assert (wire.statuses[0], set(wire.statuses[1:])) == (401, {200, 202})
    assert wire.sent[0] == ""
    assert all(one.startswith("Tradecast-Hmac ") for one in wire.sent[1:])
    assert len(set(wire.sent)) == len(wire.sent)


async def test_a_figure_above_what_servers_take_is_sent_as_the_highest(
    make_server: MakeServer, client: httpx.AsyncClient
) -> None:
    server = await make_server(admin_token=TOKEN, pod_uid="uid-a", drain_delay=3)
    await at(server, client).drain(POD, 1e9, 1e9)
    assert server.app.get_stats()["drain"]["active"]


async def test_a_server_that_has_begun_anew_is_asked_for_another_nonce(
    make_server: MakeServer, client: httpx.AsyncClient, wire: Wire
) -> None:
    known = KnownServers({"uid-a": "12.0123456789abcdef.0123456789abcdef0123456789abcdef"}, set())
    server = await make_server(admin_token=TOKEN, pod_uid="uid-a")
    await at(server, client, known=known).stats(POD)
    assert wire.statuses == [401, 200]


@pytest.mark.parametrize("bearer", [True, False])
async def test_a_server_of_the_version_before_gets_the_token_while_that_is_allowed(
    make_server: MakeServer, client: httpx.AsyncClient, wire: Wire, bearer: bool
) -> None:
    """It says that it takes bearer tokens, and nothing of signatures."""
    servers = at(await make_server(admin_token=TOKEN), client, bearer=bearer)
    if bearer:
        assert (await servers.stats(POD)).connections == 0
        assert servers.bearers == {"uid-a"}
        assert wire.sent == ["", f"Bearer {TOKEN}"]
    else:
        with pytest.raises(ServerSilent, match="it answers 401"):
            await servers.stats(POD)
        assert wire.sent == [""]


@pytest.mark.parametrize(
    "pod",
    [replace(POD, signs=True), replace(POD, revision="signing"), replace(POD, revision="")],
    ids=["its template says that it signs", "one of its ReplicaSet has signed", "nobody knows whose it is"],
)
async def test_who_only_says_that_it_is_old_does_not_get_the_token(
    make_server: MakeServer, client: httpx.AsyncClient, wire: Wire, pod: Target
) -> None:
    servers = at(await make_server(admin_token=TOKEN), client, known=KnownServers({}, {"signing"}), bearer=True)
    with pytest.raises(ServerSilent):
        await servers.stats(pod)
    assert wire.sent == [""]


async def test_after_a_signed_request_no_pod_of_that_replicaset_gets_the_token(
    make_server: MakeServer, client: httpx.AsyncClient, wire: Wire
) -> None:
    known = KnownServers()
    await at(await make_server(admin_token=TOKEN, pod_uid="uid-a"), client, known=known, bearer=True).stats(POD)
    old = at(await make_server(admin_token=TOKEN), client, known=known, bearer=True)
    with pytest.raises(ServerSilent):
        await old.stats(replace(POD, uid="uid-b"))
    await old.stats(replace(POD, uid="uid-c", revision="another"))
    assert [one.startswith("Bearer") for one in wire.sent] == [False, False, False, False, True]
    known.keep({"uid-c"}, {"another"})
    assert (known.nonces, known.signing) == ({}, set())


async def test_what_is_signed_for_one_pod_opens_no_other(
    make_server: MakeServer, client: httpx.AsyncClient, wire: Wire
) -> None:
    """A pod that passes on the nonce of another one, to have it signed."""
    other = await make_server(admin_token=TOKEN, pod_uid="uid-b")
    with pytest.raises(ServerSilent, match="it answers 401"):
        await at(other, client).stats(POD)
    assert wire.sent[1].startswith("Tradecast-Hmac")


@pytest.mark.parametrize("token", ["", "wrong"])
async def test_who_does_not_know_the_token_is_refused(
    make_server: MakeServer, client: httpx.AsyncClient, token: str
) -> None:
    for uid in ("uid-a", None):
        servers = at(await make_server(admin_token=TOKEN, pod_uid=uid), client, token, bearer=True)
        with pytest.raises(ServerSilent, match="it answers 401") as refused:
            await servers.stats(POD)
        assert TOKEN not in str(refused.value)
        assert servers.refused


async def test_a_server_that_is_not_there_says_nothing(client: httpx.AsyncClient) -> None:
    with pytest.raises(ServerSilent, match="no answer: ConnectError"):
        await ServerAdmin(client, free_port(), TOKEN).stats(POD)


@pytest.mark.parametrize("address", ["127.0.0.1/x", "::1%25lo", "a b", "127.0.0.1@example.invalid", "\n", "x" * 300])
async def test_an_address_that_is_none(client: httpx.AsyncClient, address: str) -> None:
    with pytest.raises(ServerSilent):
        await ServerAdmin(client, free_port(), TOKEN).stats(replace(POD, address=address))


async def test_an_answer_that_is_none_of_ours(server: RunningServer, client: httpx.AsyncClient) -> None:
    """The public port, say."""
    servers = ServerAdmin(client, urlsplit(server.url).port or 0, TOKEN)
    with pytest.raises(ServerSilent, match="it answers 404"):
        await servers.stats(POD)


async def test_no_more_are_asked_at_a_time_than_the_namespace_may(client: httpx.AsyncClient) -> None:
    limit = asyncio.Semaphore(1)
    servers = ServerAdmin(client, free_port(), TOKEN, limit=limit)
    async with limit:
        asked = asyncio.create_task(servers.stats(POD))
        done, _ = await asyncio.wait([asked], timeout=0.2)
        assert not done
    with pytest.raises(ServerSilent):
        await asked
