"""`/admin`: who may use it, sessions and stats."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from integration.http.answers import PLANTED, assert_error
from kit.clients.node import StockClients
from kit.servers.in_process import MakeServer, RunningServer
from kit.servers.redis_server import RedisServer
from protocol.contract import FAST


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
