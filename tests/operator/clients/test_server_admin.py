"""The operator at the admin port of a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from kit.clients.python import PythonClients
from kit.network.ports import free_port
from kit.servers.in_process import MakeServer, RunningServer
from tradecast_operator.clients.pod_http import Answer, PodClient
from tradecast_operator.clients.server_admin import KnownServers, ServerAdmin, ServerSilent, Target, read_stats
from tradecast_operator.model.observation import Outcomes

TOKEN = "operators-token"
POD = Target("uid-a", "127.0.0.1", revision="replica-set-uid")


class Wire(PodClient):
    """A client whose requests are seen.

    Attributes:
        sent: What showed who asks, of each request; empty: nothing.
        statuses: Of the answers.
    """

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.statuses: list[int] = []

    async def request(
        self, method: str, address: str, port: int, path: str, headers: Mapping[str, str], body: bytes = b""
    ) -> Answer:
        self.sent.append(headers.get("authorization", ""))
        answer = await super().request(method, address, port, path, headers, body)
        self.statuses.append(answer.status)
        return answer


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def client(wire: Wire) -> PodClient:
    return wire


def at(
    server: RunningServer,
    client: PodClient,
    *tokens: str,
    known: KnownServers | None = None,
    bearer: bool = False,
) -> ServerAdmin:
    return ServerAdmin(client, urlsplit(server.admin_url).port or 0, tokens or (TOKEN,), known, bearer=bearer)


async def test_a_server_reports_its_connections_and_its_drain(
    make_server: MakeServer, client: PodClient, wire: Wire
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


async def test_a_drain_that_renews_itself_and_its_end(make_server: MakeServer, client: PodClient) -> None:
    server = await make_server(admin_token=TOKEN, pod_uid="uid-a", drain_delay=3, drain_rate=100, shutdown_timeout=1)
    servers = at(server, client)
    before = await servers.stats(POD)
    assert (before.renewable, before.urgent, before.ends_in) == (True, False, None)
    assert before.outcomes == Outcomes()
    await servers.drain(POD, 1, 60, renew_within=1e9)
    assert server.app.get_stats()["drain"]["renewWithin"] == 3600
    await servers.drain(POD, 7, None, renew_within=50, ends_within=20)
    after = await servers.stats(POD)
    assert server.app.get_stats()["drain"]["renewWithin"] == 50
    assert after.rate == 7
    assert after.ends_in is not None
    assert after.ends_in <= 19, "a second is left for the shutdown"


async def test_a_figure_above_what_servers_take_is_sent_as_the_highest(
    make_server: MakeServer, client: PodClient
) -> None:
    server = await make_server(admin_token=TOKEN, pod_uid="uid-a", drain_delay=3)
    await at(server, client).drain(POD, 1e9, 1e9)
    assert server.app.get_stats()["drain"]["active"]


async def test_a_server_that_has_begun_again_is_asked_for_another_nonce(
    make_server: MakeServer, client: PodClient, wire: Wire
) -> None:
    known = KnownServers({"uid-a": "12.0123456789abcdef.0123456789abcdef0123456789abcdef"}, set())
    server = await make_server(admin_token=TOKEN, pod_uid="uid-a")
    await at(server, client, known=known).stats(POD)
    assert wire.statuses == [401, 200]


@pytest.mark.parametrize("bearer", [True, False])
async def test_a_server_of_the_version_before_gets_the_token_while_that_is_allowed(
    make_server: MakeServer, client: PodClient, wire: Wire, bearer: bool
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
    make_server: MakeServer, client: PodClient, wire: Wire, pod: Target
) -> None:
    servers = at(await make_server(admin_token=TOKEN), client, known=KnownServers({}, {"signing"}), bearer=True)
    with pytest.raises(ServerSilent):
        await servers.stats(pod)
    assert wire.sent == [""]


async def test_after_a_signed_request_no_pod_of_that_replicaset_gets_the_token(
    make_server: MakeServer, client: PodClient, wire: Wire
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
    make_server: MakeServer, client: PodClient, wire: Wire
) -> None:
    """A pod that passes on the nonce of another one, to have it signed."""
    other = await make_server(admin_token=TOKEN, pod_uid="uid-b")
    with pytest.raises(ServerSilent, match="it answers 401"):
        await at(other, client).stats(POD)
    assert wire.sent[1].startswith("Tradecast-Hmac")


@pytest.mark.parametrize("token", ["", "wrong", "wrong,too"])
async def test_who_does_not_know_the_token_is_refused(make_server: MakeServer, client: PodClient, token: str) -> None:
    for uid in ("uid-a", None):
        servers = at(await make_server(admin_token=TOKEN, pod_uid=uid), client, *token.split(","), bearer=True)
        with pytest.raises(ServerSilent, match="it answers 401") as refused:
            await servers.stats(POD)
        assert TOKEN not in str(refused.value)
        assert servers.refused


async def test_a_server_that_has_a_token_of_before_is_asked_with_it_from_then_on(
    make_server: MakeServer, client: PodClient, wire: Wire
) -> None:
    """The Secret has another one since, which the server reads at its next start."""
    known = KnownServers()
    server = await make_server(admin_token=TOKEN, pod_uid="uid-a")
    servers = at(server, client, "new", "of yesterday", TOKEN, known=known)
    await servers.stats(POD)
    assert wire.statuses == [401, 401, 401, 200]
    assert servers.behind == {"uid-a"}
    again = at(server, client, "new", "of yesterday", TOKEN, known=known)
    await again.stats(POD)
    await again.shed(POD, 1, 1)
    assert wire.statuses[4:] == [200, 202]
    assert again.behind == {"uid-a"}
    assert not servers.refused
    assert not any(token in sent for sent in wire.sent for token in ("new", "yesterday", TOKEN))
    known.keep((), ())
    assert known.tokens == {}


async def test_a_server_that_has_started_again_gets_the_present_token(
    make_server: MakeServer, client: PodClient
) -> None:
    known = KnownServers(tokens={"uid-a": "of yesterday"})
    servers = at(await make_server(admin_token=TOKEN, pod_uid="uid-a"), client, TOKEN, "of yesterday", known=known)
    await servers.stats(POD)
    assert (known.tokens, servers.behind) == ({}, set())


async def test_a_server_that_refuses_them_all_is_asked_so_many_times_and_no_more(
    make_server: MakeServer, client: PodClient, wire: Wire
) -> None:
    server = await make_server(admin_token=TOKEN, pod_uid="uid-a")
    known = KnownServers({"uid-a": "12.0123456789abcdef.0123456789abcdef0123456789abcdef"})
    with pytest.raises(ServerSilent, match="it answers 401"):
        await at(server, client, "1", "2", "3", known=known, bearer=True).stats(POD)
    assert wire.statuses == [401] * 4


async def test_a_server_that_is_not_there_says_nothing(client: PodClient) -> None:
    with pytest.raises(ServerSilent, match="no answer: ConnectionRefusedError"):
        await ServerAdmin(client, free_port(), (TOKEN,)).stats(POD)


@pytest.mark.parametrize("address", ["127.0.0.1/x", "::1%25lo", "a b", "127.0.0.1@example.invalid", "\n", "x" * 300])
async def test_an_address_that_is_none(client: PodClient, address: str) -> None:
    with pytest.raises(ServerSilent):
        await ServerAdmin(client, free_port(), (TOKEN,)).stats(replace(POD, address=address))


async def test_an_answer_that_is_none_of_ours(server: RunningServer, client: PodClient) -> None:
    """The public port, say."""
    servers = ServerAdmin(client, urlsplit(server.url).port or 0, (TOKEN,))
    with pytest.raises(ServerSilent, match="it answers 404"):
        await servers.stats(POD)


async def test_no_more_are_asked_at_a_time_than_the_namespace_may(client: PodClient) -> None:
    limit = asyncio.Semaphore(1)
    servers = ServerAdmin(client, free_port(), (TOKEN,), limit=limit)
    async with limit:
        asked = asyncio.create_task(servers.stats(POD))
        done, _ = await asyncio.wait([asked], timeout=0.2)
        assert not done
    with pytest.raises(ServerSilent):
        await asked


DRAIN = {"active": False, "remaining": 0, "shedding": False}
OUTCOMES = {"connects": 4, "connectFailures": 3, "events": 2, "eventErrors": 1}


def said(drain: dict[str, object], **more: object) -> dict[str, object]:
    return {"websocket": {"totalConnections": 7}, "drain": {**DRAIN, **drain}, **more}


def test_what_an_earlier_version_does_not_report() -> None:
    stats = read_stats(said({}))
    assert (stats.renewable, stats.rate, stats.ends_in, stats.urgent, stats.outcomes) == (False, 0, None, False, None)


def test_what_a_server_reports_of_its_drain_and_its_work() -> None:
    stats = read_stats(said({"rate": 900, "endsIn": 12.5, "urgent": True, "renewWithin": None}, outcomes=OUTCOMES))
    assert (stats.renewable, stats.rate, stats.ends_in, stats.urgent) == (True, 900, 12.5, True)
    assert stats.outcomes == Outcomes(4, 3, 2, 1)


@pytest.mark.parametrize(
    ("drain", "more"),
    [
        ({"urgent": "yes"}, {}),
        ({"rate": -1}, {}),
        ({"endsIn": float("inf")}, {}),
        ({"endsIn": "5"}, {}),
        ({}, {"outcomes": []}),
        ({}, {"outcomes": {"connects": 4}}),
        ({}, {"outcomes": {**OUTCOMES, "events": -1}}),
        ({}, {"outcomes": {**OUTCOMES, "events": 2**60}}),
        ({}, {"outcomes": {**OUTCOMES, "events": 1.5}}),
    ],
)
def test_nonsense_is_no_report(drain: dict[str, object], more: dict[str, object]) -> None:
    with pytest.raises((KeyError, ValueError)):
        read_stats(said(drain, **more))
