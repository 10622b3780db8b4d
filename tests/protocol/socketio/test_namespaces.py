"""Several namespaces over one transport: each is a connection of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kit.servers.in_process import MakeServer, RunningServer
from kit.waiting import eventually
from protocol.socketio.conftest import CUSTOM, NO_RECOVERY, MakeClient, RawClient, add_handlers, packet
from tradecast.connections.connection import Connection
from tradecast.server import WebSocketServer
from tradecast.sessions.errors import MESSAGES


async def nothing_more(client: RawClient, namespace: str = "/") -> None:
    """Packets to a client keep their order: what was sent to it before would come before this answer."""
    assert await client.ask("echo", "last", namespace=namespace) == ["last"]


async def test_each_has_its_own_sid_and_both_are_served(namespaces: RunningServer, make_client: MakeClient) -> None:
    client = await make_client(namespaces)
    assert await client.join() != await client.join(CUSTOM)
    assert len(namespaces.app.components.socket_server.eio.sockets) == 1
    for namespace in ("/", CUSTOM):
        assert await client.ask("where", namespace=namespace) == [namespace]


async def test_namespace_alone_without_the_main_one(make_server: MakeServer, make_client: MakeClient) -> None:
    server = await make_server(add_handlers, auth_required=False, connect_timeout=3)
    client = await make_client(server, CUSTOM)
    await eventually(lambda: len(server.app.components.socket_server.transport_table.unconnected) == 0)
    assert await client.ask("echo", 1, namespace=CUSTOM) == [1]


async def test_namespace_without_handlers(make_server: MakeServer, make_client: MakeClient) -> None:
    server = await make_server(lambda app: app.add_namespace("/empty"), auth_required=False)
    client = await make_client(server, "/empty")
    await client.send(packet(2, "/empty", ["echo"], 1))
    answers = {(await client.next()).partition("[")[0], (await client.next()).partition("[")[0]}
    assert answers == {"2/empty,", "3/empty,1"}, "an unknown event is answered"
    await server.app.emit_to_room("nobody", "e", 1, namespace="/empty")


async def test_events_of_one_are_none_of_the_other(make_server: MakeServer, make_client: MakeClient) -> None:
    def prepare(app: WebSocketServer) -> None:
        add_handlers(app)
        app.register_event_handler("only", lambda connection: "here", namespace=CUSTOM)

    server = await make_server(prepare, auth_required=False)
    client = await make_client(server, "/", CUSTOM)
    assert await client.ask("only", namespace=CUSTOM) == ["here"]
    await client.send(packet(2, data=["only"], ack_id=1))
    error, answer = await client.next(), await client.next()
    assert json.loads(error[1:])[1]["reason"] == json.loads(answer[2:])[0]["reason"] == "UNKNOWN_EVENT"


@pytest.mark.parametrize("event", ["subscribe:portfolio", "subscribe:trades", "subscribe:watchlist"])
async def test_contract_s_events_are_of_the_main_namespace(
    namespaces: RunningServer, make_client: MakeClient, event: str
) -> None:
    client = await make_client(namespaces, CUSTOM)
    await client.send(packet(2, CUSTOM, [event], 1))
    error = await client.next()
    assert json.loads(error.removeprefix(f"2{CUSTOM},"))[1]["reason"] == "UNKNOWN_EVENT"


# -- who may come in


async def test_who_is_refused_there_stays_here(make_server: MakeServer, make_client: MakeClient) -> None:
    server = await make_server(add_handlers)
    session = await server.session("u1")
    client = await make_client(server)
    await client.join("/", {**session, **NO_RECOVERY})
    for auth, code in (
        (None, "AUTH_REQUIRED"),
        ({"sessionID": "unknown", "userId": "u1"}, "SESSION_NOT_FOUND"),
        ({**session, "userId": "u2"}, "USER_MISMATCH"),
    ):
        await client.send(packet(0, CUSTOM, auth))
        answer = await client.next()
        assert answer.startswith(f"4{CUSTOM},"), answer
        refused = json.loads(answer.removeprefix(f"4{CUSTOM},"))
        assert refused == {"message": MESSAGES[code], "data": {"code": code, "message": MESSAGES[code]}}  # type: ignore[index]
    assert await client.ask("echo", 1) == [1]
    await client.join(CUSTOM, session)
    assert await client.ask("echo", 2, namespace=CUSTOM) == [2]
    assert server.app.get_user_connection_count("u1") == 2


async def test_who_is_refused_there_and_is_nowhere_is_closed(make_server: MakeServer, make_client: MakeClient) -> None:
    server = await make_server(add_handlers, connect_timeout=2)
    client = await make_client(server)
    await client.send(packet(0, CUSTOM))
    (answer,) = await client.until_closed()
    assert answer.startswith(f"4{CUSTOM},")


async def test_each_is_who_its_session_says(make_server: MakeServer, make_client: MakeClient) -> None:
    def prepare(app: WebSocketServer) -> None:
        def who(connection: Connection) -> Any:
            return connection.user.id if connection.user else None

        for namespace in ("/", CUSTOM):
            app.register_event_handler("who", who, namespace=namespace)

    server = await make_server(prepare)
    client = await make_client(server)
    await client.join("/", {**await server.session("u1"), **NO_RECOVERY})
    await client.join(CUSTOM, await server.session("u2"))
    assert [await client.ask("who"), await client.ask("who", namespace=CUSTOM)] == [["u1"], ["u2"]]


async def test_connect_handler_is_called_for_each(make_server: MakeServer, make_client: MakeClient) -> None:
    def prepare(app: WebSocketServer) -> None:
        add_handlers(app)

        async def welcome(connection: Connection) -> None:
            connection.send("welcome", connection.namespace, connection.claims)

        app.set_connect_handler(welcome)

    server = await make_server(prepare, auth_required=False)
    client = await make_client(server)
    for namespace in ("/", CUSTOM):
        await client.join(namespace, {"recovery": False, "n": namespace})
        claims = {"recovery": False, "n": namespace}
        assert await client.next() == packet(2, namespace, ["welcome", namespace, claims])


# -- rooms


async def test_rooms_of_one_name_are_two(namespaces: RunningServer, make_client: MakeClient) -> None:
    client = await make_client(namespaces, "/", CUSTOM)
    other = await make_client(namespaces, "/", CUSTOM)
    assert await client.ask("join", "room") == [["room"]]
    assert await other.ask("join", "room", namespace=CUSTOM) == [["room"]]
    await namespaces.app.emit_to_room("room", "e", "main")
    await namespaces.app.emit_to_room("room", "e", "custom", namespace=CUSTOM)
    assert await client.next() == packet(2, data=["e", "main"])
    assert await other.next() == packet(2, CUSTOM, ["e", "custom"])
    for one in (client, other):
        await nothing_more(one)
        await nothing_more(one, CUSTOM)


async def test_room_is_left_in_its_namespace_only(namespaces: RunningServer, make_client: MakeClient) -> None:
    client = await make_client(namespaces, "/", CUSTOM)
    for namespace in ("/", CUSTOM):
        await client.ask("join", "room", namespace=namespace)
    assert await client.ask("leave", "room", namespace=CUSTOM) == [[]]
    for namespace in (CUSTOM, "/"):
        await namespaces.app.emit_to_room("room", "e", namespace, namespace=namespace)
    assert await client.next() == packet(2, data=["e", "/"])
    await nothing_more(client, CUSTOM)


@pytest.mark.parametrize("namespace", ["/", CUSTOM])
async def test_broadcast_goes_to_one_namespace_only(
    make_server: MakeServer, make_client: MakeClient, namespace: str
) -> None:
    server = await make_server(add_handlers)
    session = {**await server.session("u1"), **NO_RECOVERY}
    both = await make_client(server, "/", CUSTOM, auth=session)
    main, custom = await make_client(server, "/", auth=session), await make_client(server, CUSTOM, auth=session)
    await server.app.broadcast("e", 1, 2, namespace=namespace)
    for client in (both, main if namespace == "/" else custom):
        assert await client.next() == packet(2, namespace, ["e", 1, 2])
    await nothing_more(main)
    await nothing_more(custom, CUSTOM)
    for one in ("/", CUSTOM):
        await nothing_more(both, one)


async def test_event_to_a_user_goes_to_one_namespace_only(make_server: MakeServer, make_client: MakeClient) -> None:
    server = await make_server(add_handlers)
    clients = []
    for user in ("u1", "u2"):
        session = {**await server.session(user), **NO_RECOVERY}
        clients.append(await make_client(server, "/", CUSTOM, auth=session))
    await server.app.emit_to_user("u1", "e", {"n": 1}, namespace=CUSTOM)
    assert await clients[0].next() == packet(2, CUSTOM, ["e", {"n": 1}])
    for client in clients:
        await nothing_more(client)
        await nothing_more(client, CUSTOM)


# -- the end


@pytest.mark.parametrize(("left", "kept"), [(CUSTOM, "/"), ("/", CUSTOM)])
async def test_leaving_one_keeps_the_other(
    namespaces: RunningServer, make_client: MakeClient, left: str, kept: str
) -> None:
    client = await make_client(namespaces, "/", CUSTOM)
    for namespace in ("/", CUSTOM):
        await client.ask("join", "room", namespace=namespace)
    await client.send(packet(1, left))
    assert await client.ask("echo", 1, namespace=kept) == [1]
    assert namespaces.app.get_total_connection_count() == 1
    for namespace in (left, kept):
        await namespaces.app.emit_to_room("room", "e", namespace, namespace=namespace)
    assert await client.next() == packet(2, kept, ["e", kept])
    await client.join(left)
    assert await client.ask("join", "r2", namespace=left) == [["r2"]], "of the rooms before nothing is left"


async def test_event_to_what_was_left_closes_the_transport(namespaces: RunningServer, make_client: MakeClient) -> None:
    client = await make_client(namespaces, "/", CUSTOM)
    await client.send(packet(1, CUSTOM), packet(2, CUSTOM, ["echo"], 1))
    for answer in await client.until_closed():
        assert "INVALID_PAYLOAD" in answer
    await eventually(lambda: namespaces.app.get_total_connection_count() == 0)


async def test_server_ends_one_and_keeps_the_other(namespaces: RunningServer, make_client: MakeClient) -> None:
    client = await make_client(namespaces)
    await client.join()
    custom = await client.join(CUSTOM)
    await namespaces.app.components.socket_server.end(custom, CUSTOM)
    assert await client.next() == packet(1, CUSTOM)
    assert await client.ask("echo", 1) == [1]


async def test_session_that_ends_ends_all_its_namespaces(make_server: MakeServer, make_client: MakeClient) -> None:
    server = await make_server(add_handlers)
    session = await server.session("u1")
    client = await make_client(server, "/", CUSTOM, auth={**session, **NO_RECOVERY})
    await server.app.sessions.revoke([session["sessionID"]])
    packets = await client.until_closed()
    assert {packet(1), packet(1, CUSTOM)} <= set(packets)
    assert server.app.get_total_connection_count() == 0


async def test_transport_that_ends_ends_all_and_leaves_nothing(
    namespaces: RunningServer, make_client: MakeClient
) -> None:
    client = await make_client(namespaces, "/", CUSTOM)
    for namespace in ("/", CUSTOM):
        await client.ask("join", "room", namespace=namespace)
    (eio_sid,) = namespaces.app.components.socket_server.eio.sockets
    namespaces.app.components.socket_server.eio.close_transport(eio_sid)
    await client.until_closed()
    await eventually(lambda: namespaces.app.get_total_connection_count() == 0)
    assert list(namespaces.app.components.manager.get_namespaces()) == []
    assert dict(namespaces.app.components.manager.room_sizes()) == {}
