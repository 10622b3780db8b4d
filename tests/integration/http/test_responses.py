"""Requests that are refused: a code, a sentence, and the headers that belong to it."""

from __future__ import annotations

import httpx

from integration.http.answers import BEARER, PLANTED, assert_error
from kit.servers.in_process import RunningServer


async def test_unknown_routes(server: RunningServer, http: httpx.AsyncClient) -> None:
    for path in ("/", f"/{PLANTED}", "/api", "/api/emit/", "/admin", "/health/other", "/../etc/passwd", "/socket.iox"):
        answer = await http.get(server.url + path, follow_redirects=True)
        if path == "/api/emit/":
            assert answer.status_code in (404, 405)
        else:
            assert_error(answer, 404, "NOT_FOUND")
    assert_error(await http.get(f"{server.admin_url}/socket.io/?EIO=4&transport=polling"), 404, "NOT_FOUND")


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
