"""A sid is a room, and so is a number: on one server, on two with one Redis, and on two with Redis Cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from kit.clients.node import StockClient, StockClients
from kit.delivery.redis_brokers import until_delivered
from kit.servers.in_process import MakeServer, RunningServer
from kit.servers.redis_cluster import RedisCluster
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.config.settings import load_settings
from tradecast.connections.connection import Connection
from tradecast.delivery.redis.broker import RedisBroker
from tradecast.engine.ids import make_id
from tradecast.publishing.publisher import Publisher
from tradecast.publishing.sync_publisher import SyncPublisher
from tradecast.server import WebSocketServer

pytestmark = [pytest.mark.redis, pytest.mark.node]
WEBSOCKET = {"transports": ["websocket"]}
NOT_ROOMS = [None, 1.5, True, b"room", ["x"], {"x": 1}, object(), "\ud83d"]


@dataclass
class ServersWithClients:
    """Servers, and clients of them."""

    servers: list[RunningServer]
    clients: StockClients

    @property
    def here(self) -> WebSocketServer:
        return self.servers[0].app

    async def client(self, server: int, user: str = "u1", **options: Any) -> StockClient:
        chosen = self.servers[server % len(self.servers)]
        return await self.clients.connect(chosen.url, await chosen.session(user), **WEBSOCKET, **options)


def prepare(app: WebSocketServer) -> None:
    async def joined(connection: Connection, room: Any = None) -> bool:
        await connection.join(room)
        return connection.is_in(room)

    async def left(connection: Connection, room: Any = None) -> bool:
        await connection.leave(room)
        return connection.is_in(room)

    async def noted(connection: Connection, data: Any = None) -> None:
        connection.data.update(data)

    async def welcomed(connection: Connection) -> None:
        await connection.join(7)

    app.register_event_handler("join", joined)
    app.register_event_handler("leave", left)
    app.register_event_handler("note", noted)
    app.register_event_handler("sid", lambda connection: connection.sid, namespace="/desk")
    app.set_connect_handler(welcomed)


@pytest.fixture(params=["single", "pubsub", "sharded"])
async def fleet(
    request: pytest.FixtureRequest, make_server: MakeServer, stock_clients: StockClients
) -> ServersWithClients:
    options: dict[str, Any] = {}
    count = 1
    if request.param != "single":
        redis: RedisServer | RedisCluster = request.getfixturevalue(
            "redis_server" if request.param == "pubsub" else "empty_cluster"
        )
        options, count = {"redis_url": redis.url}, 2
    servers = [await make_server(prepare, **options) for _ in range(count)]
    for server in servers:
        if isinstance(broker := server.app.components.hub.broker, RedisBroker):
            await broker.wait_until_subscribed()
        await eventually(lambda app=server.app: app.cluster.servers == count)  # type: ignore[misc]
    return ServersWithClients(servers, stock_clients)


def sid_of(client: StockClient) -> str:
    assert client.sid is not None
    return client.sid


async def delivered(fleet: ServersWithClients) -> None:
    """Until the servers have delivered what was emitted: what is emitted then comes behind it."""
    for server in fleet.servers:
        await until_delivered(server.app.components.hub.broker)


def as_ordered(fleet: ServersWithClients, found: list[Any]) -> list[Any]:
    """What came, sorted where nothing is promised of its order: of Redis Cluster, where it went to different rooms."""
    return found if len(fleet.servers) == 1 or fleet.here.mode == "pubsub" else sorted(found)


def got(client: StockClient, event: str = "n") -> list[Any]:
    return [args[0] if args else None for args in client.events(event)]


async def last(client: StockClient, fleet: ServersWithClients, value: Any = "last") -> list[Any]:
    """What a client has got when it has what is sent to everybody at last."""
    await client.wait_for("n", lambda args: bool(args) and args[0] == value)
    return [one for one in got(client) if one != value]


async def test_one_connection_of_any_server_gets_it(fleet: ServersWithClients) -> None:
    clients = [await fleet.client(n, user) for n, user in enumerate(("u1", "u1", "u1", "u2"))]
    for n, client in enumerate(clients):
        await fleet.here.emit("n", n, to=sid_of(client))
        await fleet.here.emit_to_room(sid_of(client), "n", f"{n} again")
        await fleet.here.emit("n", {"volatile": n}, to=[sid_of(client), sid_of(client)], volatile=True)
    await delivered(fleet)
    await fleet.here.broadcast("n", "last")
    for n, client in enumerate(clients):
        found = await last(client, fleet)
        assert [one for one in found if not isinstance(one, dict)] == [n, f"{n} again"]
        assert found.count({"volatile": n}) == 1
    assert got(clients[0]).count("last") == 1


async def test_with_rooms_and_without_oneself(fleet: ServersWithClients) -> None:
    a, b, c = [await fleet.client(n) for n in range(3)]
    await a.call("join", "desk")
    await fleet.here.emit("n", 1, to=["desk", sid_of(a), sid_of(b)])  # a is in two of them
    await fleet.here.emit("n", 2, to="user:u1", except_rooms=sid_of(b))
    await fleet.here.emit("n", 3, to=[sid_of(a), sid_of(b)], except_rooms=["desk"])
    await fleet.here.emit("n", 4, to=[sid_of(a), sid_of(c)], skip_sid=sid_of(a))
    await delivered(fleet)
    await fleet.here.emit("n", "last", to="user:u1")
    assert [as_ordered(fleet, await last(one, fleet)) for one in (a, b, c)] == [[1, 2], [1, 3], [2, 4]]


async def test_what_one_connection_missed_it_gets_later(fleet: ServersWithClients) -> None:
    away, other = await fleet.client(1, reconnectionDelay=100), await fleet.client(0)
    sid = sid_of(away)
    await fleet.here.emit("n", 1, to=sid)
    await away.wait_for("n")
    for turn in (10, 20):
        await away.drop()
        await away.wait_disconnect()
        await fleet.here.emit("n", turn, to=sid)
        await fleet.here.emit("n", turn + 1, to="user:u1")
        await fleet.here.emit("n", turn + 2, to=[sid, sid_of(other)])
        await away.wait_connect()
        assert away.recovered
        assert away.sid == sid
        await fleet.here.emit("n", turn + 3, to=sid)
        await last(away, fleet, turn + 3)
    await delivered(fleet)
    await fleet.here.emit("n", "last", to="user:u1")
    found = await last(away, fleet)
    assert as_ordered(fleet, found) == [1, 10, 11, 12, 13, 20, 21, 22, 23]
    assert as_ordered(fleet, await last(other, fleet)) == [11, 12, 21, 22]


async def test_of_a_client_that_is_gone_for_good_nobody_gets_anything(fleet: ServersWithClients) -> None:
    gone, other = await fleet.client(1), await fleet.client(1)
    sid = sid_of(gone)
    await gone.disconnect()
    await fleet.here.emit("n", 1, to=sid)
    await fleet.here.emit("n", 2, to=make_id())
    await delivered(fleet)
    await fleet.here.broadcast("n", "last")
    assert await last(other, fleet) == []


async def test_its_own_room_cannot_be_left_and_is_not_among_its_rooms(fleet: ServersWithClients) -> None:
    client = await fleet.client(1)
    (still,) = await client.call("leave", sid_of(client))
    assert still
    (still,) = await client.call("join", sid_of(client))
    assert still
    (found,) = await fleet.here.fetch_sockets(sid_of(client))
    assert found.sid == sid_of(client)
    assert found.rooms == {"user:u1", "authenticated", "market:status", "7"}
    await delivered(fleet)
    await fleet.here.emit("n", "last", to=sid_of(client))
    assert await last(client, fleet) == []


async def test_who_joins_a_room_of_another_ones_sid_gets_its_events(fleet: ServersWithClients) -> None:
    """As in Node. No client can do that by itself: rooms are made by the server."""
    a, b, c = [await fleet.client(n) for n in range(3)]
    await fleet.here.sockets_join(sid_of(b), into=sid_of(a))
    await fleet.here.emit("n", 1, to=sid_of(a))
    await delivered(fleet)
    await fleet.here.broadcast("n", "last")
    assert [await last(one, fleet) for one in (a, b, c)] == [[1], [1], []]
    assert {one.sid for one in await fleet.here.fetch_sockets(sid_of(a))} == {sid_of(a), sid_of(b)}


async def test_in_another_namespace(fleet: ServersWithClients) -> None:
    server = fleet.servers[-1]
    session = await server.session("u1")
    client = await fleet.clients.connect(server.url + "/desk", session, **WEBSOCKET)
    main = await fleet.client(1)
    (sid,) = await client.call("sid")
    await fleet.here.emit_to_room(sid, "n", 1, namespace="/desk")
    await fleet.here.emit_to_room(sid, "n", 2)  # not there
    await fleet.here.emit_to_room(sid_of(main), "n", 3, namespace="/desk")
    await delivered(fleet)
    await fleet.here.emit_to_user("u1", "n", "last", namespace="/desk")
    assert await last(client, fleet) == [1]


async def test_what_can_be_done_with_a_remote_socket(fleet: ServersWithClients) -> None:
    client, other = await fleet.client(1), await fleet.client(0)
    (socket,) = await fleet.here.fetch_sockets(sid_of(client))
    await socket.emit("n", 1)
    assert await socket.join(["desk", 5]) == 1
    await fleet.here.emit("n", 2, to=5)
    assert await socket.leave("desk") == 1
    await fleet.here.emit("n", 3, to="desk")
    await delivered(fleet)
    await fleet.here.broadcast("n", "last")
    assert as_ordered(fleet, await last(client, fleet)) == [1, 2]
    assert await socket.disconnect() == 1
    assert await client.wait_disconnect() == "io server disconnect"
    assert await socket.join("desk") == 0
    assert other.connected


# -- numbers


async def test_a_number_is_its_text_wherever_rooms_are_taken(fleet: ServersWithClients) -> None:
    a, b = await fleet.client(0), await fleet.client(1)
    for room in (5, -1, 2**70):
        assert await a.call("join", str(room)) == [True]
        await fleet.here.emit_to_room(room, "n", f"{room} 1")
        await fleet.here.emit("n", f"{room} 2", to=room)
        await fleet.here.emit("n", f"{room} 3", to=[room, str(room)])
        await fleet.here.emit("n", f"{room} 4", to="authenticated", except_rooms=room)
        assert [one.sid for one in await fleet.here.fetch_sockets(room)] == [sid_of(a)]
        assert await fleet.here.sockets_join(room, into=[room, 6]) == 1
        assert await fleet.here.sockets_leave("6", leave=6) == 1
        answers = await fleet.here.emit_with_ack("n", f"{room} 5", to=room)
        assert [one.sid for one in answers.answers] + answers.silent == [sid_of(a)]
    await delivered(fleet)
    await fleet.here.emit("n", "last", to=7)  # which both are in by a number
    names = ("5", "-1", str(2**70))
    assert sorted(await last(a, fleet)) == sorted(f"{name} {n}" for name in names for n in (1, 2, 3, 5))
    assert await last(b, fleet) == [f"{name} 4" for name in names]


@pytest.mark.parametrize("room", NOT_ROOMS, ids=[type(one).__name__ for one in NOT_ROOMS])
async def test_what_is_no_room_is_a_clear_error_and_does_nothing(server: RunningServer, room: Any) -> None:
    app = server.app
    error = ValueError if isinstance(room, str) else TypeError
    several = isinstance(room, list)
    calls: list[Callable[[], Any]] = [
        lambda: app.emit_to_room(room, "n", 1),
        lambda: app.fetch_sockets(["x", room]),
        lambda: app.emit("n", 1, to=["x", room]),
    ]
    if not several:
        calls += [
            lambda: app.emit("n", 1, to=room),
            lambda: app.emit("n", 1, to="x", except_rooms=room),
            lambda: app.sockets_join("x", into=room),
            lambda: app.sockets_leave("x", leave=room),
        ]
        if room is not None:
            calls += [lambda: app.fetch_sockets(room), lambda: app.disconnect_sockets(room)]
    for call in calls:
        with pytest.raises(error, match="room"):
            await call()


async def test_a_handler_that_joins_what_is_no_room(fleet: ServersWithClients) -> None:
    client = await fleet.client(1)
    for room in (1.5, None, True, ["x"], {"x": 1}):
        await client.call("join", room)
    (found,) = await fleet.here.fetch_sockets(sid_of(client))
    assert found.rooms == {"user:u1", "authenticated", "market:status", "7"}


# -- programs that publish


async def test_publishers_send_to_sids_and_numbers(
    redis_server: RedisServer, make_server: MakeServer, stock_clients: StockClients
) -> None:
    server = await make_server(prepare, redis_url=redis_server.url)
    fleet = ServersWithClients([server], stock_clients)
    a, b = await fleet.client(0), await fleet.client(0)
    settings = load_settings({"REDIS_URL": redis_server.url})
    async with Publisher(settings) as publisher:
        await publisher.emit_to_room(sid_of(a), "n", 1)
        await publisher.emit("n", 2, to=7, except_rooms=sid_of(a))
        for room in NOT_ROOMS:
            with pytest.raises((TypeError, ValueError), match="room"):
                await publisher.emit_to_room(room, "n", 1)  # type: ignore[arg-type]
        await delivered(fleet)
        await publisher.emit("n", "last", to=7)
    assert [await last(one, fleet) for one in (a, b)] == [[1], [2]]
    assert callable(SyncPublisher.emit)


# -- what is known of a connection elsewhere


async def test_data_and_handshake_of_a_connection_elsewhere(fleet: ServersWithClients) -> None:
    plain, noted = await fleet.client(1), await fleet.client(1)
    await noted.call("note", {"desk": "fx", "levels": [1, 2.5], "b": b"\x00"})
    (one,) = await fleet.here.fetch_sockets(sid_of(noted))
    assert one.data == {"desk": "fx", "levels": [1, 2.5], "b": b"\x00"}
    assert set(one.handshake) == {"issued", "time", "auth"}
    assert one.handshake["auth"] == {"userId": "u1", "isAdmin": False, "authenticated": True}
    assert abs(one.handshake["issued"] - one.connected_at * 1000) < 2
    assert one.handshake["time"].endswith("Z")
    (other,) = await fleet.here.fetch_sockets(sid_of(plain))
    assert other.data == {}
    assert str(sid_of(noted)) not in repr(one)
    assert "fx" not in repr(one)


@pytest.mark.parametrize("value", ["x" * 20_000, [[[[]]]] * 10_000], ids=["text", "lists"])
async def test_data_that_is_too_large_is_not_passed_on(fleet: ServersWithClients, value: Any) -> None:
    client = await fleet.client(1)
    await client.call("note", {"much": value})
    (found,) = await fleet.here.fetch_sockets(sid_of(client))
    assert found.data is None
    await client.call("note", {"much": 1})

    async def passed_on() -> bool:
        (found,) = await fleet.here.fetch_sockets(sid_of(client))
        return found.data == {"much": 1}

    await eventually(passed_on)
