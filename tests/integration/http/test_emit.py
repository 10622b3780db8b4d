"""`/api/emit`: who may use it, and what it accepts."""

from __future__ import annotations

import json
import math
from typing import Any

import httpx
import pytest

from integration.http.answers import BEARER, NOTICE, PLANTED, assert_error
from kit.clients.node import StockClients
from kit.servers.in_process import MakeServer, RunningServer
from kit.servers.redis_server import RedisServer
from protocol.contract import FAST, assert_alive

# -- emit: who may


async def test_emit_is_closed_without_a_token(make_server: MakeServer, http: httpx.AsyncClient) -> None:
    server = await make_server(api_token="")
    for headers in ({}, {"authorization": "Bearer"}, {"authorization": "Bearer x"}):
        assert_error(await http.post(f"{server.url}/api/emit", json=NOTICE, headers=headers), 403, "EMIT_CLOSED")


async def test_emit_off_on_the_public_port(make_server: MakeServer, http: httpx.AsyncClient) -> None:
    server = await make_server(emit_public=False)
    assert_error(await http.post(f"{server.url}/api/emit", json=NOTICE, headers=BEARER), 404, "NOT_FOUND")
    assert (await http.post(f"{server.admin_url}/api/emit", json=NOTICE, headers=BEARER)).status_code == 202


# -- emit: what


async def test_emit_reaches_clients_in_order(
    server: RunningServer, http: httpx.AsyncClient, stock_clients: StockClients
) -> None:
    client = await stock_clients.connect(server.url, await server.session("u1"), **FAST)
    other = await stock_clients.connect(server.url, await server.session("u2"), **FAST)
    answer = await http.post(f"{server.admin_url}/api/emit", json=NOTICE, headers=BEARER)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1})
    events = [{**NOTICE, "notification": {"n": n}} for n in range(2, 50)]
    events.append({"event": "market:status", "status": "closed"})
    answer = await http.post(f"{server.url}/api/emit", json={"events": events}, headers=BEARER)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 49})
    assert (await client.wait_for("market:status"))[0]["status"] == "closed"
    assert [args[0]["notification"]["n"] for args in client.events("notification")] == list(range(1, 50))
    await other.wait_for("market:status")
    assert other.events("notification") == []


async def test_wrong_events_are_reported_and_nothing_is_sent(
    server: RunningServer, http: httpx.AsyncClient, stock_clients: StockClients
) -> None:
    client = await stock_clients.connect(server.url, await server.session("u1"), **FAST)
    wrong: list[Any] = [
        None,
        [],
        {},
        {"event": PLANTED},
        {**NOTICE, "userId": ""},
        {**NOTICE, "notification": PLANTED},
        {**NOTICE, "other": PLANTED},
        {"event": "watchlist:quote", "symbol": f"{PLANTED}\n", "quote": {}},
        {**NOTICE, "notification": {"title": 5}},
        {"a": float("nan")},
        {"events": [NOTICE, {**NOTICE, "userId": [PLANTED]}]},
    ]
    for body in wrong:
        answer = await http.post(f"{server.url}/api/emit", content=json.dumps(body), headers=BEARER)
        told = assert_error(answer, 422, "INVALID_EVENT")
        assert told["problems"]
    await assert_alive(client)
    assert client.events("notification") == []


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "9007199254740993", "1" * 30, "0." + "1" * 30, "1e400", "9" * 5_000]
)
async def test_numbers_that_clients_would_read_otherwise_are_named(
    server: RunningServer, http: httpx.AsyncClient, number: str
) -> None:
    body = f'{{"event":"trade:executed","userId":"u1","trade":{{"fills":[{{"price":{number}}}]}}}}'
    for content, at in (
        (body, "trade.fills[0].price"),
        (f'{{"events":[{json.dumps(NOTICE)},{body}]}}', "events.1.trade.fills[0].price"),
    ):
        answer = await http.post(f"{server.url}/api/emit", content=content, headers=BEARER)
        (problem,) = assert_error(answer, 422, "INVALID_EVENT")["problems"]
        assert problem["at"] == at
        assert not number[-1].isdigit() or number not in answer.text


async def test_a_batch_goes_without_its_wrong_events_where_it_says_so(
    server: RunningServer, http: httpx.AsyncClient, stock_clients: StockClients
) -> None:
    client = await stock_clients.connect(server.url, await server.session("u1"), **FAST)
    wrong: list[Any] = [
        {"event": "watchlist:quote", "symbol": "no\tsymbol", "quote": {}},
        {"event": "trade:executed", "userId": "u1", "trade": {"price": PLANTED}},
        {**NOTICE, "notification": {"n": float("nan")}},
        PLANTED,
    ]
    events = [part for n, one in enumerate(wrong) for part in ({**NOTICE, "notification": {"n": n}}, one)]
    for body in ({"events": events}, {"events": events, "skipInvalid": False}, {"events": wrong, "skipInvalid": True}):
        answer = await http.post(f"{server.url}/api/emit", content=json.dumps(body), headers=BEARER)
        problems = assert_error(answer, 422, "INVALID_EVENT")["problems"]
        assert len(problems) == 4
    assert problems[0]["at"] == "events.0.symbol"
    body = {"events": events, "skipInvalid": True}
    answer = await http.post(f"{server.url}/api/emit", content=json.dumps(body), headers=BEARER)
    assert answer.status_code == 202, answer.text
    told = answer.json()
    assert (told["accepted"], told["refused"]) == (4, [1, 3, 5, 7])
    assert [problem["at"] for problem in told["problems"]] == [
        *("events.1.symbol", "events.3.trade.price", "events.5.notification.n", "events.7"),
    ]
    assert PLANTED not in answer.text
    await assert_alive(client)
    assert [args[0]["notification"]["n"] for args in client.events("notification")] == [0, 1, 2, 3]
    for flag in ("yes", 1, None):
        answer = await http.post(
            f"{server.url}/api/emit", json={"events": [NOTICE], "skipInvalid": flag}, headers=BEARER
        )
        assert assert_error(answer, 422, "INVALID_EVENT")["problems"][0]["at"] == "skipInvalid"


async def test_symbols_are_narrowed_by_a_setting(make_server: MakeServer, http: httpx.AsyncClient) -> None:
    server = await make_server(symbol_pattern="[A-Z]{1,5}")
    for symbol, status in (("AAPL", 202), ("aapl", 422), ("BTC_USDT", 422)):
        body = {"event": "watchlist:quote", "symbol": symbol, "quote": {"price": 1}}
        assert (await http.post(f"{server.url}/api/emit", json=body, headers=BEARER)).status_code == status
    with pytest.raises(ValueError, match="SYMBOL_PATTERN"):
        await server.app.emit_watchlist_quote("aapl", {})


async def test_schema_is_served(server: RunningServer, http: httpx.AsyncClient) -> None:
    answer = await http.get(f"{server.url}/api/emit/schema")
    assert "portfolio:update" in answer.text
    assert "anyOf" in answer.json()


@pytest.mark.redis
async def test_emit_without_redis_says_who_has_it(
    make_server: MakeServer, own_redis: RedisServer, http: httpx.AsyncClient, stock_clients: StockClients
) -> None:
    server = await make_server(redis_url=own_redis.url, session_store="memory", redis_timeout=0.5, publish_timeout=1)
    client = await stock_clients.connect(server.url, await server.session("u1"), ["websocket"], **FAST)
    await own_redis.kill()
    answer = await http.post(f"{server.url}/api/emit", json=NOTICE, headers=BEARER)
    told = assert_error(answer, 503, "UNAVAILABLE")
    assert told["accepted"] == 0
    assert [*told["failed"], *told["uncertain"]] == [0]
    assert client.events("notification") == []


async def test_deep_body(server: RunningServer, http: httpx.AsyncClient) -> None:
    for depth in (90, 101, 252, 400, 1_000):
        body = b'{"event":"notification","userId":"u1","notification":{"x":' + b"[" * depth + b"]" * depth + b"}}"
        answer = await http.post(f"{server.url}/api/emit", content=body, headers=BEARER)
        assert answer.status_code == (202 if depth == 90 else 422), answer.text
        assert len(answer.text) < 1_000


@pytest.mark.redis
@pytest.mark.node
async def test_a_thousand_events_share_requests_to_redis_and_stay_in_order(
    make_server: MakeServer, own_redis: RedisServer, http: httpx.AsyncClient, stock_clients: StockClients
) -> None:
    server = await make_server(redis_url=own_redis.url)
    client = await stock_clients.connect(server.url, await server.session("u1"), **FAST)

    async def batches() -> int:
        """How many the server has published: the number of the last one, which is kept."""
        (key,) = await own_redis.ask("KEYS", "*:p:*")
        return int((await own_redis.ask("GET", key)).split()[0])

    assert (await http.post(f"{server.url}/api/emit", json=NOTICE, headers=BEARER)).status_code == 202
    before = await batches()
    events = [{**NOTICE, "notification": {"n": n}} for n in range(1_000)]
    answer = await http.post(f"{server.url}/api/emit", json={"events": events}, headers=BEARER)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1_000})
    assert await batches() - before == math.ceil(1_000 / server.app.settings.publish_batch)
    await client.wait_for("notification", lambda args: args[0]["notification"]["n"] == 999)
    assert [args[0]["notification"]["n"] for args in client.events("notification")][1:] == list(range(1_000))
