"""Requests to all servers: three processes on one Redis, with stock clients, some of which die."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from kit.clients.node import StockClient, StockClients
from kit.programs import cluster_server
from kit.servers.in_process import MakeServer, RunningServer
from kit.servers.process import ServeProcess, serving
from kit.servers.redis_cluster import RedisCluster
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.cluster_rpc import Incomplete
from tradecast.delivery.errors import AdapterUnavailable
from tradecast.events import rooms
from tradecast.packets.acks import FIRST
from tradecast.server import WebSocketServer

pytestmark = [pytest.mark.redis, pytest.mark.node]

# Longer than a busy machine holds up a server; the brief one is for servers that are to be gone.
LEASE, BRIEF_LEASE = 12.0, 4.0


class ThreeServers:
    """One server in the test's process, from where is asked, and two others.

    Attributes:
        app: The one here.
        others: Processes.
        noted: What the one here was told by the server event `note`.
    """

    def __init__(self, here: RunningServer, others: list[ServeProcess], clients: StockClients) -> None:
        self.here = here
        self.app: WebSocketServer = here.app
        self.others = others
        self.noted: list[Any] = []
        self._clients = clients

    @property
    def urls(self) -> list[str]:
        return [self.here.url, *(other.url for other in self.others)]

    async def client(self, server: int, user: str = "u1", **options: Any) -> StockClient:
        """A stock client of the server of this number; 0 is the one here."""
        session = await self.here.session(user)
        return await self._clients.connect(self.urls[server], session, transports=["websocket"], **options)

    async def clients(self, user: str = "u1") -> list[StockClient]:
        """One of each server."""
        return [await self.client(server, user) for server in range(3)]


@pytest.fixture
async def fleet(
    make_server: MakeServer, durable_redis: RedisServer, stock_clients: StockClients
) -> AsyncIterator[ThreeServers]:
    async with start_three(make_server, durable_redis, stock_clients, cluster_lease=LEASE) as made:
        yield made


@pytest.fixture
async def brief_fleet(
    make_server: MakeServer, durable_redis: RedisServer, stock_clients: StockClients
) -> AsyncIterator[ThreeServers]:
    """One that soon notices who is gone, and that Redis is away."""
    options = {"cluster_lease": BRIEF_LEASE, "redis_timeout": 1}
    async with start_three(make_server, durable_redis, stock_clients, **options) as made:
        yield made


@contextlib.asynccontextmanager
async def start_three(
    make_server: MakeServer, redis: RedisServer, clients: StockClients, *, cluster_lease: float, **options: float
) -> AsyncIterator[ThreeServers]:
    settings = {"REDIS_URL": redis.url, "CLUSTER_LEASE": str(cluster_lease), "PING_INTERVAL": "5"}
    noted: list[Any] = []
    async with contextlib.AsyncExitStack() as stack:
        others = [
            await stack.enter_async_context(serving(program=[cluster_server.__file__], **settings)) for _ in range(2)
        ]
        here = await make_server(
            lambda app: cluster_server.add_handlers(app, noted),
            redis_url=redis.url,
            cluster_lease=cluster_lease,
            **options,
        )
        made = ThreeServers(here, others, clients)
        made.noted = noted
        await eventually(lambda: made.app.cluster.servers == 3)
        yield made


def requests(fleet: ThreeServers, kind: str, result: str) -> float | None:
    return fleet.app.metrics.registry.get_sample_value(
        "tradecast_cluster_requests_total", {"kind": kind, "result": result}
    )


async def test_everybody_is_found_wherever_he_is(fleet: ThreeServers) -> None:
    clients = await fleet.clients()
    stranger = await fleet.client(1, "u2")
    await clients[1].call("subscribe:portfolio", {"userId": "u1"})
    found = await fleet.app.fetch_sockets()
    assert {one.sid for one in found} == {*(client.sid for client in clients), stranger.sid}
    assert len({one.server for one in found}) == 3
    of_u1 = await fleet.app.fetch_sockets(rooms.user("u1"))
    assert {one.sid for one in of_u1} == {client.sid for client in clients}
    assert {(one.user_id, one.transport) for one in of_u1} == {("u1", "websocket")}
    assert all(abs(one.connected_at - time.time()) < 60 for one in of_u1)
    (subscribed,) = await fleet.app.fetch_sockets(rooms.portfolio("u1"))
    assert subscribed.sid == clients[1].sid
    assert subscribed.rooms == {rooms.portfolio("u1"), rooms.user("u1"), rooms.AUTHENTICATED, rooms.MARKET_STATUS}
    others = await fleet.app.fetch_sockets(except_rooms=[rooms.user("u2"), str(clients[0].sid)])
    assert {one.sid for one in others} == {clients[1].sid, clients[2].sid}
    assert await fleet.app.fetch_sockets("nobody is here") == []
    assert requests(fleet, "fetch_sockets", "ok") == 5


async def test_events_to_several_rooms_with_exceptions(fleet: ThreeServers) -> None:
    clients = await fleet.clients()
    stranger = await fleet.client(2, "u2")
    everybody = [*clients, stranger]
    both = [rooms.user("u1"), rooms.user("u2"), rooms.AUTHENTICATED]
    await fleet.app.emit("first", {"n": 1}, to=both)
    await fleet.app.emit("second", (1, b"\x00", "x"), to=rooms.AUTHENTICATED, skip_sid=str(clients[0].sid))
    await fleet.app.emit("third", to=both, except_rooms=rooms.user("u2"), volatile=True)
    await fleet.app.emit("last", {}, to=rooms.AUTHENTICATED)
    for client in everybody:
        await client.wait_for("last")
    assert [len(client.events("first")) for client in everybody] == [1, 1, 1, 1]
    assert [len(client.events("second")) for client in everybody] == [0, 1, 1, 1]
    assert stranger.events("second")[0][:3] == [1, b"\x00", "x"]
    assert [len(client.events("third")) for client in everybody] == [1, 1, 1, 0]


async def test_others_put_clients_into_rooms_and_out_of_them_and_it_is_kept(fleet: ThreeServers) -> None:
    clients = await fleet.clients()
    assert await fleet.app.sockets_join(rooms.user("u1"), ["desk", "floor"]) == 3
    assert await fleet.app.sockets_join(str(clients[1].sid), "single") == 1
    await fleet.app.emit("n", 1, to="desk")
    for client in clients:
        await client.wait_for("n", lambda args: args[0] == 1)
    await clients[1].drop()
    await clients[1].wait_disconnect()
    await fleet.app.emit("n", 2, to="desk")
    await clients[1].wait_connect()  # the first was waited for by `connect`
    assert clients[1].recovered
    for client in clients:
        await client.wait_for("n", lambda args: args[0] == 2)
    (single,) = await fleet.app.fetch_sockets("single")
    assert {"desk", "floor", "single"} <= single.rooms
    assert await fleet.app.sockets_leave("single", ["desk", "single"]) == 1
    await clients[1].drop()
    await clients[1].wait_connect()
    assert clients[1].recovered
    await fleet.app.emit("n", 3, to="desk")
    await fleet.app.emit("n", 4, to="floor")
    for client in clients:
        await client.wait_for("n", lambda args: args[0] == 4)
    assert [[args[0] for args in client.events("n")] for client in clients] == [
        [1, 2, 3, 4],
        [1, 2, 4],
        [1, 2, 3, 4],
    ]


async def test_whom_a_server_ends_is_gone_on_all(fleet: ThreeServers) -> None:
    clients = await fleet.clients()
    stranger = await fleet.client(1, "u2")
    assert await fleet.app.disconnect_sockets(rooms.user("u1")) == 3
    for client in clients:
        assert await client.wait_disconnect() == "io server disconnect"
        assert client.final
    assert [one.sid for one in await fleet.app.fetch_sockets()] == [stranger.sid]
    before = clients[1].sid
    await clients[1].reconnect()
    assert not clients[1].recovered
    assert clients[1].sid != before
    assert await fleet.app.disconnect_sockets() == 2
    assert await fleet.app.fetch_sockets() == []
    await eventually(lambda: stranger.final)


async def test_all_are_asked_and_one_does_not_answer(fleet: ThreeServers) -> None:
    clients = await fleet.clients()
    await clients[0].answer_with("yes", {"file": b"\x00\xff"})
    await clients[1].answer_with()
    told = await fleet.app.emit_with_ack("confirm", {"order": 1}, to=rooms.user("u1"))
    assert told.complete
    assert {answer.sid: answer.data for answer in told.answers} == {
        clients[0].sid: ("yes", {"file": b"\x00\xff"}),
        clients[1].sid: None,
        clients[2].sid: {"received": "confirm"},
    }
    assert len({answer.server for answer in told.answers}) == 3
    await clients[2].answer_with(mute=True)
    await clients[1].answer_with("x" * 20_000)
    told = await fleet.app.emit_with_ack("confirm", "text", to=None, timeout=5)
    assert [answer.sid for answer in told.answers] == [clients[0].sid]
    assert (told.silent, told.refused) == ([clients[2].sid], [clients[1].sid])
    assert not told.complete
    for client in clients:
        await client.wait_for("confirm", lambda args: args == ["text"])
    assert [client.events("confirm")[-1] for client in clients] == [["text"]] * 3
    assert requests(fleet, "emit_with_ack", "ok") == 2
    # One that goes meanwhile is waited for no more.
    asked = asyncio.create_task(fleet.app.emit_with_ack("bye", to=str(clients[2].sid), timeout=60))
    await clients[2].wait_for("bye")
    await clients[2].disconnect()
    async with asyncio.timeout(20):
        assert (await asked).silent == [clients[2].sid]
    nobody = await fleet.app.emit_with_ack("confirm", to="nobody is here", timeout=60)
    assert nobody.complete
    assert nobody.answers == []


async def test_servers_send_each_other_events(fleet: ThreeServers) -> None:
    answers = await fleet.app.server_side_emit_with_ack("add", 2, 3)
    assert fleet.app.cluster.server_id not in answers
    assert {answer["pid"] for answer in answers.values()} == {other.process.pid for other in fleet.others}
    assert [answer["sum"] for answer in answers.values()] == [5, 5]
    echoed = await fleet.app.server_side_emit_with_ack("echo", b"\x00", {"$bytes": "x"}, None)
    assert [*echoed.values()] == [[b"\x00", {"$bytes": "x"}, None]] * 2
    await fleet.app.server_side_emit("note", 7)
    await eventually(lambda: everybody_noted(fleet))
    assert fleet.noted == []
    for event, why in (("unheard of", "no handler"), ("fail", "it failed")):
        with pytest.raises(Incomplete, match=why) as failed:
            await fleet.app.server_side_emit_with_ack(event)
        assert failed.value.result == {}
        assert len(failed.value.failed) == 2
        assert "u1" not in str(failed.value)
    with pytest.raises(Incomplete, match="did not answer in time") as late:
        await fleet.app.server_side_emit_with_ack("never", timeout=0.3)
    assert late.value.missing == answers.keys()
    with pytest.raises(TypeError):
        await fleet.app.server_side_emit("note", object())


async def everybody_noted(fleet: ThreeServers) -> bool:
    noted = await fleet.app.server_side_emit_with_ack("noted")
    return [*noted.values()] == [[7], [7]]


async def test_connections_are_counted_over_all(fleet: ThreeServers) -> None:
    clients = await fleet.clients()
    await fleet.client(1, "u2")
    await eventually(lambda: fleet.app.get_fleet_connection_count() == 4)
    assert await fleet.app.get_fleet_user_connection_count("u1") == 3
    assert await fleet.app.get_fleet_user_connection_count("nobody") == 0
    async with httpx.AsyncClient(timeout=30) as http:
        for url in (fleet.here.admin_url, fleet.others[0].admin_url):

            async def told(url: str = url) -> bool:
                stats = (await http.get(f"{url}/admin/stats")).json()["fleet"]
                return (stats["servers"], stats["connections"]) == (3, 4)

            await eventually(told)
    await clients[2].disconnect()
    await eventually(lambda: has_connections(fleet, "u1", 2))
    await eventually(lambda: fleet.app.get_fleet_connection_count() == 3)


async def has_connections(fleet: ThreeServers, user: str, count: int) -> bool:
    return await fleet.app.get_fleet_user_connection_count(user) == count


async def test_a_killed_server_ends_requests_and_its_connections_do_not_count(brief_fleet: ThreeServers) -> None:
    fleet = brief_fleet
    clients = await fleet.clients()
    for client in clients:
        await client.answer_with(mute=True)
    await clients[0].answer_with("here")
    victim = fleet.others[1]
    waiting = asyncio.create_task(fleet.app.emit_with_ack("confirm", to=rooms.user("u1"), timeout=60))
    answering = asyncio.create_task(fleet.app.server_side_emit_with_ack("never", timeout=60))
    await clients[2].wait_for("confirm")
    await eventually(lambda: fleet.app.get_fleet_connection_count() == 3)
    victim.send(signal.SIGKILL)
    await victim.ended()
    # Its port is gone as well: the client stays away.
    with pytest.raises(Incomplete, match=r"gone|in time") as partial:
        await fleet.app.fetch_sockets(rooms.user("u1"))
    assert {one.sid for one in partial.value.result} == {clients[0].sid, clients[1].sid}
    assert len(partial.value.gone | partial.value.missing) == 1
    await eventually(lambda: fleet.app.cluster.servers == 2)
    assert fleet.app.get_fleet_connection_count() == 2
    assert await fleet.app.get_fleet_user_connection_count("u1") == 2
    assert {one.sid for one in await fleet.app.fetch_sockets()} == {clients[0].sid, clients[1].sid}
    # What was under way ends when those have answered, or are gone, that were asked.
    await clients[1].disconnect()
    told = await waiting
    assert [answer.data for answer in told.answers] == ["here"]
    assert told.silent == [clients[1].sid]
    assert len(told.gone) == 1
    assert not told.complete
    assert requests(fleet, "emit_with_ack", "incomplete") == 1
    fleet.others[0].send(signal.SIGKILL)
    with pytest.raises(Incomplete) as nobody:
        await answering
    assert len(nobody.value.gone) == 2


@pytest.mark.serial
async def test_a_server_that_stops_in_order_is_no_loss(fleet: ThreeServers) -> None:
    await fleet.client(0)
    asked = asyncio.create_task(fleet.app.server_side_emit_with_ack("never", timeout=60))
    for leaving in fleet.others:
        leaving.send(signal.SIGTERM)
        assert await leaving.ended() == 0
    async with asyncio.timeout(LEASE / 4):  # before their leases are over
        assert await asked == {}
    assert fleet.app.cluster.servers == 1
    assert len(await fleet.app.fetch_sockets()) == 1


async def test_a_frozen_server_is_gone_and_comes_back(brief_fleet: ThreeServers) -> None:
    fleet = brief_fleet
    await fleet.client(1)
    await eventually(lambda: fleet.app.get_fleet_connection_count() == 1)
    frozen = fleet.others[0].process.pid
    os.kill(frozen, signal.SIGSTOP)
    try:
        await eventually(lambda: fleet.app.cluster.servers == 2)
        assert fleet.app.get_fleet_connection_count() == 0
    finally:
        os.kill(frozen, signal.SIGCONT)
    await eventually(lambda: fleet.app.cluster.servers == 3)
    assert fleet.app.get_fleet_connection_count() == 1
    assert len(await fleet.app.fetch_sockets()) == 1


async def test_redis_away_is_reported_and_nothing_is_done(
    brief_fleet: ThreeServers, durable_redis: RedisServer
) -> None:
    fleet = brief_fleet
    client = await fleet.client(0)
    await durable_redis.pause(60)
    try:
        with pytest.raises(AdapterUnavailable):
            await fleet.app.disconnect_sockets(timeout=1)
    finally:
        durable_redis.resume()
    await eventually(lambda: all_are_found(fleet, 1))
    await eventually(lambda: fleet.app.cluster.servers == 3)
    await durable_redis.kill()
    await eventually(lambda: fleet.app.cluster._broker.unreachable_for > 0)
    failed = requests(fleet, "fetch_sockets", "failed") or 0
    for request in (
        fleet.app.disconnect_sockets(),
        fleet.app.sockets_join(None, "x"),
        fleet.app.fetch_sockets(),
        fleet.app.emit_with_ack("x", to=None),
        fleet.app.server_side_emit("x"),
        fleet.app.get_fleet_user_connection_count("u1"),
    ):
        with pytest.raises(AdapterUnavailable):
            await request
    await asyncio.sleep(2 * BRIEF_LEASE)
    assert fleet.app.cluster.servers == 3, "while nothing is heard, nobody is gone"
    assert requests(fleet, "fetch_sockets", "failed") == failed + 1
    await durable_redis.start()
    await eventually(lambda: all_are_found(fleet, 1))
    assert client.connected
    assert client.events("disconnect") == []


async def all_are_found(fleet: ThreeServers, count: int) -> bool:
    with contextlib.suppress(AdapterUnavailable, Incomplete):
        return len(await fleet.app.fetch_sockets()) == count
    return False


@pytest.mark.serial
async def test_a_revoked_user_is_gone_from_all_servers_within_a_second(fleet: ThreeServers) -> None:
    clients = await fleet.clients()
    stays = await fleet.client(1, "u2")
    session = await fleet.here.session("u3")
    sessions_clients = [await fleet._clients.connect(url, session, transports=["websocket"]) for url in fleet.urls]
    async with httpx.AsyncClient(base_url=fleet.others[0].admin_url, timeout=30) as admin:
        for body, gone in (({"userId": "u1"}, clients), ({"sessionID": session["sessionID"]}, sessions_clients)):
            answer = await admin.post("/admin/sessions/revoke", json=body)
            assert answer.status_code == 200, answer.text
            revoked = time.monotonic()
            for client in gone:
                assert await client.wait_disconnect() == "io server disconnect"
            assert time.monotonic() - revoked < 1.0
    assert stays.connected


async def test_what_is_no_message_of_ours_is_skipped(fleet: ThreeServers) -> None:
    broker = fleet.app.cluster._broker
    skipped = fleet.app.metrics.registry.get_sample_value
    for data in (b"2{}", b"\xff", b"1[]", b'1{"t":"ask","s":"x"}', b'1{"t":"answer","s":"x","n":1,"i":[]}', b""):
        await broker.send_to_all(data)
    await eventually(lambda: skipped("tradecast_messages_skipped_total", {"why": "other version"}) == 3)  # the last too
    assert skipped("tradecast_messages_skipped_total", {"why": "malformed message"}) == 2
    assert skipped("tradecast_messages_skipped_total", {"why": "error"}) == 0
    assert await fleet.app.fetch_sockets() == []


# -- other modes


async def test_a_single_server_is_all_servers(make_server: MakeServer, stock_clients: StockClients) -> None:
    server = await make_server(cluster_server.add_handlers)
    app = server.app
    assert await app.fetch_sockets() == []
    clients = [
        await stock_clients.connect(server.url, await server.session(user), transports=["websocket"])
        for user in ("u1", "u2")
    ]
    await app.sockets_join(rooms.user("u1"), "desk")
    (found,) = await app.fetch_sockets("desk")
    assert (found.sid, found.user_id, found.server) == (clients[0].sid, "u1", app.cluster.server_id)
    await app.emit("n", 1, to=["desk", rooms.AUTHENTICATED], except_rooms="desk")
    await clients[1].wait_for("n")
    assert clients[0].events("n") == []
    told = await app.emit_with_ack("confirm", to=None)
    assert {answer.sid for answer in told.answers} == {client.sid for client in clients}
    assert await app.sockets_leave(None, "desk") == 2
    assert await app.fetch_sockets("desk") == []
    await app.server_side_emit("note", 1)
    assert await app.server_side_emit_with_ack("noted") == {}
    assert (app.cluster.servers, app.get_fleet_connection_count()) == (1, 2)
    assert await app.get_fleet_user_connection_count("u2") == 1
    assert await app.disconnect_sockets() == 2
    for client in clients:
        await client.wait_disconnect()
        assert client.final


async def test_servers_on_a_redis_cluster(
    make_server: MakeServer, redis_cluster: RedisCluster, stock_clients: StockClients
) -> None:
    servers = [await make_server(cluster_server.add_handlers, redis_url=redis_cluster.url) for _ in range(2)]
    here = servers[0].app
    await eventually(lambda: here.cluster.servers == 2)
    session = await servers[0].session("u1")
    clients = [await stock_clients.connect(server.url, session, transports=["websocket"]) for server in servers]
    assert len(await here.fetch_sockets(rooms.user("u1"))) == 2
    assert await here.sockets_join(None, [f"room{n}" for n in range(20)]) == 2
    await here.emit("n", 1, to=[f"room{n}" for n in range(20)])
    await here.emit("n", 2, to="room7")
    for client in clients:
        await client.wait_for("n", lambda args: args[0] == 2)
    assert len((await here.emit_with_ack("confirm", to="room3")).answers) == 2
    assert [answer["sum"] for answer in (await here.server_side_emit_with_ack("add", 1, 2)).values()] == [3]
    assert await here.get_fleet_user_connection_count("u1") == 2
    assert await here.disconnect_sockets() == 2


async def test_a_server_whose_redis_is_away_starts_and_is_found_later(
    make_server: MakeServer, durable_redis: RedisServer
) -> None:
    options: dict[str, Any] = {"redis_timeout": 0.5, "cluster_lease": BRIEF_LEASE}
    one = await make_server(redis_url=durable_redis.url, **options)
    await durable_redis.kill()
    other = await make_server(redis_url=durable_redis.url, **options)
    with pytest.raises(AdapterUnavailable):
        await other.app.fetch_sockets()
    await durable_redis.start()
    await eventually(lambda: one.app.cluster.servers == other.app.cluster.servers == 2)
    await eventually(lambda: finds_nobody(other.app))


async def finds_nobody(app: WebSocketServer) -> bool:
    with contextlib.suppress(AdapterUnavailable, Incomplete):
        return await app.fetch_sockets() == []
    return False


async def test_acknowledgements_that_nobody_asked_for(make_server: MakeServer, stock_clients: StockClients) -> None:
    server = await make_server()
    session = await server.session("u1")
    asked, other = [await stock_clients.connect(server.url, session, transports=["websocket"]) for _ in range(2)]
    await asked.answer_with(mute=True)
    confirm = asyncio.create_task(server.app.emit_with_ack("confirm", to=str(asked.sid), timeout=60))
    await asked.wait_for("confirm")
    for ack_id in (1, FIRST, FIRST + 1, 2**31, 2**80):
        await other.raw(f'3{ack_id}["forged"]')
        await other.raw(f'3{ack_id}["forged"]')
    await other.call("unsubscribe:portfolio", {"userId": "u1"})  # all of it has been read
    await asked.raw(f'3{FIRST}["true"]')
    async with asyncio.timeout(20):
        assert [answer.data for answer in (await confirm).answers] == ["true"]
    assert other.connected
    await other.raw(f"3{2**31}")  # no arguments at all
    await other.wait_disconnect()
