"""Routes: what does not exist, and how every request is answered."""

from __future__ import annotations

import asyncio
import json
import re

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import InvalidStatus

from integration.http.answers import PLANTED, assert_error
from kit.servers.in_process import API_TOKEN, MakeServer, RunningServer
from tradecast.server import WebSocketServer


async def test_admin_is_not_on_the_public_port(make_server: MakeServer, http: httpx.AsyncClient) -> None:
    server = await make_server(admin_token="t")
    for path in ("/admin/stats", "/admin/sessions", "/admin/sessions/revoke"):
        assert_error(await http.get(server.url + path, headers={"authorization": "Bearer t"}), 404, "NOT_FOUND")


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


async def test_bug_in_a_route_is_reported_without_its_text(make_server: MakeServer, http: httpx.AsyncClient) -> None:
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
