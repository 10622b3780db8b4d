"""What a server does with a request for another one's connection; the owner answers as the test says."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from integration.polling_relay.relayed import said
from kit.servers.fleet import UNKNOWN_SESSION, FakeOwner, Poller, forwarded
from kit.servers.in_process import MakeServer, RunningServer
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.polling_relay.sids import BOOT, RANDOM, SignedSids, make_sid, new_boot

pytestmark = pytest.mark.redis


# -- what is answered here


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "DELETE", "HEAD"])
async def test_other_methods_are_answered_here(http: httpx.AsyncClient, owner: FakeOwner, method: str) -> None:
    answer = await http.request(method, owner.path())
    assert answer.status_code == (204 if method == "OPTIONS" else 400)
    assert owner.requests == []


async def test_sids_that_no_server_made_are_answered_here(
    http: httpx.AsyncClient, owner: FakeOwner, edge: RunningServer
) -> None:
    sid = owner.sid()
    other = "A" if sid[-1] != "A" else "B"
    forged = [
        *("x", "AAAA", "A" * len(sid), sid[:-1] + other, sid + "A", sid[:-1], "%ff" * len(sid), "http://127.0.0.1:1/"),
        sid[:RANDOM] + new_boot() + sid[RANDOM + BOOT :],
        make_sid(owner.boot, b"x" * 32),
    ]
    for one in forged:
        path = f"/socket.io/?EIO=4&transport=polling&sid={one}"
        assert said(await http.get(path)) == UNKNOWN_SESSION, one
        assert said(await http.post(path, content=b"2")) == UNKNOWN_SESSION, one
    assert owner.connections == 0
    assert forwarded(edge) == {}


async def test_the_first_sid_counts_here_and_there(http: httpx.AsyncClient, owner: FakeOwner) -> None:
    assert said(await http.get(f"/socket.io/?EIO=4&transport=polling&sid=x&sid={owner.sid()}")) == UNKNOWN_SESSION
    assert owner.connections == 0


async def test_a_server_that_starts_without_redis_serves_its_own_clients(
    make_server: MakeServer, own_redis: RedisServer
) -> None:
    await own_redis.stop()
    server = await make_server(redis_url=own_redis.url, transports=("polling", "websocket"), auth_required=False)
    async with Poller(server) as client:
        assert len(client.sid) == 20, "a plain one, which names nobody"
        await client.join(server)
    await own_redis.start()
    relay = server.app.components.relay
    assert relay is not None
    sids = SignedSids(relay.announcement.addresses)
    await eventually(lambda: sids.make_sid() is not None)
    async with Poller(server) as client:
        assert len(client.sid) == 48
        await client.join(server)


# -- upgrades


async def test_an_upgrade_for_nobody_is_refused_here(owner: FakeOwner, edge: RunningServer) -> None:
    url = edge.url.replace("http", "ws")
    for sid in (make_sid(new_boot(), owner.directory.keys[0]), "x", make_sid(owner.boot, b"x" * 32)):
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{url}/socket.io/?EIO=4&transport=websocket&sid={sid}", proxy=None)
        response = refused.value.response
        assert (response.status_code, json.loads(response.body or b"")) == UNKNOWN_SESSION
    assert owner.connections == 0
    assert forwarded(edge, "websocket") == {"unknown": 1}


async def test_under_an_asgi_server_that_is_not_ours_clients_stay_with_polling(
    owner: FakeOwner, edge: RunningServer
) -> None:
    """There are no bytes to pass on then; the client's probe fails, and polling goes on."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    path, _, query = owner.path("websocket").partition("?")
    scope = {"type": "websocket", "scheme": "ws", "path": path, "query_string": query.encode(), "headers": []}
    await edge.app.public_app()(scope, receive, send)
    assert [one["type"] for one in sent] == ["websocket.http.response.start", "websocket.http.response.body"]
    assert sent[0]["status"] == 501
    assert owner.connections == 0
