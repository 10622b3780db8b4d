"""Who may use a route: by a token, or from this machine."""

from __future__ import annotations

import httpx
import pytest

from integration.http.answers import BEARER, NOTICE, PLANTED, assert_error
from kit.servers.in_process import API_TOKEN, MakeServer, RunningServer


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
