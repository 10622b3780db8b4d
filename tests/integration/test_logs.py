"""What a whole run writes: JSON lines only, and nothing of what was planted, at the most talkative level."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed, InvalidStatus

from kit.clients.interface import Refused
from kit.clients.node import StockClients
from kit.servers.process import ServeProcess, serving
from kit.servers.redis_server import RedisServer, started
from protocol.contract import FAST, assert_alive
from tradecast.sessions.signing import sign_session_id

API = "plantedapitoken8121"
ADMIN = "plantedadmintoken8122"
SIGNER = "plantedsessionsecret8123"
PASSWORD = "plantedpassword8124"
NAME = "Plantedname Surname"
EMAIL = "planted.address@mail.example"
ADDRESS = "203.0.113.77"
ADDRESS_6 = "2001:db8::8125"
UNKNOWN_SESSION = "plantedunknownsession8126"
QUERY = "plantedquery8127"
PATH = "plantedpath8128"
EVENT = "plantedevent8129"
PAYLOAD = "plantedpayload8130"
HEADER = "plantedheader8131"
GARBAGE = "plantedgarbage8132"
MONGO_USER = "planteduser8133"
SENTRY_KEY = "plantedsentrykey8134"

PLANTED = [value for name, value in list(globals().items()) if name.isupper() and isinstance(value, str)]
HEADERS = {
    "X-Forwarded-For": f"{ADDRESS}, {ADDRESS_6}",
    "X-Real-IP": ADDRESS,
    "Forwarded": f"for={ADDRESS}",
    "Cookie": f"connect.sid={HEADER}",
    "User-Agent": HEADER,
    "Referer": f"https://{HEADER}.example/",
}


def assert_tells_nothing(server: ServeProcess, secrets: list[str]) -> list[dict[str, Any]]:
    """No secret in any form in what was written, and every line of the log is a JSON object with the usual fields."""
    text = "\n".join([*server.out, *server.err])
    for secret in secrets:
        assert secret, "there is nothing to look for"
        for form in {secret, quote(secret), json.dumps(secret)[1:-1], secret.lower()}:
            found = [line for line in text.splitlines() if form in line]
            assert found == [], f"{form!r} is in the log"
    # where Redis and MongoDB are is told, in words of our own, and here they are on the clients' machine
    elsewhere = re.sub(r'"why":"(Redis|MongoDB) at [^"]*"', "", text)
    assert not re.search(r"\b127\.0\.0\.1\b", elsewhere), "that is where the clients are"
    assert server.out == []
    lines = [json.loads(line) for line in server.err]
    for line in lines:
        assert {"timestamp", "level", "logger", "event"} <= set(line), line
        assert line["level"] in ("debug", "info", "warning", "error", "critical")
    return lines


def events(lines: list[dict[str, Any]]) -> set[str]:
    return {line["event"] for line in lines}


async def poll_handshake(http: httpx.AsyncClient, url: str) -> str:
    """Open an Engine.IO connection by hand; its sid, which over polling is as good as a password."""
    answer = await http.get(f"{url}/socket.io/?EIO=4&transport=polling&{QUERY}={QUERY}")
    return str(json.loads(answer.text[1:])["sid"])


async def raw(url: str, data: bytes) -> None:
    """Send bytes to the port and read what comes until it closes, or nothing comes any more."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(2):
            await reader.read()
    writer.transport.abort()


async def http_mischief(server: ServeProcess, http: httpx.AsyncClient) -> list[str]:
    """Requests that fail, each with something planted; the sids that were given."""
    url, bearer = server.url, {"authorization": f"Bearer {API}"}
    notice = {"event": "notification", "userId": "u1", "notification": {"text": PAYLOAD, "email": EMAIL}}
    assert (await http.post(f"{url}/api/emit", json=notice, headers=bearer)).status_code == 202
    for headers in ({}, {"authorization": f"Bearer {GARBAGE}"}, {"authorization": f"Basic {GARBAGE}"}):
        assert (await http.post(f"{url}/api/emit?t={QUERY}", json=notice, headers=headers)).status_code == 401
    for body, status in (
        (GARBAGE, 400),
        (json.dumps({GARBAGE: EMAIL}), 422),
        (json.dumps({**notice, GARBAGE: 1, "notification": PAYLOAD}), 422),
        (json.dumps({**notice, "notification": {"x": PAYLOAD * 80_000}}), 413),
    ):
        assert (await http.post(f"{url}/api/emit", content=body, headers=bearer)).status_code == status
    for method, path in (("GET", f"/{PATH}?{QUERY}"), ("DELETE", f"/health?{QUERY}"), ("GET", f"/metrics?{QUERY}")):
        await http.request(method, url + path)
    for path in (f"/admin/{PATH}", f"/admin/sessions?userId={PAYLOAD}", "/admin/stats"):
        await http.get(server.admin_url + path, headers={"authorization": f"Bearer {GARBAGE}"})
    bad = {"userId": "u1", "tier": PAYLOAD, "email": EMAIL, "name": NAME}
    answer = await http.post(
        f"{server.admin_url}/admin/sessions", json=bad, headers={"authorization": f"Bearer {ADMIN}"}
    )
    assert answer.status_code == 422
    sids = [await poll_handshake(http, url) for _ in range(3)]
    engine = f"{url}/socket.io/?EIO=4&transport=polling&sid="
    for sid, body in (
        (sids[0], GARBAGE),
        (sids[1], f"40{{{GARBAGE}"),
        (sids[2], f"4{GARBAGE}"),
        (UNKNOWN_SESSION, GARBAGE),
    ):
        await http.post(engine + sid, content=body)
    await http.get(engine + UNKNOWN_SESSION)
    await http.get(f"{url}/socket.io/?EIO=3&transport={QUERY}")
    await http.get(engine + sids[0], headers={"origin": f"https://{HEADER}.example"})
    for data in (
        f"{GARBAGE}\r\n\r\n".encode(),
        f"GET /{PATH} HTTP/9.9\r\n{HEADER}\r\n\r\n".encode(),
        f"POST /api/emit HTTP/1.1\r\nhost: x\r\ncontent-length: {GARBAGE}\r\n\r\n".encode(),
        f"GET /socket.io/?EIO=4&transport=websocket&{QUERY} HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\n"
        f"connection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: {GARBAGE}\r\n\r\n".encode(),
    ):
        await raw(url, data)
    return sids


async def websocket_mischief(server: ServeProcess, session: dict[str, str]) -> None:
    """Packets that are none, each with something planted, on a transport of their own."""
    url = server.url.replace("http", "ws", 1)
    handshake = f"{url}/socket.io/?EIO=4&transport=websocket&token={QUERY}"
    claims = json.dumps(session)
    for packet in (
        GARBAGE,
        f"4{GARBAGE}",
        f"42[{GARBAGE}",
        f'42{{"{GARBAGE}":1}}',
        f'42["{EVENT}"',
        f'451-["{EVENT}",{{"_placeholder":true,"num":5}}]',
        "42" + "[" * 5_000,
        f'40/{GARBAGE},{{"sessionID":"{UNKNOWN_SESSION}"}}',
        f'43["{GARBAGE}"]',
        GARBAGE.encode(),
    ):
        for joined in (True, False):
            async with open_websocket(handshake, proxy=None, additional_headers=HEADERS, user_agent_header=None) as ws:
                await ws.recv()
                with contextlib.suppress(ConnectionClosed, TimeoutError):
                    if joined:
                        await ws.send(f"40{claims}")
                        await ws.recv()
                    await ws.send(packet)
                    async with asyncio.timeout(0.3):  # what comes back, if anything
                        while True:
                            await ws.recv()
    for path in (f"/{PATH}?{QUERY}", f"/socket.io/?EIO=4&transport=websocket&sid={UNKNOWN_SESSION}"):
        with contextlib.suppress(InvalidStatus, ConnectionClosed):
            async with open_websocket(url + path, proxy=None, additional_headers=HEADERS) as ws:
                await ws.recv()


@pytest.mark.redis
@pytest.mark.timeout(240)
async def test_a_whole_run_reports_no_secret(stock_clients: StockClients) -> None:
    redis_server = started("--requirepass", PASSWORD)
    try:
        await run(stock_clients, redis_server)
    finally:
        redis_server.close()


async def run(stock_clients: StockClients, redis_server: RedisServer) -> None:
    variables = {
        "REDIS_URL": f"redis://:{PASSWORD}@127.0.0.1:{redis_server.port}/0",
        "REDIS_TIMEOUT": "3",
        "TRANSPORTS": "websocket,polling",
        "SESSION_SECRETS": SIGNER,
        "API_TOKEN": API,
        "ADMIN_TOKEN": ADMIN,
        "LOG_LEVEL": "debug",
        "RATE_LIMIT_REFRESH": "3",
    }
    secrets = list(PLANTED)
    options: dict[str, Any] = {**FAST, "extraHeaders": HEADERS, "query": {"q": QUERY}}
    async with (
        serving(**variables) as server,
        httpx.AsyncClient(trust_env=False, timeout=30, headers=HEADERS) as http,
    ):

        async def make(user_id: str, **more: Any) -> dict[str, str]:
            body = {"userId": user_id, "name": NAME, "email": EMAIL, "tier": "premium", **more}
            headers = {"authorization": f"Bearer {ADMIN}"}
            answer = await http.post(f"{server.admin_url}/admin/sessions", json=body, headers=headers)
            assert answer.status_code == 201
            session_id = answer.json()["sessionID"]
            signed = sign_session_id(session_id, SIGNER)
            secrets.extend((session_id, signed, signed.rpartition(".")[2]))
            return {"sessionID": signed, "userId": user_id}

        session, admin = await make("u1"), await make("boss", isAdmin=True)
        clients = [
            await stock_clients.connect(server.url, session, transports, **options)
            for transports in (["websocket"], ["polling"], ["polling", "websocket"])
        ]
        secrets.extend(str(client.sid) for client in clients)
        # refusals
        for claims in (
            {"sessionID": UNKNOWN_SESSION, "userId": "u1"},
            {"sessionID": f"s:{UNKNOWN_SESSION}.{GARBAGE}", "userId": "u1"},
            {"sessionID": session["sessionID"], "userId": GARBAGE},
            {"sessionID": {GARBAGE: EMAIL}, "userId": [NAME]},
            {"token": GARBAGE},
        ):
            with pytest.raises(Refused):
                await stock_clients.connect(server.url, claims, ["websocket"], **options)
        # events
        client = clients[0]
        await client.call(EVENT, {"email": EMAIL})
        for name in ("portfolio", "trades", "watchlist"):
            await client.call(f"subscribe:{name}", {"symbol": PAYLOAD, "userId": "u1"})
            await client.call(f"subscribe:{name}", PAYLOAD)
        await client.call("subscribe:portfolio", {"userId": PAYLOAD})
        await client.call("subscribe:watchlist", {"symbols": [PAYLOAD, EMAIL, "AAPL", {}]})
        for _ in range(5):  # the last are too many
            await client.call("session:refresh", {"sessionID": UNKNOWN_SESSION})
        boss = await stock_clients.connect(server.url, admin, ["websocket"], **options)
        await boss.call("admin:broadcast", {"event": "news", "data": {"text": PAYLOAD}})
        await boss.call("admin:broadcast", {"event": f"{EVENT} {EMAIL}", "data": PAYLOAD})
        # what is no request, and no packet
        secrets.extend(await http_mischief(server, http))
        await websocket_mischief(server, session)
        # a session that ends
        short = await stock_clients.connect(server.url, await make("u2"), ["websocket"], **options)
        body = {"userId": "u2"}
        headers = {"authorization": f"Bearer {ADMIN}"}
        await http.post(f"{server.admin_url}/admin/sessions/revoke", json=body, headers=headers)
        await short.wait_disconnect()
        # Redis dies in the middle
        for one in clients:
            await assert_alive(one)
        await redis_server.kill()
        await client.call("subscribe:trades")
        waiting = await stock_clients.open(server.url, session, ["websocket"], **options)
        await waiting.wait_reconnect_attempt()
        notice = {"event": "notification", "userId": "u1", "notification": {"text": PAYLOAD}}
        answer = await http.post(f"{server.url}/api/emit", json=notice, headers={"authorization": f"Bearer {API}"})
        assert answer.status_code == 503
        assert (await http.get(f"{server.url}/health/redis")).status_code == 503
        answer = await http.get(f"{server.admin_url}/admin/sessions", headers=headers)
        assert answer.status_code == 503
        await server.log("limits are kept in memory: Redis does not answer")
        await redis_server.start()
        await server.log("limits are kept in Redis again")
        server.send(signal.SIGTERM)
        assert await server.ended() == 0
        lines = assert_tells_nothing(server, secrets)
    # and it was not silent: what happened is there, with ids that are no secrets
    told = events(lines)
    assert {
        "listening",
        "connected",
        "connection refused",
        "connection deferred: the session store does not answer",
        "event refused",
        "malformed packet",
        "session ended",
        "disconnected",
        "request",
        "admin broadcast",
        "stopping",
        "shut down",
    } <= told, told
    assert {line["user_id"] for line in lines if line["event"] == "connected"} == {"u1", "u2", "boss"}
    assert all(line.get("request_id") for line in lines if line["event"] == "request")
    assert any(line["level"] == "debug" for line in lines)


@pytest.mark.redis
async def test_services_that_refuse_tell_no_password(stock_clients: StockClients) -> None:
    """Wrong passwords in the addresses of Redis and MongoDB, and errors that Sentry cannot be told of."""
    redis_server = started("--requirepass", "right")
    variables = {
        "REDIS_URL": f"redis://{MONGO_USER}:{PASSWORD}@127.0.0.1:{redis_server.port}/0",
        "REDIS_TIMEOUT": "0.3",
        "MONGODB_URI": f"mongodb://{MONGO_USER}:{PASSWORD}@127.0.0.1:1/?authSource=admin",
        "MONGODB_TIMEOUT": "0.3",
        "LOG_LEVEL": "debug",
        "API_TOKEN": API,
        "ADMIN_TOKEN": ADMIN,
        "SENTRY_DSN": f"http://{SENTRY_KEY}@127.0.0.1:1/1",
    }
    try:
        async with serving(**variables) as server:
            claims = {"sessionID": UNKNOWN_SESSION, "userId": "u1"}
            client = await stock_clients.open(server.url, claims, ["websocket"], **FAST, extraHeaders=HEADERS)
            for _ in range(3):
                await client.wait_reconnect_attempt()
            async with httpx.AsyncClient(trust_env=False, timeout=30, headers=HEADERS) as http:
                for name in ("redis", "database"):
                    answer = await http.get(f"{server.url}/health/{name}")
                    assert (answer.status_code, answer.json()["status"]) == (503, "down")
                    assert PASSWORD not in answer.text
                body = {"userId": "u1", "name": NAME, "email": EMAIL}
                headers = {"authorization": f"Bearer {ADMIN}"}
                answer = await http.post(f"{server.admin_url}/admin/sessions", json=body, headers=headers)
                assert answer.status_code == 503
                notice = {"event": "notification", "userId": "u1", "notification": {"text": PAYLOAD}}
                headers = {"authorization": f"Bearer {API}"}
                answer = await http.post(f"{server.url}/api/emit", json=notice, headers=headers)
                assert answer.status_code == 503
            server.send(signal.SIGTERM)
            assert await server.ended() == 0
            lines = assert_tells_nothing(server, PLANTED)
    finally:
        redis_server.close()
    assert {"session store unavailable", "a dependency is down"} <= events(lines), events(lines)
    errors = {line.get("error") or line.get("reason") for line in lines if line["level"] in ("warning", "error")}
    assert errors - {None}, "what is wrong is told, without the secret"
