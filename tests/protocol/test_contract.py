"""The contract's events (DESIGN §3), with every kind of client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from kit.clients.node import StockClients
from kit.waiting import eventually
from protocol.contract import (
    Connect,
    MakeServer,
    Server,
    answer_event,
    ask,
    ask_without_ack,
    assert_error,
    assert_payload,
    barrier,
    names_of,
    refusal,
)

OWN_ROOMS = ["portfolio", "trades"]
OWN_EVENTS = [
    *("portfolio:update", "trade:executed", "trade:failed", "position:closed", "notification"),
    *("watchlist:quote", "market:status", "subscribed:trades", "unsubscribed:watchlist", "subscribe:portfolio"),
    *("session:refreshed", "admin:broadcasted", "admin:broadcast"),
]


async def emit_everything(server: Server, user_id: str) -> None:
    """One event of each kind for one user and the symbol AAPL."""
    app = server.app
    await app.emit_portfolio_update(user_id, {"value": 1.5})
    await app.emit_trade_executed(user_id, {"id": "t1"})
    await app.emit_trade_failed(user_id, {"id": "t2", "why": "funds"})
    await app.emit_position_closed(user_id, {"symbol": "IBM"})
    await app.emit_notification(user_id, {"text": "héllo"})
    await app.emit_watchlist_quote("AAPL", {"price": 10.25})
    await app.emit_market_status({"open": True})


# -- connecting


async def test_connected_client_gets_notifications_and_market_status_unasked(server: Server, connect: Connect) -> None:
    client = await connect(server, await server.session("u1"))
    await emit_everything(server, "u1")
    await barrier(client)
    assert names_of(client) == ["notification", "market:status"]


async def test_upgrade_loses_nothing(server: Server, stock_clients: StockClients) -> None:
    session = await server.session("u1")
    for _ in range(5):
        client = await stock_clients.connect(server.url, session, transports=["polling", "websocket"])
        upgraded = asyncio.ensure_future(client.wait_upgrade())
        sent = 0
        while not upgraded.done() or sent < 50:
            await server.app.emit_notification("u1", {"n": sent})
            sent += 1
            await asyncio.sleep(0)
        await upgraded
        await barrier(client)
        assert [args[0]["notification"]["n"] for args in client.events("notification")] == list(range(sent))
        assert client.transport == "websocket"
        await client.disconnect()


# -- rooms of one's own


@pytest.mark.parametrize("room", OWN_ROOMS)
async def test_own_room_is_joined_and_left(server: Server, connect: Connect, room: str) -> None:
    client = await connect(server, await server.session("u1", tier="free"))
    expected = {
        "portfolio": ["portfolio:update"],
        "trades": ["trade:executed", "trade:failed", "position:closed"],
    }[room]
    assert_payload(await ask(client, f"subscribe:{room}", {}), {"success": True, "userId": "u1", "recent": []})
    await emit_everything(server, "u1")
    await barrier(client)
    got = names_of(client)
    assert [name for name in got if name in expected] == expected
    assert set(got) == {f"subscribed:{room}", *expected, "notification", "market:status"}

    assert_payload(await ask(client, f"unsubscribe:{room}", {}), {"success": True, "userId": "u1"})
    before = len(names_of(client))
    await emit_everything(server, "u1")
    await barrier(client)
    assert names_of(client)[before:] == ["notification", "market:status"]


@pytest.mark.parametrize("room", OWN_ROOMS)
@pytest.mark.parametrize("payload", [(), (None,), ({},), ({"userId": "u1"},), ({"other": 1}, "more", 2)])
async def test_payload_of_own_room_may_be_absent(
    server: Server, connect: Connect, room: str, payload: tuple[Any, ...]
) -> None:
    client = await connect(server, await server.session("u1"))
    assert (await ask(client, f"subscribe:{room}", *payload))["success"] is True


@pytest.mark.parametrize("room", OWN_ROOMS)
async def test_acknowledgement_is_not_needed(server: Server, connect: Connect, room: str) -> None:
    client = await connect(server, await server.session("u1"))
    answer = await ask_without_ack(client, f"subscribe:{room}")
    assert_payload(answer, {"success": True, "userId": "u1", "recent": []})
    assert_error(await ask_without_ack(client, f"subscribe:{room}", {"userId": "u2"}), "USER_MISMATCH")
    assert_error(await ask_without_ack(client, "no:such:event"), "UNKNOWN_EVENT")


@pytest.mark.parametrize("room", OWN_ROOMS)
@pytest.mark.parametrize("verb", ["subscribe", "unsubscribe"])
@pytest.mark.parametrize("other", ["u2", "", None, 1, ["u1"], {"$ne": ""}])
async def test_somebody_elses_room_is_refused(
    server: Server, connect: Connect, room: str, verb: str, other: Any
) -> None:
    client = await connect(server, await server.session("u1"))
    assert (await refusal(client, f"{verb}:{room}", {"userId": other}))[0] == "USER_MISMATCH"
    await emit_everything(server, "u2")
    await barrier(client)
    assert set(names_of(client)) == {"market:status"}


@pytest.mark.parametrize("payload", ["u1", 1, True, [], ["u1"], 1.5])
@pytest.mark.parametrize("room", OWN_ROOMS)
async def test_payload_of_own_room_is_an_object(server: Server, connect: Connect, room: str, payload: Any) -> None:
    client = await connect(server, await server.session("u1"))
    assert (await refusal(client, f"subscribe:{room}", payload))[0] == "INVALID_PAYLOAD"


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("unsubscribe:portfolio", {}),
        ("unsubscribe:trades", {}),
        ("unsubscribe:watchlist", {"symbol": "AAPL"}),
        ("unsubscribe:watchlist", {"symbols": ["AAPL", "IBM"]}),
    ],
)
async def test_what_was_not_subscribed_cannot_be_left(
    server: Server, connect: Connect, event: str, payload: dict[str, Any]
) -> None:
    client = await connect(server, await server.session("u1"))
    assert (await refusal(client, event, payload))[0] == "NOT_SUBSCRIBED"


async def test_subscribing_twice_delivers_once(server: Server, connect: Connect) -> None:
    client = await connect(server, await server.session("u1"))
    for _ in range(2):
        assert (await ask(client, "subscribe:trades"))["success"] is True
        assert (await ask(client, "subscribe:watchlist", {"symbol": "AAPL"}))["success"] is True
    await emit_everything(server, "u1")
    await barrier(client)
    assert names_of(client).count("trade:executed") == 1
    assert names_of(client).count("watchlist:quote") == 1


async def test_users_get_nothing_of_each_other(server: Server, connect: Connect) -> None:
    first = await connect(server, await server.session("u1"))
    second = await connect(server, await server.session("u2"))
    for client in (first, second):
        for room in OWN_ROOMS:
            await ask(client, f"subscribe:{room}")
        await ask(client, "subscribe:watchlist", {"symbol": "AAPL" if client is first else "IBM"})
    await emit_everything(server, "u1")
    await emit_everything(server, "u1:x")
    await emit_everything(server, "*")
    await barrier(first, second)
    private = {"portfolio:update", "trade:executed", "trade:failed", "position:closed", "notification"}
    assert private <= set(names_of(first))
    assert [name for name in names_of(first) if name == "notification"] == ["notification"]
    assert set(names_of(second)) == {
        "subscribed:portfolio",
        "subscribed:trades",
        "subscribed:watchlist",
        "market:status",
    }


async def test_connections_of_one_user_subscribe_each_for_itself(server: Server, connect: Connect) -> None:
    session = await server.session("u1")
    first, second = await connect(server, session), await connect(server, session)
    await ask(first, "subscribe:portfolio")
    await emit_everything(server, "u1")
    await barrier(first, second)
    assert names_of(first).count("portfolio:update") == 1
    assert names_of(second) == ["notification", "market:status"]
    assert names_of(first).count("notification") == 1


# -- watchlist


@pytest.mark.parametrize("symbol", ["AAPL", "BRK.B", "A", "EUR/USD", "ES=F", "X" * 20])
async def test_one_symbol(server: Server, connect: Connect, symbol: str) -> None:
    client = await connect(server, await server.session("u1"))
    expected = {"success": True, "userId": "u1", "symbol": symbol}
    assert_payload(await ask(client, "subscribe:watchlist", {"symbol": symbol}), expected)
    await server.app.emit_watchlist_quote("OTHER", {"n": 1})
    await server.app.emit_watchlist_quote(symbol, {"n": 2})
    assert_payload((await client.wait_for("watchlist:quote"))[0], {"symbol": symbol, "quote": {"n": 2}})
    assert_payload(await ask(client, "unsubscribe:watchlist", {"symbol": symbol}), expected)
    await server.app.emit_watchlist_quote(symbol, {"n": 3})
    await barrier(client)
    assert len(client.events("watchlist:quote")) == 1


async def test_several_symbols_get_one_answer(server: Server, connect: Connect) -> None:
    client = await connect(server, await server.session("u1"))
    answer = await ask(client, "subscribe:watchlist", {"symbols": ["AAPL", "aapl\t", "IBM", "", 5, None, "AAPL"]})
    failed = answer.pop("failed")
    assert_payload(answer, {"success": True, "userId": "u1", "symbols": ["AAPL", "IBM"]})
    assert [(item["symbol"], item["reason"]) for item in failed] == [
        ("aapl\t", "SYMBOL_INVALID"),
        ("", "SYMBOL_REQUIRED"),
        ("int", "SYMBOL_INVALID"),
        ("NoneType", "SYMBOL_REQUIRED"),
    ]
    assert all(set(item) == {"symbol", "reason", "message"} for item in failed)
    for symbol in ("AAPL", "IBM", "GOOG"):
        await server.app.emit_watchlist_quote(symbol, {})
    await barrier(client)
    assert [args[0]["symbol"] for args in client.events("watchlist:quote")] == ["AAPL", "IBM"]
    assert len(client.events("subscribed:watchlist")) == 1

    answer = await ask(client, "unsubscribe:watchlist", {"symbols": ["IBM", "GOOG"]})
    assert (answer["symbols"], [item["reason"] for item in answer["failed"]]) == (["IBM"], ["NOT_SUBSCRIBED"])


async def test_several_symbols_that_all_fail_are_an_error(server: Server, connect: Connect) -> None:
    client = await connect(server, await server.session("u1"))
    answer = await ask(client, "subscribe:watchlist", {"symbols": ["a\t", "é"]})
    assert_error(answer, "SYMBOL_INVALID")
    assert [item["symbol"] for item in answer["failed"]] == ["a\t", "é"]
    assert answer["symbols"] == []


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ((), "INVALID_PAYLOAD"),
        ((None,), "INVALID_PAYLOAD"),
        (("AAPL",), "INVALID_PAYLOAD"),
        ((["AAPL"],), "INVALID_PAYLOAD"),
        ((1,), "INVALID_PAYLOAD"),
        (({},), "SYMBOL_REQUIRED"),
        (({"symbol": ""},), "SYMBOL_REQUIRED"),
        (({"symbol": None},), "SYMBOL_REQUIRED"),
        (({"symbols": []},), "SYMBOL_REQUIRED"),
        (({"symbol": "aapl "},), "SYMBOL_INVALID"),
        (({"symbol": "A" * 200},), "SYMBOL_INVALID"),
        (({"symbol": "ÄÖ"},), "SYMBOL_INVALID"),
        (({"symbol": "АAPL"},), "SYMBOL_INVALID"),
        (({"symbol": " AAPL"},), "SYMBOL_INVALID"),
        (({"symbol": "AAPL\n"},), "SYMBOL_INVALID"),
        (({"symbol": "\ud83d\ude80".encode("utf-16", "surrogatepass").decode("utf-16")},), "SYMBOL_INVALID"),
        (({"symbol": 5},), "SYMBOL_INVALID"),
        (({"symbol": ["AAPL"]},), "SYMBOL_INVALID"),
        (({"symbol": {"a": 1}},), "SYMBOL_INVALID"),
        (({"symbol": True},), "SYMBOL_INVALID"),
        (({"symbols": "AAPL"},), "INVALID_PAYLOAD"),
        (({"symbols": {"0": "AAPL"}},), "INVALID_PAYLOAD"),
        (({"symbols": None},), "INVALID_PAYLOAD"),
        (({"symbol": "AAPL", "symbols": ["IBM"]},), "INVALID_PAYLOAD"),
        (({"symbols": [f"S{n}" for n in range(10_000)]},), "INVALID_PAYLOAD"),
    ],
)
@pytest.mark.parametrize("verb", ["subscribe", "unsubscribe"])
async def test_bad_symbols_get_a_reason(
    server: Server, stock_connect: Connect, verb: str, payload: tuple[Any, ...], reason: str
) -> None:
    client = await stock_connect(server, await server.session("u1"))
    assert (await refusal(client, f"{verb}:watchlist", *payload))[0] == reason
    assert (await ask(client, "subscribe:watchlist", {"symbol": "IBM"}))["success"] is True


@pytest.mark.parametrize(("tier", "allowed"), [("free", False), ("premium", True), ("enterprise", True)])
async def test_watchlist_needs_a_tier(server: Server, connect: Connect, tier: str, allowed: bool) -> None:
    client = await connect(server, await server.session("u1", tier=tier))
    answer = await ask(client, "subscribe:watchlist", {"symbol": "AAPL"})
    if allowed:
        assert answer["success"] is True
        assert (await ask(client, "unsubscribe:watchlist", {"symbol": "AAPL"}))["success"] is True
    else:
        assert_error(answer, "TIER_REQUIRED")
        assert "premium or enterprise" in answer["message"]
    await ask(client, "subscribe:watchlist", {"symbol": "AAPL"})
    await server.app.emit_watchlist_quote("AAPL", {})
    await barrier(client)
    assert len(client.events("watchlist:quote")) == int(allowed)


@pytest.mark.parametrize("payload", [{"symbol": "AAPL"}, {"symbols": ["AAPL", "MSFT"]}])
async def test_leaving_needs_no_tier(server: Server, connect: Connect, payload: dict[str, Any]) -> None:
    """Who has lost the tier may leave, even before the server has taken the subscriptions away."""
    free = await connect(server, await server.session("u1", tier="free"))
    assert_error(await ask(free, "unsubscribe:watchlist", payload), "NOT_SUBSCRIBED")
    session = await server.session("u2")
    client = await connect(server, session)
    await ask(client, "subscribe:watchlist", payload)
    for connection in server.app.registry.of_user("u2"):
        assert connection.session is not None
        connection.session = replace(connection.session, user=replace(connection.session.user, tier="free"))
    assert_error(await ask(client, "subscribe:watchlist", {"symbol": "IBM"}), "TIER_REQUIRED")
    assert (await ask(client, "unsubscribe:watchlist", payload))["success"] is True
    assert await server.app.limiter.get_subscription_count("u2") == 0


# -- admin:broadcast


async def test_broadcast_reaches_everybody_who_is_logged_in(make_server: MakeServer, connect: Connect) -> None:
    server = await make_server(auth_required=False)
    admin = await connect(server, await server.session("root", tier="free", is_admin=True))
    user = await connect(server, await server.session("u1", tier="free"))
    anonymous = await connect(server)
    data = {"text": "maintenance at 5", "list": [1, None]}
    answer = await ask(admin, "admin:broadcast", {"event": "announcement", "data": data})
    assert_payload(answer, {"success": True, "userId": "root", "event": "announcement"})
    for client in (admin, user):
        assert (await client.wait_for("announcement"))[0] == data
    await barrier(anonymous, user)
    assert names_of(anonymous) == []
    assert len(user.events("announcement")) == 1


@pytest.mark.parametrize("tier", ["free", "enterprise"])
async def test_broadcast_needs_an_admin(server: Server, connect: Connect, tier: str) -> None:
    client = await connect(server, await server.session("u1", tier=tier))
    other = await connect(server, await server.session("u2"))
    reason, _ = await refusal(client, "admin:broadcast", {"event": "announcement", "data": 1})
    assert reason == "ADMIN_REQUIRED"
    await barrier(other)
    assert names_of(other) == []


@pytest.mark.parametrize(
    "payload",
    [
        (),
        ("announcement",),
        ({"data": 1},),
        ({"event": ""},),
        ({"event": 5},),
        ({"event": "x" * 65},),
        ({"event": "with space"},),
        *(({"event": name},) for name in ("connect", "connect_error", "disconnect", "disconnecting", "error")),
        *(({"event": name},) for name in ("newListener", "removeListener")),
        *(({"event": name, "data": {}},) for name in OWN_EVENTS),
        ({"event": "x", "data": {"n": 2**60}},),
        ({"event": "x", "data": {"n": 10**30}},),
    ],
)
async def test_bad_broadcast_is_refused(server: Server, stock_connect: Connect, payload: tuple[Any, ...]) -> None:
    admin = await stock_connect(server, await server.session("root", is_admin=True))
    assert (await refusal(admin, "admin:broadcast", *payload))[0] == "INVALID_PAYLOAD"


async def test_a_setting_opens_the_contract_s_own_events(make_server: MakeServer, stock_connect: Connect) -> None:
    server = await make_server(admin_broadcast_any=True)
    admin = await stock_connect(server, await server.session("root", is_admin=True))
    await ask(admin, "admin:broadcast", {"event": "market:status", "data": {"status": "halted"}})
    assert (await admin.wait_for("market:status"))[0] == {"status": "halted"}
    assert (await refusal(admin, "admin:broadcast", {"event": "error"}))[0] == "INVALID_PAYLOAD"


@pytest.mark.parametrize("event", ["custom", "watchlist:quote"])
async def test_an_event_without_data_has_no_first_argument(server: Server, connect: Connect, event: str) -> None:
    """What recovery adds is no handler's first argument, whichever way the event goes out."""
    admin = await connect(server, await server.session("root", is_admin=True))
    app = server.app
    ways: list[Callable[[], Awaitable[Any]]] = [
        lambda: app.broadcast(event),
        lambda: app.broadcast(event, None),
        lambda: app.emit_to_user("root", event),
        lambda: app.emit_to_room("user:root", event),
        lambda: app.emit(event, to="user:root"),
        lambda: app.emit(event, to="user:root", volatile=True),
    ]
    if event == "custom":
        ways.append(lambda: ask(admin, "admin:broadcast", {"event": event}))
        ways.append(lambda: ask(admin, "admin:broadcast", {"event": event, "data": None}))
    for publish in ways:  # one after the other: of quotes that wait for the client only the newest would come
        await publish()
        await admin.wait_for(event)
    app.registry.of_user("root")[0].send(event, None)
    await admin.wait_for(event)
    await barrier(admin)
    got = admin.events(event)
    assert len(got) == (9 if event == "custom" else 7)
    assert all(args[:1] in ([], [None]) for args in got), got


# -- anonymous clients


async def test_anonymous_client_gets_market_status_and_nothing_else(make_server: MakeServer, connect: Connect) -> None:
    server = await make_server(auth_required=False)
    client = await connect(server)
    for event, payload in (
        ("subscribe:portfolio", {}),
        ("subscribe:trades", {"userId": "u1"}),
        ("unsubscribe:trades", {}),
        ("subscribe:watchlist", {"symbol": "AAPL"}),
        ("admin:broadcast", {"event": "x"}),
        ("session:refresh", {"sessionID": "x"}),
    ):
        assert (await refusal(client, event, payload))[0] == "AUTH_REQUIRED"
    for user_id in ("u1", "", "None", "undefined"):
        await emit_everything(server, user_id)
    await barrier(client)
    assert names_of(client) == ["market:status"] * 4


async def test_wrong_session_is_refused_even_where_none_is_needed(make_server: MakeServer, connect: Connect) -> None:
    server = await make_server(auth_required=False)
    client = await connect(server, {"sessionID": "nonsense", "userId": "u1"}, wait=False)
    with pytest.raises(Exception, match="log in again"):
        await client.wait_connect()


# -- emitters


async def test_payloads_of_all_emitters(server: Server, connect: Connect) -> None:
    client = await connect(server, await server.session("u1"))
    for room in OWN_ROOMS:
        await ask(client, f"subscribe:{room}")
    await ask(client, "subscribe:watchlist", {"symbol": "AAPL"})
    await emit_everything(server, "u1")
    expected: dict[str, dict[str, Any]] = {
        "portfolio:update": {"userId": "u1", "portfolio": {"value": 1.5}},
        "trade:executed": {"userId": "u1", "trade": {"id": "t1"}},
        "trade:failed": {"userId": "u1", "failure": {"id": "t2", "why": "funds"}},
        "position:closed": {"userId": "u1", "position": {"symbol": "IBM"}},
        "notification": {"userId": "u1", "notification": {"text": "héllo"}},
        "watchlist:quote": {"symbol": "AAPL", "quote": {"price": 10.25}},
        "market:status": {"status": {"open": True}},
    }
    for event, payload in expected.items():
        payload_, *offset = await client.wait_for(event)
        assert_payload(payload_, payload)
        # What counts has an offset for clients that recover; what is latest-wins never has.
        counts = event not in ("watchlist:quote", "market:status")
        assert [type(one) for one in offset] == ([str] if counts and client.recovers else [])


async def test_requirements_own_emit_methods(server: Server, connect: Connect) -> None:
    client = await connect(server, await server.session("u1"))
    other = await connect(server, await server.session("u2"))
    await server.app.emit_to_user("u1", "custom", {"n": 1})
    await server.app.emit_to_room("market:status", "custom", {"n": 2})
    await server.app.broadcast("custom", {"n": 3})
    await barrier(client, other)
    assert [args[0] for args in client.events("custom")] == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert [args[0] for args in other.events("custom")] == [{"n": 2}, {"n": 3}]
    assert server.app.get_total_connection_count() == 2
    assert server.app.get_user_connection_count("u1") == 1


async def test_events_keep_their_order(server: Server, connect: Connect) -> None:
    client = await connect(server, await server.session("u1"))
    for number in range(500):
        await server.app.emit_notification("u1", {"n": number})
    await barrier(client)
    assert [args[0]["notification"]["n"] for args in client.events("notification")] == list(range(500))


# -- quotas and rate limits


async def test_subscriptions_of_a_user_are_limited_over_all_connections(
    make_server: MakeServer, connect: Connect
) -> None:
    server = await make_server(max_subscriptions_per_user=3)
    session = await server.session("u1")
    first, second = await connect(server, session), await connect(server, session)
    other = await connect(server, await server.session("u2"))
    await ask(first, "subscribe:portfolio")
    answer = await ask(second, "subscribe:watchlist", {"symbols": ["A", "B", "C"]})
    assert answer["symbols"] == ["A", "B"]
    assert [(item["symbol"], item["reason"]) for item in answer["failed"]] == [("C", "QUOTA_EXCEEDED")]
    assert (await refusal(first, "subscribe:trades"))[0] == "QUOTA_EXCEEDED"
    assert (await ask(second, "subscribe:watchlist", {"symbol": "A"}))["success"] is True, "it has that one already"
    assert (await ask(other, "subscribe:trades"))["success"] is True

    await ask(second, "unsubscribe:watchlist", {"symbol": "A"})
    assert (await ask(first, "subscribe:trades"))["success"] is True
    await second.disconnect()
    await eventually(lambda: server.app.get_user_connection_count("u1") <= 1)

    async def has_room() -> bool:
        return bool((await ask(first, "subscribe:watchlist", {"symbol": "D"})).get("success"))

    await eventually(has_room)


@pytest.mark.parametrize(
    ("setting", "event", "payload"),
    [
        ("rate_limit_subscribe", "subscribe:portfolio", {}),
        ("rate_limit_subscribe", "subscribe:trades", {}),
        ("rate_limit_subscribe", "subscribe:watchlist", {"symbols": ["A", "B", "C", "D", "E", "F"]}),
        ("rate_limit_unsubscribe", "unsubscribe:portfolio", {}),
        ("rate_limit_unsubscribe", "unsubscribe:trades", {}),
        ("rate_limit_unsubscribe", "unsubscribe:watchlist", {"symbol": "A"}),
        ("rate_limit_broadcast", "admin:broadcast", {"event": "x"}),
        ("rate_limit_refresh", "session:refresh", {"sessionID": "x"}),
    ],
)
async def test_each_event_has_its_limit(
    make_server: MakeServer, stock_connect: Connect, setting: str, event: str, payload: dict[str, Any]
) -> None:
    server = await make_server(**{setting: 4})
    client = await stock_connect(server, await server.session("u1", is_admin=True))
    other = await stock_connect(server, await server.session("u2", is_admin=True))
    for _ in range(4):
        assert (await ask(client, event, payload)).get("reason") != "RATE_LIMITED"
    assert (await refusal(client, event, payload))[0] == "RATE_LIMITED"
    assert (await ask(other, event, payload)).get("reason") != "RATE_LIMITED"
    neighbour = "unsubscribe:trades" if event == "subscribe:trades" else "subscribe:trades"
    assert (await ask(client, neighbour, {})).get("reason") != "RATE_LIMITED"


async def test_flood_is_limited_and_others_are_served(make_server: MakeServer, connect: Connect) -> None:
    server = await make_server(rate_limit_global=200, rate_limit_subscribe=100)
    flooder = await connect(server, await server.session("u1"))
    other = await connect(server, await server.session("u2"))
    await flooder.raw('2["subscribe:watchlist",{"symbol":"AAPL"}]', count=300)
    await flooder.raw('2["no:such:event"]', count=300)
    for _ in range(20):
        assert (await ask(other, "subscribe:trades"))["success"] is True
    (answer,) = await flooder.call("subscribe:portfolio")
    assert answer["reason"] == "RATE_LIMITED"
    reasons = [args[0]["reason"] for args in flooder.events("error")]
    assert len(flooder.events("subscribed:watchlist")) == 100
    assert reasons.count("RATE_LIMITED") >= 400
    assert flooder.connected
    await server.app.emit_notification("u1", {})
    await flooder.wait_for("notification")


async def test_unknown_events_count_towards_the_limit_of_all(make_server: MakeServer, stock_connect: Connect) -> None:
    server = await make_server(rate_limit_global=5, rate_limit_subscribe=5, rate_limit_unsubscribe=5)
    client = await stock_connect(server, await server.session("u1"))
    for number in range(5):
        assert (await refusal(client, f"unknown:{number}"))[0] == "UNKNOWN_EVENT"
    assert (await refusal(client, "unknown:5"))[0] == "RATE_LIMITED"
    assert (await refusal(client, "subscribe:trades"))[0] == "RATE_LIMITED"


# -- what does not exist


@pytest.mark.parametrize(
    "event", ["no:such:event", "subscribe", "subscribe:", "subscribe:everything", "Subscribe:Trades", "message", " "]
)
async def test_unknown_event(server: Server, connect: Connect, event: str) -> None:
    client = await connect(server, await server.session("u1"))
    assert (await refusal(client, event, {"a": 1}))[0] == "UNKNOWN_EVENT"
    assert answer_event(event) not in names_of(client)
