"""The HTTP routes of both ports, and Engine.IO's answers to what is no handshake, over real sockets."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import InvalidStatus

from kit.clients.node import StockClients
from kit.network.tls import make_certificates
from kit.servers.in_process import API_TOKEN, MakeServer, RunningServer
from kit.servers.mongo_server import MongoServer
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from protocol.contract import FAST, assert_alive
from tradecast.gateway.metrics import TRANSPORT_REASONS
from tradecast.server import WebSocketServer

PLANTED = "planted-secret"
BEARER = {"authorization": f"Bearer {API_TOKEN}"}
NOTICE: dict[str, Any] = {"event": "notification", "userId": "u1", "notification": {"n": 1}}


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        yield client


def assert_error(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """An error as every route tells it: JSON with a code and a sentence, and nothing from inside."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert body["code"] == code
    assert isinstance(body["message"], str)
    assert PLANTED not in answer.text
    assert not re.search(r"Traceback|\.py|Exception", answer.text)
    return dict(body)


# -- health


async def test_health_without_dependencies(server: RunningServer, http: httpx.AsyncClient) -> None:
    for base in (server.url, server.admin_url):
        answer = await http.get(f"{base}/health")
        assert answer.status_code == 200
        assert answer.json()["status"] == "up"
        assert answer.headers["cache-control"] == "no-store"
        for name in ("redis", "database"):
            answer = await http.get(f"{base}/health/{name}")
            assert (answer.status_code, answer.json()["status"]) == (200, "not configured")


@pytest.mark.redis
async def test_health_tells_of_redis_as_it_goes_and_comes(
    make_server: MakeServer, own_redis: RedisServer, http: httpx.AsyncClient
) -> None:
    server = await make_server(redis_url=own_redis.url, redis_timeout=0.5)
    answer = await until_status(http, f"{server.url}/health/redis", 200)
    assert answer.json()["status"] == "up"
    assert 0 <= answer.json()["latencyMs"] < 30_000
    await own_redis.kill()
    answer = await until_status(http, f"{server.url}/health/redis", 503)
    assert answer.json()["status"] == "down"
    assert str(own_redis.port) not in answer.text
    assert (await http.get(f"{server.url}/health")).status_code == 200
    await own_redis.start()
    answer = await until_status(http, f"{server.url}/health/redis", 200)
    assert answer.json()["status"] == "up"


@pytest.mark.redis
async def test_health_with_redis_that_hangs(
    make_server: MakeServer, own_redis: RedisServer, http: httpx.AsyncClient
) -> None:
    """`/health` answers at once: it asks nobody."""
    server = await make_server(redis_url=own_redis.url, redis_timeout=0.5)
    await own_redis.pause(60)
    slow = asyncio.create_task(http.get(f"{server.url}/health/redis"))
    async with asyncio.timeout(30):
        for _ in range(20):
            assert (await http.get(f"{server.url}/health")).json()["status"] == "up"
    answer = await slow
    if answer.status_code == 200:  # a check from just before the pause may be told once more
        answer = await until_status(http, f"{server.url}/health/redis", 503)
    assert answer.json()["status"] == "down"
    own_redis.resume()
    await until_status(http, f"{server.url}/health/redis", 200)


@pytest.mark.mongodb
async def test_health_tells_of_the_database_as_it_goes_and_comes(
    make_server: MakeServer, own_mongo: MongoServer, http: httpx.AsyncClient
) -> None:
    server = await make_server(mongodb_uri=own_mongo.uri, mongodb_timeout=2)
    await until_status(http, f"{server.url}/health/database", 200)
    await own_mongo.kill()
    answer = await until_status(http, f"{server.url}/health/database", 503)
    assert answer.json()["status"] == "down"
    assert str(own_mongo.port) not in answer.text
    assert "pymongo" not in answer.text
    assert (await http.get(f"{server.url}/health")).status_code == 200
    await own_mongo.start()
    answer = await until_status(http, f"{server.url}/health/database", 200)
    assert answer.json()["latencyMs"] >= 0


async def until_status(http: httpx.AsyncClient, url: str, status: int) -> httpx.Response:
    async def answered() -> httpx.Response | None:
        answer = await http.get(url)
        return answer if answer.status_code == status else None

    found: httpx.Response = await eventually(answered, 60)
    return found


# -- metrics


async def test_metrics_on_both_ports(server: RunningServer, http: httpx.AsyncClient) -> None:
    for base in (server.url, server.admin_url):
        text = await http.get(f"{base}/metrics")
        assert text.status_code == 200
        assert text.headers["content-type"].startswith("text/plain")
        assert text.headers["vary"].lower() == "accept"
        figures = await http.get(f"{base}/metrics", headers={"accept": "application/json"})
        assert figures.headers["content-type"] == "application/json"
        assert isinstance(figures.json(), dict)


async def test_metrics_off_on_the_public_port(make_server: MakeServer, http: httpx.AsyncClient) -> None:
    server = await make_server(metrics_public=False)
    assert_error(await http.get(f"{server.url}/metrics"), 404, "NOT_FOUND")
    assert (await http.get(f"{server.admin_url}/metrics")).status_code == 200


# -- emit: who may


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": f"Bearer {PLANTED}"},
        {"authorization": f"Bearer {API_TOKEN}x"},
        {"authorization": f"Bearer {API_TOKEN[:-1]}"},
        {"authorization": f"Bearer {API_TOKEN.upper()}"},
        {"authorization": API_TOKEN},
        {"authorization": f"Basic {API_TOKEN}"},
        {"x-api-token": API_TOKEN},
    ],
)
async def test_emit_needs_the_token(server: RunningServer, http: httpx.AsyncClient, headers: dict[str, str]) -> None:
    for base in (server.url, server.admin_url):
        answer = await http.post(f"{base}/api/emit", json=NOTICE, headers=headers)
        assert_error(answer, 401, "UNAUTHORIZED")
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_token_is_not_taken_from_the_address(server: RunningServer, http: httpx.AsyncClient) -> None:
    answer = await http.post(f"{server.url}/api/emit?token={API_TOKEN}&access_token={API_TOKEN}", json=NOTICE)
    assert_error(answer, 401, "UNAUTHORIZED")


async def test_any_of_several_tokens_will_do(make_server: MakeServer, http: httpx.AsyncClient) -> None:
    server = await make_server(api_token="old, new,schlüssel")
    for token, status in (("old", 202), ("new", 202), ("schlüssel", 202), ("old, new", 401), ("o", 401)):
        headers = {b"authorization": f"bearer {token}".encode()}
        answer = await http.post(f"{server.url}/api/emit", json=NOTICE, headers=headers)
        assert answer.status_code == status


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


async def test_wrong_events_are_told_and_nothing_is_sent(
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


@pytest.mark.parametrize("body", [b"", b"{", b"planted-secret", b"\xff\xfe", b'"\\ud800"', b"[" * 5_000 + b"]" * 5_000])
async def test_body_that_is_not_json(server: RunningServer, http: httpx.AsyncClient, body: bytes) -> None:
    assert_error(await http.post(f"{server.url}/api/emit", content=body, headers=BEARER), 400, "INVALID_JSON")


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


async def test_deep_body(server: RunningServer, http: httpx.AsyncClient) -> None:
    for depth in (90, 101, 252, 400, 1_000):
        body = b'{"event":"notification","userId":"u1","notification":{"x":' + b"[" * depth + b"]" * depth + b"}}"
        answer = await http.post(f"{server.url}/api/emit", content=body, headers=BEARER)
        assert answer.status_code == (202 if depth == 90 else 422), answer.text
        assert len(answer.text) < 1_000


async def test_body_that_is_too_large(server: RunningServer, http: httpx.AsyncClient) -> None:
    fits = json.dumps({**NOTICE, "notification": {"x": "x" * 900_000}})
    assert (await http.post(f"{server.url}/api/emit", content=fits, headers=BEARER)).status_code == 202
    large = json.dumps({**NOTICE, "notification": {"x": "x" * 1_000_000}})
    assert_error(await http.post(f"{server.url}/api/emit", content=large, headers=BEARER), 413, "TOO_LARGE")

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 100_000

    answer = await http.post(f"{server.url}/api/emit", content=chunks(), headers=BEARER)
    assert_error(answer, 413, "TOO_LARGE")


async def test_large_body_of_a_stranger_is_not_read(server: RunningServer, http: httpx.AsyncClient) -> None:
    answer = await http.post(f"{server.url}/api/emit", content=b"x" * 3_000_000)
    assert_error(answer, 401, "UNAUTHORIZED")


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


# -- what is not there


async def test_unknown_routes(server: RunningServer, http: httpx.AsyncClient) -> None:
    for path in ("/", f"/{PLANTED}", "/api", "/api/emit/", "/admin", "/health/other", "/../etc/passwd", "/socket.iox"):
        answer = await http.get(server.url + path, follow_redirects=True)
        if path == "/api/emit/":
            assert answer.status_code in (404, 405)
        else:
            assert_error(answer, 404, "NOT_FOUND")
    assert_error(await http.get(f"{server.admin_url}/socket.io/?EIO=4&transport=polling"), 404, "NOT_FOUND")


async def test_admin_is_not_on_the_public_port(make_server: MakeServer, http: httpx.AsyncClient) -> None:
    server = await make_server(admin_token="t")
    for path in ("/admin/stats", "/admin/sessions", "/admin/sessions/revoke"):
        assert_error(await http.get(server.url + path, headers={"authorization": "Bearer t"}), 404, "NOT_FOUND")


async def test_wrong_methods(server: RunningServer, http: httpx.AsyncClient) -> None:
    for method, path, allowed in (
        ("GET", "/api/emit", "POST"),
        ("DELETE", "/api/emit", "POST"),
        ("POST", "/health", "GET"),
        ("PUT", "/metrics", "GET"),
    ):
        answer = await http.request(method, server.url + path, headers=BEARER)
        assert_error(answer, 405, "METHOD_NOT_ALLOWED")
        assert allowed in answer.headers["allow"]


async def test_head_is_get_without_a_body(server: RunningServer, http: httpx.AsyncClient) -> None:
    answer = await http.head(f"{server.url}/health")
    assert (answer.status_code, answer.content) == (200, b"")


async def test_websocket_elsewhere_is_refused(server: RunningServer, caplog: pytest.LogCaptureFixture) -> None:
    for base in (server.url, server.admin_url):
        with pytest.raises(InvalidStatus) as caught:
            await open_websocket(base.replace("http", "ws", 1) + "/other", proxy=None)
        assert caught.value.response.status_code == 404
        assert json.loads(caught.value.response.body or b"")["code"] == "NOT_FOUND"
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_bug_in_a_route_is_told_without_its_text(make_server: MakeServer, http: httpx.AsyncClient) -> None:
    def add(server: WebSocketServer) -> None:
        async def fail(request: Request) -> Response:
            raise RuntimeError(PLANTED)

        server.add_public_routes([Route("/fail", fail)])

    server = await make_server(add)
    answer = await http.get(f"{server.url}/fail")
    assert_error(answer, 500, "INTERNAL")
    assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["x-request-id"])
    assert (await http.get(f"{server.url}/health")).status_code == 200


async def test_every_answer_has_a_request_id_of_its_own(server: RunningServer, http: httpx.AsyncClient) -> None:
    answers = [await http.get(server.url + path) for path in ("/health", "/health", "/none", "/metrics")]
    answers.append(await http.get(f"{server.url}/health", headers={"x-request-id": PLANTED}))
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == len(answers)
    assert all(re.fullmatch(r"[0-9a-f]{16}", one) for one in ids)
    assert all(answer.headers.get_list("x-content-type-options") == ["nosniff"] for answer in answers)
    assert all("server" not in answer.headers for answer in answers)


async def test_client_that_goes_away_in_the_middle_disturbs_nobody(
    server: RunningServer, http: httpx.AsyncClient
) -> None:
    port = int(server.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /api/emit HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {API_TOKEN}\r\ncontent-length: 100\r\n\r\n"
    writer.write(head.encode() + b'{"half":')
    await writer.drain()
    writer.transport.abort()
    assert await reader.read() == b""
    assert (await http.get(f"{server.url}/health")).status_code == 200


# -- admin


async def test_admin_without_a_token_is_for_this_machine(server: RunningServer, http: httpx.AsyncClient) -> None:
    assert (await http.get(f"{server.admin_url}/admin/stats")).status_code == 200
    for headers in (
        {"x-forwarded-for": "127.0.0.1"},
        {"x-forwarded-for": PLANTED},
        {"forwarded": "for=127.0.0.1"},
        {"x-forwarded-for": "127.0.0.1", "authorization": "Bearer x"},
    ):
        for path in ("/admin/stats", "/admin/sessions"):
            assert_error(await http.get(server.admin_url + path, headers=headers), 403, "FORBIDDEN")
        answer = await http.post(f"{server.admin_url}/admin/sessions", json={"userId": "u1"}, headers=headers)
        assert_error(answer, 403, "FORBIDDEN")


async def test_admin_with_a_token(make_server: MakeServer, http: httpx.AsyncClient) -> None:
    server = await make_server(admin_token="one,two")
    for path in ("/admin/stats", "/admin/sessions"):
        url = server.admin_url + path
        assert_error(await http.get(url), 401, "UNAUTHORIZED")
        assert_error(await http.get(url, headers=BEARER), 401, "UNAUTHORIZED")
        for token in ("one", "two"):
            headers = {"authorization": f"Bearer {token}", "x-forwarded-for": "203.0.113.9"}
            assert (await http.get(url, headers=headers)).status_code == 200
    for path in ("/admin/sessions", "/admin/sessions/revoke"):
        assert_error(await http.post(server.admin_url + path, json={}), 401, "UNAUTHORIZED")


async def test_sessions_are_made_listed_and_ended(
    server: RunningServer, http: httpx.AsyncClient, stock_clients: StockClients
) -> None:
    body = {"userId": "u1", "tier": "premium", "name": "Ann", "email": "ann@example.com", "maxAge": 600}
    answer = await http.post(f"{server.admin_url}/admin/sessions", json=body)
    assert answer.status_code == 201
    made = answer.json()
    assert set(made) == {"sessionID", "userId", "expiresAt"}
    client = await stock_clients.connect(server.url, made, **FAST)
    await http.post(f"{server.admin_url}/admin/sessions", json={"userId": "u2"})
    listed = (await http.get(f"{server.admin_url}/admin/sessions", params={"userId": "u1"})).json()["sessions"]
    (one,) = listed
    assert set(one) == {"handle", "userId", "tier", "isAdmin", "expiresAt"}
    assert (one["userId"], one["tier"], one["isAdmin"]) == ("u1", "premium", False)
    assert abs(one["expiresAt"] - made["expiresAt"]) <= 1  # rounded on its way
    everything = await http.get(f"{server.admin_url}/admin/sessions")
    assert len(everything.json()["sessions"]) == 2
    assert made["sessionID"] not in everything.text
    assert "Ann" not in everything.text
    assert "ann@" not in everything.text
    revoke = f"{server.admin_url}/admin/sessions/revoke"
    assert (await http.post(revoke, json={"handle": one["handle"]})).json() == {"revoked": 1}
    assert (await client.wait_for("error"))[0]["code"] == "SESSION_NOT_FOUND"
    assert await client.wait_disconnect() == "io server disconnect"
    assert (await http.post(revoke, json={"sessionID": made["sessionID"]})).json() == {"revoked": 0}
    assert (await http.post(revoke, json={"userId": "u2"})).json() == {"revoked": 1}
    assert (await http.get(f"{server.admin_url}/admin/sessions")).json() == {"sessions": []}


NO_SESSIONS: list[Any] = [
    *(None, [], {}, {"userId": True}),
    *({"userId": "u", "tier": PLANTED}, {"userId": "u", "maxAge": 1e9}),
]
NO_CHOICES: list[Any] = [None, [], {}, {"userId": True}, {"other": PLANTED}, {"userId": "u", "handle": "h"}]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        *(("/admin/sessions", body) for body in NO_SESSIONS),
        *(("/admin/sessions/revoke", body) for body in NO_CHOICES),
    ],
)
async def test_nonsense_about_sessions(server: RunningServer, http: httpx.AsyncClient, path: str, body: Any) -> None:
    answer = await http.post(server.admin_url + path, content=json.dumps(body))
    assert_error(answer, 422, "INVALID_REQUEST")


@pytest.mark.redis
async def test_sessions_without_their_store(
    make_server: MakeServer, own_redis: RedisServer, http: httpx.AsyncClient
) -> None:
    server = await make_server(redis_url=own_redis.url, redis_timeout=0.3)
    await own_redis.kill()
    sessions = f"{server.admin_url}/admin/sessions"
    assert_error(await http.get(sessions), 503, "UNAVAILABLE")
    assert_error(await http.post(sessions, json={"userId": "u1"}), 503, "UNAVAILABLE")
    assert_error(await http.post(f"{sessions}/revoke", json={"userId": "u1"}), 503, "UNAVAILABLE")


async def test_stats_tell_how_the_server_runs(server: RunningServer, http: httpx.AsyncClient) -> None:
    stats = (await http.get(f"{server.admin_url}/admin/stats")).json()
    assert stats["server"] == {
        "mode": "single",
        "sessionStore": "memory",
        "transports": ["websocket", "polling"],
        "draining": False,
        "limiterFallback": False,
    }


# -- TLS


async def test_plain_requests_are_refused_where_tls_is_required(
    make_server: MakeServer, http: httpx.AsyncClient
) -> None:
    server = await make_server(require_tls=True)
    handshake = "/socket.io/?EIO=4&transport=polling"
    for headers in ({}, {"x-forwarded-proto": "http"}, {"x-forwarded-proto": "http, https"}):
        for path in ("/metrics", handshake, "/none"):
            assert_error(await http.get(server.url + path, headers=headers), 403, "TLS_REQUIRED")
        answer = await http.post(f"{server.url}/api/emit", json=NOTICE, headers={**BEARER, **headers})
        assert_error(answer, 403, "TLS_REQUIRED")
    for path in ("/health", "/health/redis", "/health/database"):
        assert (await http.get(server.url + path)).status_code == 200
    for value in ("https", "HTTPS", "wss", "https, http"):
        headers = {"x-forwarded-proto": value}
        for path in ("/metrics", handshake):
            assert (await http.get(server.url + path, headers=headers)).status_code == 200
    assert (await http.get(f"{server.admin_url}/admin/stats")).status_code == 200
    ws = server.url.replace("http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket"
    with pytest.raises(InvalidStatus) as caught:
        await open_websocket(ws, proxy=None)
    assert caught.value.response.status_code == 403
    async with open_websocket(ws, proxy=None, additional_headers={"x-forwarded-proto": "https"}) as socket:
        assert str(await socket.recv()).startswith("0{")


async def test_server_with_a_certificate(make_server: MakeServer, tmp_path: Path, stock_clients: StockClients) -> None:
    pem = make_certificates(tmp_path)
    server = await make_server(ssl_certfile=pem.server_cert, ssl_keyfile=pem.server_key, require_tls=True)
    url = server.url.replace("http", "https", 1)
    async with httpx.AsyncClient(trust_env=False, verify=ssl.create_default_context(cafile=pem.ca)) as http:
        assert (await http.get(f"{url}/health")).status_code == 200
        assert (await http.get(f"{url}/metrics")).status_code == 200
    ca = await asyncio.to_thread(Path(pem.ca).read_text)
    for transports in (["websocket"], ["polling"]):
        client = await stock_clients.connect(url, await server.session("u1"), transports, ca=ca, **FAST)
        await assert_alive(client)


# -- CORS


async def preflight(http: httpx.AsyncClient, url: str, origin: str) -> httpx.Response:
    headers = {"origin": origin, "access-control-request-method": "POST"}
    return await http.options(f"{url}/socket.io/?EIO=4&transport=polling", headers=headers)


async def test_allowed_origins_may_connect_with_credentials(make_server: MakeServer, http: httpx.AsyncClient) -> None:
    server = await make_server(cors_origin="https://a.example,http://localhost:3000")
    url = f"{server.url}/socket.io/?EIO=4&transport=polling"
    for origin in ("https://a.example", "http://localhost:3000"):
        before, after = await preflight(http, server.url, origin), await http.get(url, headers={"origin": origin})
        assert (before.status_code, after.status_code) == (204, 200)
        assert "POST" in before.headers["access-control-allow-methods"]
        for answer in (before, after):
            assert answer.headers["access-control-allow-origin"] == origin
            assert answer.headers["access-control-allow-credentials"] == "true"


@pytest.mark.parametrize("origin", ["https://b.example", "http://a.example", "https://a.example.evil.test", "null"])
async def test_other_origins_are_refused(make_server: MakeServer, http: httpx.AsyncClient, origin: str) -> None:
    server = await make_server(cors_origin="https://a.example")
    url = f"{server.url}/socket.io/?EIO=4&transport=polling"
    answer = await http.get(url, headers={"origin": origin})
    assert answer.status_code == 400
    assert "access-control-allow-origin" not in answer.headers
    with pytest.raises(InvalidStatus) as caught:
        await open_websocket(
            url.replace("http", "ws", 1).replace("polling", "websocket"),
            proxy=None,
            additional_headers={"origin": origin},
        )
    assert caught.value.response.status_code in (400, 403)


async def test_page_that_may_not_connect_is_told_of_once(make_server: MakeServer, http: httpx.AsyncClient) -> None:
    server = await make_server(cors_origin="https://a.example,https://*.b.example")
    url = f"{server.url}/socket.io/?EIO=4&transport=polling"
    ws = url.replace("http", "ws", 1).replace("polling", "websocket")
    with structlog.testing.capture_logs() as lines:
        await http.get(url, headers={"origin": "http://a.example"})
        for origin in ("https://x.y.b.example", f"https://user:{PLANTED}@a.example"):
            with pytest.raises(InvalidStatus):
                await open_websocket(ws, proxy=None, additional_headers={"origin": origin})
    told = [(line["reason"], line["origin"]) for line in lines if "origin" in line]
    assert told == [
        ("other_scheme_or_port", "http://a.example"),
        ("other_host", "https://…"),
        ("malformed", ""),
    ]
    text = (await http.get(f"{server.admin_url}/metrics")).text
    counted = dict(re.findall(r'tradecast_origins_refused_total\{reason="(\w+)"\} (\S+)', text))
    assert counted.pop("other") == "0.0"
    assert counted == {"other_scheme_or_port": "1.0", "other_host": "1.0", "malformed": "1.0", "opaque": "0.0"}


@pytest.mark.parametrize("origin", ["https://shop.b.example", "wss://A.example:443", "capacitor://localhost", "null"])
async def test_origins_however_they_are_written(make_server: MakeServer, http: httpx.AsyncClient, origin: str) -> None:
    server = await make_server(cors_origin="HTTPS://a.example:443,https://*.b.example,capacitor://localhost,null")
    answer = await http.get(f"{server.url}/socket.io/?EIO=4&transport=polling", headers={"origin": origin})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == origin
    ws = server.url.replace("http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket"
    async with open_websocket(ws, proxy=None, additional_headers={"origin": origin}) as socket:
        assert str(await socket.recv()).startswith("0{")


async def test_without_the_setting_only_the_same_origin(server: RunningServer, http: httpx.AsyncClient) -> None:
    url = f"{server.url}/socket.io/?EIO=4&transport=polling"
    assert (await http.get(url, headers={"origin": server.url})).status_code == 200
    assert (await http.get(url)).status_code == 200, "what is no browser has no origin"
    assert (await http.get(url, headers={"origin": "https://a.example"})).status_code == 400


async def test_any_origin(make_server: MakeServer, http: httpx.AsyncClient) -> None:
    server = await make_server(cors_origin="*")
    url = f"{server.url}/socket.io/?EIO=4&transport=polling"
    answer = await http.get(url, headers={"origin": "https://whoever.example"})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] in ("*", "https://whoever.example")


# -- what is no handshake


@pytest.mark.parametrize(
    "query",
    [
        "",
        "EIO=4",
        "transport=polling",
        "EIO=3&transport=polling",
        "EIO=x&transport=polling",
        "EIO=4&transport=carrier-pigeon",
        "EIO=4&transport=websocket",
        f"EIO=4&transport=polling&sid={PLANTED}",
        f"EIO=4&transport={PLANTED}",
        "EIO=4&transport=polling&sid=%00%ff",
        "EIO=4&transport=polling&EIO=3",
        "%ff%fe",
    ],
)
async def test_bad_handshake(server: RunningServer, http: httpx.AsyncClient, query: str) -> None:
    answer = await http.get(f"{server.url}/socket.io/?{query}")
    if query == "EIO=4&transport=polling&EIO=3":
        assert answer.status_code in (200, 400)
        return
    assert answer.status_code == 400
    assert PLANTED not in answer.text
    assert "Traceback" not in answer.text
    assert server.app.get_total_connection_count() == 0


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_bad_request_to_the_engine(
    server: RunningServer, http: httpx.AsyncClient, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    for query in ("EIO=4&transport=polling", f"EIO=4&transport=polling&sid={PLANTED}"):
        answer = await http.request(method, f"{server.url}/socket.io/?{query}", content=b"40")
        assert answer.status_code in (400, 405)
        assert PLANTED not in answer.text
    # anybody can send this: it is no error of the server's
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize("query", ["EIO=4&transport=polling", "EIO=4&transport=polling&sid=x", "transport=polling"])
async def test_polling_that_is_off_is_told_in_words_in_the_log_and_in_a_metric(
    make_server: MakeServer, http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, query: str
) -> None:
    server = await make_server(transports=("websocket",), cors_origin=("https://a.example",))
    for _ in range(30):
        answer = await http.get(f"{server.url}/socket.io/?{query}", headers={"origin": "https://a.example"})
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["access-control-allow-origin"] == "https://a.example", "a page can read why"
        assert answer.json()["code"] == 0
        assert "polling is off" in answer.json()["message"]
    assert refused_transports(server) == {"polling_off": 30}
    lines = [record for record in caplog.records if "begins with polling" in record.getMessage()]
    assert [record.levelname for record in lines] == ["WARNING"]


async def test_websocket_that_is_off_is_told_as_well(make_server: MakeServer, http: httpx.AsyncClient) -> None:
    server = await make_server(transports=("polling",))
    with pytest.raises(InvalidStatus) as caught:
        await open_websocket(server.url.replace("http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket", proxy=None)
    assert caught.value.response.status_code == 400
    assert "websocket is off" in json.loads(caught.value.response.body)["message"]
    assert refused_transports(server) == {"websocket_off": 1}


async def test_transport_that_nobody_has_is_no_reason_to_remind_anybody(
    make_server: MakeServer, http: httpx.AsyncClient
) -> None:
    server = await make_server(transports=("websocket",))
    answer = await http.get(f"{server.url}/socket.io/?EIO=4&transport=pigeon")
    assert (answer.status_code, answer.json()) == (400, {"code": 0, "message": "Transport unknown"})
    assert refused_transports(server) == {}


def refused_transports(server: RunningServer) -> dict[str, float]:
    get = server.app.metrics.registry.get_sample_value
    found = {why: get("tradecast_transports_refused_total", {"reason": why}) for why in TRANSPORT_REASONS}
    return {why: count for why, count in found.items() if count}


# -- a full server


@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_full_server_is_tried_again(
    make_server: MakeServer, http: httpx.AsyncClient, stock_clients: StockClients, transport: str
) -> None:
    server = await make_server(max_connections=1)
    first = await stock_clients.connect(server.url, await server.session("u1"), [transport], **FAST)
    second = await stock_clients.open(server.url, await server.session("u2"), [transport], **FAST)
    await second.wait_connect_error()
    await second.wait_reconnect_attempt()
    assert not second.final
    answer = await http.get(f"{server.url}/socket.io/?EIO=4&transport=polling")
    assert_error(answer, 503, "SERVER_BUSY")
    assert int(answer.headers["retry-after"]) >= 1
    with pytest.raises(InvalidStatus) as caught:
        await open_websocket(server.url.replace("http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket", proxy=None)
    assert caught.value.response.status_code == 503
    assert json.loads(caught.value.response.body or b"")["code"] == "SERVER_BUSY"
    assert (await http.get(f"{server.url}/health")).status_code == 200
    await assert_alive(first)
    await first.disconnect()
    await second.wait_connect()
    await assert_alive(second)


async def test_refusal_may_be_read_by_an_allowed_origin(make_server: MakeServer, http: httpx.AsyncClient) -> None:
    """A browser shows an answer without CORS headers as a network error; it comes back all the same."""
    server = await make_server(max_connections=1, cors_origin="https://a.example")
    url = f"{server.url}/socket.io/?EIO=4&transport=polling"
    assert (await http.get(url)).status_code == 200
    assert (await preflight(http, server.url, "https://a.example")).status_code == 204
    assert (await http.get(url, headers={"origin": "https://a.example"})).status_code == 503


async def test_connection_that_ends_makes_room(make_server: MakeServer, http: httpx.AsyncClient) -> None:
    server = await make_server(max_connections=2)
    url = server.url.replace("http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket"
    async with open_websocket(url, proxy=None), open_websocket(url, proxy=None):
        with pytest.raises(InvalidStatus):
            await open_websocket(url, proxy=None)
    await eventually(_is_not_full(server))
    async with open_websocket(url, proxy=None) as socket:
        assert str(await socket.recv()).startswith("0{")


def _is_not_full(server: RunningServer) -> Callable[[], bool]:
    return lambda: not server.app.components.gate._capacity.is_full()
