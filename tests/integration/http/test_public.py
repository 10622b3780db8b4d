"""The public port: TLS, origins, requests that are no handshake, and a full server."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import structlog
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import InvalidStatus

from integration.http.answers import BEARER, NOTICE, PLANTED, assert_error
from kit.clients.node import StockClients
from kit.network.tls import make_certificates
from kit.servers.in_process import MakeServer, RunningServer
from kit.waiting import eventually
from protocol.contract import FAST, assert_alive
from tradecast.engine.transports.secured import SecuredTransport
from tradecast.engine.transports.websocket import WebSocketTransport
from tradecast.gateway.metrics import TRANSPORT_REASONS

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
    trusting = ssl.create_default_context(cafile=pem.ca)
    async with httpx.AsyncClient(trust_env=False, timeout=30, verify=trusting) as http:
        assert (await http.get(f"{url}/health")).status_code == 200
        assert (await http.get(f"{url}/metrics")).status_code == 200
    ca = await asyncio.to_thread(Path(pem.ca).read_text)
    for transports in (["websocket"], ["polling"]):
        client = await stock_clients.connect(url, await server.session("u1"), transports, ca=ca, **FAST)
        await assert_alive(client)
        if transports == ["websocket"]:  # slow ones are noticed as soon as without TLS
            (connection,) = server.app.components.socket_server.eio.sockets.values()
            assert isinstance(connection.transport, WebSocketTransport)
            assert isinstance(connection.transport.transport, SecuredTransport)


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


async def test_page_that_may_not_connect_is_reported_once(make_server: MakeServer, http: httpx.AsyncClient) -> None:
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
async def test_polling_that_is_off_is_reported_in_words_in_the_log_and_in_a_metric(
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


async def test_websocket_that_is_off_is_reported_as_well(make_server: MakeServer, http: httpx.AsyncClient) -> None:
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
