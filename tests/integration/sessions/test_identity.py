"""Who a client is, as real installations say it: numbers, cookies, signatures, and sessions of others' making."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest
import structlog.testing
from websockets.asyncio.client import connect
from websockets.typing import Origin

from kit.clients.interface import Refused
from kit.clients.node import StockClients
from kit.servers.in_process import API_TOKEN, MakeServer, RunningServer
from protocol.contract import FAST
from tradecast.sessions.signing import sign_session_id

COOKIE = "connect.sid"
SECRET = "keyboard cat"
ORIGIN = "https://app.example"
# A short one is a part of a random id now and then.
LONG_ID = "session-of-user-5"


async def store(server: RunningServer, session_id: str, data: dict[str, Any], seconds: float = 600) -> None:
    """Write a session as another application would."""
    await server.app.sessions.store.save(session_id, data, time.time() + seconds)


def metric(server: RunningServer, name: str, **labels: str) -> float:
    return server.app.metrics.registry.get_sample_value(f"tradecast_{name}_total", labels) or 0


async def refusal(clients: StockClients, server: RunningServer, auth: Any, **options: Any) -> str:
    with pytest.raises(Refused) as refused:
        await clients.connect(server.url, auth, **{**FAST, **options})
    return str(refused.value.data["code"])


@pytest.mark.parametrize("stored", [5, 5.0, "5", {"id": 5}, {"id": "5"}])
@pytest.mark.parametrize("claimed", [5, "5"])
async def test_a_number_is_its_text(
    make_server: MakeServer, stock_clients: StockClients, stored: Any, claimed: Any
) -> None:
    server = await make_server()
    user = stored if isinstance(stored, dict) else {"id": stored}
    await store(server, "s1", {"passport": {"user": {**user, "subscriptionTier": "Premium"}}})
    client = await stock_clients.connect(server.url, {"sessionID": "s1", "userId": claimed}, **FAST)
    answer = (await client.call("subscribe:portfolio", {"userId": claimed}))[0]
    assert (answer["success"], answer["userId"]) == (True, "5")
    body = {"event": "portfolio:update", "userId": claimed, "portfolio": {"n": 1}}
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        sent = await http.post(f"{server.url}/api/emit", json=body, headers={"authorization": f"Bearer {API_TOKEN}"})
    assert sent.status_code == 202
    (update, *_) = await client.wait_for("portfolio:update")
    assert update["userId"] == "5"
    await server.app.emit_notification(5, {"n": 2})
    (notice, *_) = await client.wait_for("notification")
    assert notice["userId"] == "5"
    assert server.app.get_user_connection_count(5) == server.app.get_user_connection_count("5") == 1


@pytest.mark.parametrize("claimed", [True, 5.5, ["5"], {"id": 5}, None, ""])
async def test_what_is_no_id_is_refused(make_server: MakeServer, stock_clients: StockClients, claimed: Any) -> None:
    server = await make_server()
    await store(server, "s1", {"passport": {"user": 5}})
    assert await refusal(stock_clients, server, {"sessionID": "s1", "userId": claimed}) == "AUTH_REQUIRED"
    assert metric(server, "auth_refusals", reason="bad_claim") == 1


@pytest.mark.parametrize(
    ("settings", "session_id", "data", "code", "reason"),
    [
        ({}, "nobody", None, "SESSION_NOT_FOUND", "not_in_store"),
        ({}, "s:a.b", None, "SESSION_NOT_FOUND", "no_secrets"),
        ({"session_secrets": SECRET}, "s:a.b", None, "SESSION_NOT_FOUND", "wrong_signature"),
        (
            {"session_secrets": SECRET, "session_require_signed": True},
            LONG_ID,
            {"passport": {"user": 5}},
            "SESSION_NOT_FOUND",
            "not_signed",
        ),
        ({}, LONG_ID, {"passport": {}}, "SESSION_NOT_FOUND", "no_user"),
        ({}, LONG_ID, {"passport": {"user": {"id": [5]}}}, "SESSION_NOT_FOUND", "bad_user_id"),
        ({}, LONG_ID, {"passport": {"user": 6}}, "USER_MISMATCH", "other_user"),
        ({}, LONG_ID, {"passport": {"user": 5}, "createdAt": 1}, "SESSION_EXPIRED", "expired"),
    ],
)
async def test_each_cause_has_its_reason_in_log_and_metric(
    make_server: MakeServer,
    stock_clients: StockClients,
    settings: dict[str, Any],
    session_id: str,
    data: dict[str, Any] | None,
    code: str,
    reason: str,
) -> None:
    server = await make_server(**settings)
    if data is not None:
        await store(server, session_id, data)
    with structlog.testing.capture_logs() as lines:
        assert await refusal(stock_clients, server, {"sessionID": session_id, "userId": 5}) == code
    told = [(line["code"], line["reason"]) for line in lines if line["event"] == "connection refused"]
    assert told == [(code, reason)]
    assert session_id not in json.dumps(lines, default=str)
    assert metric(server, "auth_refusals", reason=reason) == 1


async def test_bare_ids_are_reported_where_there_are_secrets(
    make_server: MakeServer, stock_clients: StockClients
) -> None:
    server = await make_server(session_secrets=SECRET)
    await store(server, "s1", {"passport": {"user": 5}})
    with structlog.testing.capture_logs() as lines:
        await stock_clients.connect(server.url, {"sessionID": "s1", "userId": 5}, **FAST)
        await stock_clients.connect(server.url, {"sessionID": sign_session_id("s1", SECRET), "userId": 5}, **FAST)
    assert [line["log_level"] for line in lines if "without a signature" in line["event"]] == ["warning"]
    assert metric(server, "unsigned_session_ids") == 1


@pytest.mark.parametrize("transports", [["polling"], ["websocket"], ["polling", "websocket"]])
async def test_the_browsers_cookie(make_server: MakeServer, stock_clients: StockClients, transports: list[str]) -> None:
    server = await make_server(session_cookie_name=COOKIE, session_secrets=SECRET, cors_origin=ORIGIN)
    await store(server, "s1", {"passport": {"user": 5}})
    headers = {"Cookie": f"a=b; {COOKIE}={sign_session_id('s1', SECRET).replace(':', '%3A')}", "Origin": ORIGIN}
    options = {**FAST, "transports": transports, "extraHeaders": headers}
    for auth in (None, {"userId": 5}):
        client = await stock_clients.connect(server.url, auth, **options)
        answer = (await client.call("subscribe:portfolio"))[0]
        assert answer["userId"] == "5"
    assert server.app.components.socket_server.transport_table.notes == {}
    assert await refusal(stock_clients, server, {"userId": 6}, **options) == "USER_MISMATCH"
    # What the client says itself goes before.
    assert await refusal(stock_clients, server, {"sessionID": "x", "userId": 5}, **options) == "SESSION_NOT_FOUND"


async def test_the_cookie_holds_for_another_namespace_on_the_same_transport(make_server: MakeServer) -> None:
    settings = {"session_cookie_name": COOKIE, "session_secrets": SECRET, "cors_origin": ORIGIN}
    server = await make_server(lambda app: app.add_namespace("/chat"), **settings)
    await store(server, "s1", {"passport": {"user": 5}})
    url = f"{server.url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket"
    cookie = {"Cookie": f"{COOKIE}={sign_session_id('s1', SECRET)}"}
    async with connect(url, origin=Origin(ORIGIN), additional_headers=cookie, compression=None, proxy=None) as client:
        assert str(await client.recv()).startswith("0{")
        for packet, answer in (("40", "40{"), ("40/chat,", "40/chat,{")):
            await client.send(packet)
            assert str(await client.recv()).startswith(answer)
        assert [one.user.id for one in server.app.registry if one.user is not None] == ["5", "5"]
    # Who said in the first CONNECT who it is has to say it in the others too.
    async with connect(url, origin=Origin(ORIGIN), compression=None, proxy=None) as client:
        await client.recv()
        await client.send("40" + json.dumps({"sessionID": sign_session_id("s1", SECRET), "userId": 5}))
        assert str(await client.recv()).startswith("40{")
        await client.send("40/chat,")
        assert "AUTH_REQUIRED" in str(await client.recv())


@pytest.mark.parametrize(
    "changed",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Cookie": "other=x"},
        {"Cookie": f"{COOKIE}=s1"},  # not signed: anybody can write that
        {"Cookie": f"{COOKIE}={sign_session_id('s1', 'another secret')}"},
    ],
)
async def test_a_cookie_that_does_not_count(
    make_server: MakeServer, stock_clients: StockClients, changed: dict[str, str]
) -> None:
    server = await make_server(session_cookie_name=COOKIE, session_secrets=SECRET, cors_origin=ORIGIN)
    await store(server, "s1", {"passport": {"user": 5}})
    headers = {"Cookie": f"{COOKIE}={sign_session_id('s1', SECRET)}", "Origin": ORIGIN, **changed}
    code = await refusal(stock_clients, server, None, extraHeaders=headers)
    assert code in ("AUTH_REQUIRED", "SESSION_NOT_FOUND")


async def test_without_the_setting_cookies_are_not_looked_at(
    make_server: MakeServer, stock_clients: StockClients
) -> None:
    server = await make_server()
    await store(server, "s1", {"passport": {"user": 5}})
    assert await refusal(stock_clients, server, None, extraHeaders={"Cookie": f"{COOKIE}=s1"}) == "AUTH_REQUIRED"


async def test_an_unknown_tier_is_reported_once(make_server: MakeServer, stock_clients: StockClients) -> None:
    server = await make_server()
    await store(server, "s1", {"passport": {"user": {"id": 5, "subscriptionTier": "Gold"}}})
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            await stock_clients.connect(server.url, {"sessionID": "s1", "userId": 5}, **FAST)
    assert [line["tier"] for line in lines if "tier is unknown" in line["event"]] == ["gold"]
