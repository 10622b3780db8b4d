"""Who is let in, who is turned away for good, and who comes back by itself (DESIGN §3)."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed, InvalidStatus

from kit.clients.interface import Client, Refused
from kit.clients.node import StockClient, StockClients
from kit.waiting import eventually
from protocol.contract import (
    FAST,
    Connect,
    MakeServer,
    Server,
    Session,
    ask,
    assert_alive,
    assert_error,
    assert_payload,
    barrier,
    refusal,
)
from tradecast.gateway.bounds import unconnected
from tradecast.sessions.errors import MESSAGES, RefusalCode, StoreUnavailable

Claims = Any


async def assert_refused(connect: Connect, server: Server, claims: Claims, code: RefusalCode, **options: Any) -> None:
    """The client is refused with this code, for good."""
    client: Client = await connect(server, claims, wait=False, **options)
    with pytest.raises(Refused) as caught:
        await client.wait_connect()
    assert caught.value.message == MESSAGES[code]
    assert caught.value.data == {"code": code, "message": MESSAGES[code]}
    assert client.final
    assert not client.connected
    if isinstance(client, StockClient):
        assert (await client.state())["active"] is False
        assert client.reconnect_attempts == 0


# -- final refusals


@pytest.mark.parametrize("claims", [None, {}, {"other": 1}, {"sessionID": None, "userId": None}])
async def test_session_is_required(server: Server, connect: Connect, claims: Claims) -> None:
    await assert_refused(connect, server, claims, "AUTH_REQUIRED")


@pytest.mark.parametrize(
    "session_id",
    ["", "unknown", "s:unknown.signature", "x" * 10_000, "\x00", "../../etc", "é", "*", "%00", "sess:a"],
)
async def test_unknown_session_is_refused(server: Server, connect: Connect, session_id: str) -> None:
    await server.session("u1")
    client = await connect(server, {"sessionID": session_id, "userId": "u1"}, wait=False)
    with pytest.raises(Refused) as caught:
        await client.wait_connect()
    assert caught.value.code in ({"AUTH_REQUIRED", "SESSION_NOT_FOUND"} if not session_id else {"SESSION_NOT_FOUND"})


@pytest.mark.parametrize("session_id", [5, True, ["a"], {"$gt": ""}, {"a": {"b": 1}}])
async def test_malformed_session_id_is_refused(server: Server, connect: Connect, session_id: Any) -> None:
    client = await connect(server, {"sessionID": session_id, "userId": "u1"}, wait=False)
    with pytest.raises(Refused) as caught:
        await client.wait_connect()
    assert caught.value.code in {"AUTH_REQUIRED", "SESSION_NOT_FOUND"}


@pytest.mark.parametrize("user_id", ["u2", "U1", " u1", "u1\x00", "*"])
async def test_session_of_somebody_else_is_refused(server: Server, connect: Connect, user_id: Any) -> None:
    session = await server.session("u1")
    await assert_refused(connect, server, {**session, "userId": user_id}, "USER_MISMATCH")


@pytest.mark.parametrize("user_id", ["", True, 1.5, None, ["u1"], {"$ne": None}])
async def test_claimed_user_is_a_string_or_a_number(server: Server, connect: Connect, user_id: Any) -> None:
    session = await server.session("u1")
    await assert_refused(connect, server, {**session, "userId": user_id}, "AUTH_REQUIRED")


async def test_session_without_claimed_user_is_refused(server: Server, connect: Connect) -> None:
    session = await server.session("u1")
    await assert_refused(connect, server, {"sessionID": session["sessionID"]}, "AUTH_REQUIRED")


async def expired_session(server: Server, user_id: str) -> Session:
    """A session whose time is over."""
    session = await server.session(user_id, max_age=0.05)
    await asyncio.sleep(0.1)  # time itself has to pass
    return session


async def test_expired_session_is_refused(server: Server, connect: Connect) -> None:
    await assert_refused(connect, server, await expired_session(server, "u1"), "SESSION_EXPIRED")


async def test_connections_of_a_user_are_limited(make_server: MakeServer, connect: Connect) -> None:
    server = await make_server(max_connections_per_user=2)
    session = await server.session("u1")
    first = await connect(server, session)
    await connect(server, session)
    await assert_refused(connect, server, session, "TOO_MANY_CONNECTIONS")
    await connect(server, await server.session("u2"))
    await first.disconnect()
    await eventually(lambda: server.app.get_user_connection_count("u1") == 1)
    await connect(server, session)


async def test_refused_client_may_connect_again_with_another_session(
    server: Server, stock_clients: StockClients
) -> None:
    client = await stock_clients.open(server.url, {"sessionID": "x", "userId": "u1"}, ["websocket"], **FAST)
    with pytest.raises(Refused):
        await client.wait_connect()
    await client.reconnect(await server.session("u1"))
    await assert_alive(client)


async def test_other_namespaces_do_not_exist(server: Server, stock_connect: Connect) -> None:
    session = await server.session("u1")
    client = await stock_connect(server, session)
    await client.raw("0/admin," + json.dumps(session))
    await assert_alive(client)
    assert server.app.get_total_connection_count() == 1


# -- what will pass


async def test_client_comes_back_when_the_store_does(
    server: Server, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    down = True
    asked = 0
    sessions = type(server.app.sessions)
    real = sessions.authenticate

    async def authenticate(self: Any, *args: Any) -> Any:
        nonlocal asked
        asked += 1
        if down:
            raise StoreUnavailable("planted secret")
        return await real(self, *args)

    monkeypatch.setattr(sessions, "authenticate", authenticate)
    client = await connect(server, await server.session("u1"), wait=False)
    await eventually(lambda: asked >= 2)
    assert not client.connected
    assert not client.final
    down = False
    await client.wait_connect()
    await assert_alive(client)


async def test_bug_while_connecting_turns_nobody_away(
    server: Server, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = type(server.app.sessions)
    real = sessions.authenticate
    failures = 1

    async def authenticate(self: Any, *args: Any) -> Any:
        nonlocal failures
        if failures:
            failures -= 1
            raise RuntimeError("planted secret")
        return await real(self, *args)

    monkeypatch.setattr(sessions, "authenticate", authenticate)
    client = await connect(server, await server.session("u1"), wait=False)
    await client.wait_connect()
    await assert_alive(client)


async def test_full_server_is_tried_again(make_server: MakeServer, connect: Connect) -> None:
    server = await make_server(max_connections=1)
    first = await connect(server, await server.session("u1"))
    second = await connect(server, await server.session("u2"), wait=False)
    response = await _handshake(server)
    assert response.status_code == 503
    assert response.json()["code"] == "SERVER_BUSY"
    assert int(response.headers["retry-after"]) >= 1
    await assert_alive(first)
    assert not second.connected
    await first.disconnect()
    await second.wait_connect()
    await assert_alive(second)


async def test_draining_server_is_tried_again(server: Server, connect: Connect) -> None:
    client = await connect(server, await server.session("u1"))
    await server.app.send_away()
    await client.wait_disconnect()
    response = await _handshake(server)
    assert response.status_code == 503
    assert response.json()["code"] == "SERVER_DRAINING"
    assert not client.final
    assert server.app.get_total_connection_count() == 0


async def test_lost_connection_comes_back(server: Server, connect: Connect) -> None:
    client = await connect(server, await server.session("u1"))
    await ask(client, "subscribe:trades")
    await client.drop()
    await client.wait_disconnect()
    await server.app.emit_trade_executed("u1", {"n": 1})
    await client.wait_connect()
    await server.app.emit_trade_executed("u1", {"n": 2})
    await barrier(client)
    trades = [args[0]["trade"]["n"] for args in client.events("trade:executed")]
    assert trades == ([1, 2] if client.recovers else []), "a client that cannot recover subscribes anew"
    assert client.recovered == client.recovers
    await ask(client, "subscribe:trades")  # of no effect where it is subscribed
    await server.app.emit_trade_executed("u1", {"n": 3})
    await client.wait_for("trade:executed", lambda args: args[0]["trade"] == {"n": 3})
    assert len(client.events("trade:executed")) == (3 if client.recovers else 1)


async def test_client_that_leaves_is_forgotten(server: Server, connect: Connect) -> None:
    client = await connect(server, await server.session("u1"))
    await client.disconnect()
    await eventually(lambda: server.app.get_total_connection_count() == 0)
    assert server.app.get_user_connection_count("u1") == 0


# -- sessions that end while connected


async def test_connection_ends_with_its_session(server: Server, connect: Connect) -> None:
    other = await connect(server, await server.session("u2"))
    client = await connect(server, await server.session("u1", max_age=6))
    assert await client.wait_for("error") == [{"code": "SESSION_EXPIRED", "message": MESSAGES["SESSION_EXPIRED"]}]
    await client.wait_disconnect()
    assert not client.connected
    await assert_alive(other)
    if isinstance(client, StockClient):
        assert client.final
        assert client.reconnect_attempts == 0


async def test_revoked_session_ends_all_its_connections(server: Server, connect: Connect) -> None:
    session = await server.session("u1")
    clients = [await connect(server, session) for _ in range(2)]
    same_user = await connect(server, await server.session("u1"))
    await server.app.sessions.revoke([session["sessionID"]])
    for client in clients:
        told = await client.wait_for("error")
        assert told == [{"code": "SESSION_NOT_FOUND", "message": MESSAGES["SESSION_NOT_FOUND"]}]
        reason = await client.wait_disconnect()
        assert "server disconnect" in reason.replace("_", " ").lower() or "io server" in reason
    await assert_alive(same_user)
    await eventually(lambda: server.app.get_user_connection_count("u1") == 1)
    await assert_refused(connect, server, session, "SESSION_NOT_FOUND")


async def test_refreshed_session_takes_the_place_of_the_old(server: Server, connect: Connect) -> None:
    old, new = await server.session("u1"), await server.session("u1", max_age=7200)
    client = await connect(server, old)
    await ask(client, "subscribe:trades")
    answer = await ask(client, "session:refresh", {"sessionID": new["sessionID"]})
    expires = answer.pop("expiresAt")
    assert_payload(answer, {"success": True, "userId": "u1"})
    assert isinstance(expires, int)
    await server.app.sessions.revoke([old["sessionID"]])
    await server.app.emit_trade_executed("u1", {"n": 1})
    await client.wait_for("trade:executed")
    await assert_alive(client)
    await server.app.sessions.revoke([new["sessionID"]])
    await client.wait_disconnect()


async def test_refreshed_session_outlives_the_old(server: Server, connect: Connect) -> None:
    new = await server.session("u1")
    client = await connect(server, await server.session("u1", max_age=8))
    doomed = await connect(server, await server.session("u2", max_age=8.5))
    assert (await ask(client, "session:refresh", {"sessionID": new["sessionID"]}))["success"] is True
    await doomed.wait_disconnect()
    await assert_alive(client)


async def test_refresh_takes_the_new_tier(server: Server, connect: Connect) -> None:
    client = await connect(server, await server.session("u1", tier="premium"))
    await ask(client, "subscribe:watchlist", {"symbol": "AAPL"})
    lower = await server.session("u1", tier="free")
    assert (await ask(client, "session:refresh", {"sessionID": lower["sessionID"]}))["success"] is True
    await server.app.emit_watchlist_quote("AAPL", {})
    await barrier(client)
    assert client.events("watchlist:quote") == []
    assert (await refusal(client, "subscribe:watchlist", {"symbol": "AAPL"}))[0] == "TIER_REQUIRED"


async def test_bad_refresh_is_refused_and_changes_nothing(server: Server, connect: Connect) -> None:
    client = await connect(server, await server.session("u1"))
    foreign = await server.session("u2")
    expired = await expired_session(server, "u1")
    for payload, reason in (
        ((), "INVALID_PAYLOAD"),
        ((foreign["sessionID"],), "INVALID_PAYLOAD"),
        (({},), "INVALID_PAYLOAD"),
        (({"sessionID": 5},), "INVALID_PAYLOAD"),
        (({"sessionID": "unknown"},), "SESSION_NOT_FOUND"),
        (({"sessionID": foreign["sessionID"]},), "USER_MISMATCH"),
        (({"sessionID": foreign["sessionID"], "userId": "u2"},), "USER_MISMATCH"),
        (({"sessionID": expired["sessionID"]},), "SESSION_EXPIRED"),
    ):
        assert (await refusal(client, "session:refresh", *payload))[0] == reason
    await ask(client, "subscribe:trades")
    await server.app.emit_trade_executed("u1", {})
    await client.wait_for("trade:executed")


async def test_refresh_without_the_store_is_reported(
    server: Server, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await connect(server, await server.session("u1"))

    async def authenticate(self: Any, *args: Any) -> Any:
        raise StoreUnavailable("planted secret")

    monkeypatch.setattr(type(server.app.sessions), "authenticate", authenticate)
    assert (await refusal(client, "session:refresh", {"sessionID": "x"}))[0] == "UNAVAILABLE"
    await assert_alive(client)


async def test_bug_in_a_handler_is_reported_without_its_text(
    server: Server, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await connect(server, await server.session("u1"))

    async def refresh(*args: Any) -> Any:
        raise RuntimeError("planted secret")

    monkeypatch.setattr(server.app.components.sync, "refresh", refresh)
    answer = await ask(client, "session:refresh", {"sessionID": "x"})
    assert_error(answer, "INTERNAL")
    assert "planted" not in json.dumps(answer)
    await assert_alive(client)


# -- below Socket.IO


# -- many behind one address


async def test_forty_clients_behind_one_address_get_in_and_a_flood_of_strangers_does_not(
    make_server: MakeServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine the flood takes longer than a stranger has, and its oldest would make room.
    monkeypatch.setattr(unconnected, "GRACE", 600.0)
    server = await make_server(max_unauthenticated_per_address=50, trusted_proxies=1, connect_timeout=120)
    office = {"X-Forwarded-For": "192.0.2.1, 203.0.113.7"}
    tokens = [await server.session(f"u{number}") for number in range(40)]
    clients = [await connect(server, claims, wait=False, extraHeaders=office) for claims in tokens]
    for client in clients:
        await client.wait_connect()
    # They are authenticated, and not counted any more.
    answers = [await _handshake(server, office) for _ in range(51)]
    assert [answer.status_code for answer in answers] == [200] * 50 + [503]
    assert answers[-1].json()["code"] == "ADDRESS_BUSY"
    # What a client writes into the header itself counts for nothing.
    forged = await _handshake(server, {"X-Forwarded-For": "198.51.100.9, 203.0.113.7"})
    assert forged.status_code == 503
    elsewhere = await _handshake(server, {"X-Forwarded-For": "203.0.113.7, 198.51.100.9"})
    assert elsewhere.status_code == 200
    for client in clients:
        await assert_alive(client)
    metrics = server.app.metrics.registry
    assert metrics.get_sample_value("tradecast_refusals_total", {"code": "ADDRESS_BUSY"}) == 2


async def test_who_is_refused_for_its_address_comes_back(make_server: MakeServer, connect: Connect) -> None:
    server = await make_server(max_unauthenticated_per_address=1, trusted_proxies=1)
    office = {"X-Forwarded-For": "203.0.113.7"}
    assert (await _handshake(server, office)).status_code == 200
    client = await connect(server, await server.session("u1"), wait=False, extraHeaders=office)
    # The stranger of its address has had its time before long, and makes room.
    await client.wait_connect()
    await assert_alive(client)


async def test_behind_a_load_balancer_nobody_is_counted(make_server: MakeServer) -> None:
    server = await make_server(max_unauthenticated_per_address=1)
    answers = [await _handshake(server, {"X-Forwarded-For": "203.0.113.7"}) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200] * 5


async def _handshake(server: Server, headers: Mapping[str, str] | None = None) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        return await http.get(f"{server.url}/socket.io/?EIO=4&transport=polling", headers=headers)


def _websocket(server: Server) -> open_websocket:
    url = server.url.replace("http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket"
    return open_websocket(url, proxy=None, compression=None)


async def _read_until_closed(socket: ClientConnection) -> list[str]:
    got: list[str] = []
    with contextlib.suppress(ConnectionClosed):
        async with asyncio.timeout(20):
            while True:
                got.append(str(await socket.recv()))
    return got


async def test_handshake_carries_the_requirements_figures(make_server: MakeServer) -> None:
    server = await make_server()
    async with _websocket(server) as socket:
        frame = await socket.recv()
        assert isinstance(frame, str)
        handshake = json.loads(frame[1:])
    assert (handshake["pingInterval"], handshake["pingTimeout"]) == (25_000, 60_000)
    assert handshake["maxPayload"] == 1_000_000
    answer = await _handshake(server)
    assert json.loads(answer.text[1:])["upgrades"] == ["websocket"]


@pytest.mark.parametrize(
    "packet",
    [
        '42["subscribe:portfolio",{}]',
        '421["subscribe:portfolio",{}]',
        '42["connect",{}]',
        "41",
        "43[1]",
        '451-["subscribe:trades",{"_placeholder":true,"num":0}]',
    ],
)
async def test_packets_before_the_handshake_are_not_served(make_server: MakeServer, packet: str) -> None:
    server = await make_server(connect_timeout=1)
    async with _websocket(server) as socket:
        await socket.recv()
        await socket.send(packet)
        got = await _read_until_closed(socket)
    assert [frame for frame in got if frame.startswith("4")] == []
    assert server.app.get_total_connection_count() == 0


async def test_events_between_the_handshake_and_its_answer_are_not_served_as_somebody(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await server.session("u1")
    sessions = type(server.app.sessions)
    real = sessions.authenticate
    release = asyncio.Event()

    async def authenticate(self: Any, *args: Any) -> Any:
        await release.wait()
        return await real(self, *args)

    monkeypatch.setattr(sessions, "authenticate", authenticate)
    async with _websocket(server) as socket:
        await socket.recv()
        await socket.send("40" + json.dumps(session))
        await socket.send('421["subscribe:portfolio",{}]')
        release.set()
        first = await socket.recv()
        assert str(first).startswith("40"), "served in order, or not at all"


async def test_second_connect_on_one_transport_closes_it(server: Server) -> None:
    mine, other = await server.session("u1"), await server.session("u2")
    async with _websocket(server) as socket:
        await socket.recv()
        await socket.send("40" + json.dumps(mine))
        assert str(await socket.recv()).startswith("40")
        await socket.send("40" + json.dumps(other))
        await socket.send('421["subscribe:trades"]')
        assert await _read_until_closed(socket) == []
    await eventually(lambda: server.app.get_total_connection_count() == 0)


async def test_refused_client_keeps_its_transport_and_may_ask_again_a_few_times(server: Server) -> None:
    """Old clients take the end of their transport for a lost connection, and would be back every other second."""
    session = await server.session("u1")
    async with _websocket(server) as socket:
        await socket.recv()
        for _ in range(5):
            await socket.send("40" + json.dumps({"sessionID": "x", "userId": "u1"}))
            assert str(await socket.recv()).startswith("44")
        await socket.send("40" + json.dumps(session))
        assert str(await socket.recv()).startswith("40")
    async with _websocket(server) as socket:
        await socket.recv()
        for _ in range(6):
            await socket.send("40" + json.dumps({"sessionID": "x", "userId": "u1"}))
        assert all(frame.startswith("44") for frame in await _read_until_closed(socket))
        assert socket.close_code == 1008


async def test_refused_client_does_not_stay_for_ever(make_server: MakeServer) -> None:
    server = await make_server(connect_timeout=3)
    async with _websocket(server) as socket:
        await socket.recv()
        await socket.send("40" + json.dumps({"sessionID": "x", "userId": "u1"}))
        assert str(await socket.recv()).startswith("44")
        assert [frame for frame in await _read_until_closed(socket) if frame != "1"] == []


async def test_strangers_leave_their_places_to_others(make_server: MakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who open a connection and say nothing kept everybody out for 45 s."""
    monkeypatch.setattr("tradecast.gateway.bounds.unconnected.GRACE", 60.0)
    server = await make_server(max_connections=10, accept_rate=1e6)
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        for _ in range(10):
            assert (await http.get("/socket.io/?EIO=4&transport=polling")).status_code == 200
        assert (await http.get("/socket.io/?EIO=4&transport=polling")).status_code == 503
        monkeypatch.setattr("tradecast.gateway.bounds.unconnected.GRACE", 0.0)
        session = await server.session("u1")

        async def joins() -> bool:
            try:
                async with _websocket(server) as socket:
                    await socket.recv()
                    await socket.send("40" + json.dumps(session))
                    return str(await socket.recv()).startswith("40")
            except InvalidStatus:
                return False

        await eventually(joins, every=0.05)
    text = server.app.metrics.render_prometheus()[1].decode()
    assert 'tradecast_limits_exceeded_total{limit="without_connect"} 1.0' in text


async def test_transport_without_namespace_is_closed(make_server: MakeServer) -> None:
    server = await make_server(connect_timeout=0.3)
    async with _websocket(server) as socket:
        await socket.recv()
        assert [frame for frame in await _read_until_closed(socket) if frame != "1"] == []


async def test_client_that_does_not_answer_pings_is_dropped(make_server: MakeServer) -> None:
    server = await make_server(ping_interval=0.2, ping_timeout=0.3)
    async with _websocket(server) as socket:
        await socket.recv()
        await socket.send("40" + json.dumps(await server.session("u1")))
        pings = [frame for frame in await _read_until_closed(socket) if frame == "2"]
        assert len(pings) >= 1
        await eventually(lambda: server.app.get_total_connection_count() == 0)
