"""Signed requests at a real admin port: what they open, and what they do not."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from kit.servers.in_process import MakeServer, RunningServer
from tradecast_operator.clients.signature import read_next_nonce, read_offered_nonce, sign_request

TOKEN = "the-token"


@pytest.fixture
async def server(make_server: MakeServer) -> RunningServer:
    return await make_server(admin_token=f"{TOKEN},older", pod_uid="uid-a", drain_delay=0)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        yield client


async def nonce(server: RunningServer, http: httpx.AsyncClient) -> str:
    answer = await http.get(f"{server.admin_url}/admin/stats")
    assert answer.status_code == 401
    found = read_offered_nonce(answer.headers["www-authenticate"])
    assert found is not None
    return found


async def ask(
    server: RunningServer,
    http: httpx.AsyncClient,
    method: str,
    path: str,
    body: bytes = b"",
    token: str = TOKEN,
    value: str | None = None,
) -> httpx.Response:
    value = value or sign_request(token, method, path, "uid-a", await nonce(server, http), body)
    return await http.request(method, f"{server.admin_url}{path}", content=body, headers={"authorization": value})


@pytest.mark.parametrize("token", [TOKEN, "older"])
@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/admin/stats", b"", 200),
        ("GET", "/admin/stats?x=%2F&y=ä", b"", 200),
        ("POST", "/admin/drain", b'{"rate": 1, "timeout": 60}', 202),
        ("POST", "/admin/drain", b"", 202),
        ("DELETE", "/admin/drain", b"", 200),
        ("POST", "/admin/shed", b'{"count": 1, "rate": 5}', 202),
        ("POST", "/admin/shed", b'{"count": 0}', 422),
        ("POST", "/admin/shed", b"{", 400),
    ],
)
async def test_what_the_operator_needs_is_open(
    server: RunningServer, http: httpx.AsyncClient, method: str, path: str, body: bytes, status: int, token: str
) -> None:
    path = str(httpx.URL(f"http://x{path}").raw_path, "ascii")
    answer = await ask(server, http, method, path, body, token)
    assert answer.status_code == status
    # The next one without a question.
    again = read_next_nonce(answer.headers["authentication-info"])
    assert again is not None
    value = sign_request(token, "GET", "/admin/stats", "uid-a", again, b"")
    assert (await ask(server, http, "GET", "/admin/stats", value=value)).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/admin/sessions"),
        ("POST", "/admin/sessions"),
        ("POST", "/admin/sessions/revoke"),
        ("POST", "/api/emit"),
    ],
)
async def test_sessions_and_events_are_not(
    server: RunningServer, http: httpx.AsyncClient, method: str, path: str
) -> None:
    answer = await ask(server, http, method, path, b'{"userId": "u1"}' if method == "POST" else b"")
    assert answer.status_code == 401
    assert "Tradecast" not in answer.headers["www-authenticate"]


async def test_a_request_that_was_read_on_its_way_cannot_be_made_again(
    server: RunningServer, http: httpx.AsyncClient
) -> None:
    value = sign_request(TOKEN, "GET", "/admin/stats", "uid-a", await nonce(server, http), b"")
    assert (await ask(server, http, "GET", "/admin/stats", value=value)).status_code == 200
    again = await ask(server, http, "GET", "/admin/stats", value=value)
    assert again.status_code == 401
    assert read_offered_nonce(again.headers["www-authenticate"])


async def test_nor_with_another_body(server: RunningServer, http: httpx.AsyncClient) -> None:
    value = sign_request(TOKEN, "POST", "/admin/shed", "uid-a", await nonce(server, http), b'{"count": 1}')
    assert (await ask(server, http, "POST", "/admin/shed", b'{"count": 9}', value=value)).status_code == 401
    value = sign_request(TOKEN, "POST", "/admin/drain", "uid-a", await nonce(server, http), b"")
    assert (await ask(server, http, "POST", "/admin/drain", b'{"rate": 9}', value=value)).status_code == 401
    assert not server.app.get_stats()["drain"]["active"]


async def test_nor_at_another_pod(make_server: MakeServer, server: RunningServer, http: httpx.AsyncClient) -> None:
    other = await make_server(admin_token=TOKEN, pod_uid="uid-b")
    assert (await ask(other, http, "GET", "/admin/stats")).status_code == 401


async def test_a_large_body_is_not_read_for_a_signature(server: RunningServer, http: httpx.AsyncClient) -> None:
    answer = await ask(server, http, "POST", "/admin/shed", b" " * 5_000)
    assert (answer.status_code, answer.json()["code"]) == (413, "TOO_LARGE")


async def test_the_token_opens_all_of_it_as_before(server: RunningServer, http: httpx.AsyncClient) -> None:
    bearer = {"authorization": f"Bearer {TOKEN}"}
    for path in ("/admin/stats", "/admin/sessions"):
        answer = await http.get(f"{server.admin_url}{path}", headers=bearer)
        assert answer.status_code == 200
        assert "authentication-info" not in answer.headers


async def test_a_server_that_does_not_know_its_pod_offers_nothing(
    make_server: MakeServer, http: httpx.AsyncClient
) -> None:
    server = await make_server(admin_token=TOKEN)
    answer = await http.get(f"{server.admin_url}/admin/stats")
    assert answer.headers["www-authenticate"] == 'Bearer realm="tradecast"'
