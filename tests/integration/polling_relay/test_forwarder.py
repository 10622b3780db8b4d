"""What a server does with a request for another one's connection; the owner answers as the test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from kit.servers.fleet import UNKNOWN_SESSION, FakeOwner, Poller, forwarded, known_to, make_fleet, metric, redis_client
from kit.servers.in_process import MakeServer, RunningServer
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.polling_relay.owner import websockets as websockets_module
from tradecast.polling_relay.sids import BOOT, RANDOM, SignedSids, make_sid, new_boot
from tradecast.redis_client.client import RedisClient

pytestmark = pytest.mark.redis


@pytest.fixture
async def redis(own_redis: RedisServer) -> AsyncIterator[RedisClient]:
    client = redis_client(own_redis)
    yield client
    await client.aclose()


@pytest.fixture
async def edge(make_server: MakeServer, own_redis: RedisServer) -> RunningServer:
    (server,) = await make_fleet(make_server, own_redis, 1)
    return server


@pytest.fixture
async def owner(redis: RedisClient, edge: RunningServer) -> AsyncIterator[FakeOwner]:
    async with FakeOwner(redis) as fake:
        yield fake


@pytest.fixture
async def http(edge: RunningServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=edge.url, timeout=60, trust_env=False) as client:
        yield client


def said(answer: httpx.Response) -> tuple[int, Any]:
    return answer.status_code, answer.json()


# -- what passes


async def test_request_and_answer_pass(http: httpx.AsyncClient, owner: FakeOwner, edge: RunningServer) -> None:
    owner.answer = (
        b"HTTP/1.1 299 Odd\r\nContent-Type: text/plain\r\nAccess-Control-Allow-Origin: https://a.example\r\n"
        b"Transfer-Encoding: chunked\r\nX-Tradecast-Hint: 1\r\nDate: old\r\nServer: s\r\n\r\n"
        b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    headers = {
        "Origin": "https://a.example",
        "Host": "push.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "push.example",
        "X-Tradecast-Forward": "forged",
        "X-Tradecast-Refused": "boot",
        "Cookie": "secret=1",
        "Authorization": "Bearer secret",
    }
    path = owner.path()
    answer = await http.post(path, content=b"4hello", headers=headers)
    assert (answer.status_code, answer.text) == (299, "abcde")
    assert answer.headers["access-control-allow-origin"] == "https://a.example"
    assert answer.headers["content-length"] == "5"
    assert answer.headers.get_list("date") != ["old"]
    assert len(answer.headers.get_list("date")) == 1
    assert not [name for name in answer.headers if name.startswith("x-tradecast") or name == "server"]
    (request,) = owner.requests
    head, body = request.split(b"\r\n\r\n", 1)
    first, *lines = head.decode().split("\r\n")
    assert first == f"POST {path} HTTP/1.1"
    assert body == b"4hello"
    sent = dict(line.lower().split(": ", 1) for line in lines)
    assert sent["host"] == sent["x-forwarded-host"] == "push.example"
    assert sent["origin"] == "https://a.example"
    assert sent["x-forwarded-proto"] == "https"
    assert sent["content-length"] == "6"
    assert not {"cookie", "authorization", "x-tradecast-refused"} & sent.keys()
    assert "forged" not in sent["x-tradecast-forward"]
    assert forwarded(edge) == {"answered": 1}


async def test_big_bodies_pass_both_ways(http: httpx.AsyncClient, owner: FakeOwner) -> None:
    size = 5_000_000
    owner.answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size
    answer = await http.post(owner.path(), content=b"4" + b"y" * 999_999)
    assert answer.content == b"x" * size
    assert owner.requests[0].endswith(b"\r\n\r\n4" + b"y" * 999_999)


async def test_a_connection_is_used_again(http: httpx.AsyncClient, owner: FakeOwner) -> None:
    path = owner.path()
    for _ in range(5):
        assert (await http.get(path)).text == "ok"
    assert (owner.connections, len(owner.requests)) == (1, 5)
    answers = await asyncio.gather(*(http.get(path) for _ in range(8)))
    assert {answer.text for answer in answers} == {"ok"}
    assert owner.connections <= 8


async def test_a_connection_that_the_owner_closed_is_not(http: httpx.AsyncClient, owner: FakeOwner) -> None:
    owner.closes = True
    path = owner.path()
    for _ in range(3):
        owner.dropped.clear()
        assert (await http.get(path)).text == "ok"
        await owner.dropped.wait()
    assert owner.connections == 3


# -- what does not


async def test_what_is_too_large_is_sent_to_nobody(
    http: httpx.AsyncClient, owner: FakeOwner, edge: RunningServer
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b"y" * 100_000

    for content in (b"y" * 1_000_001, chunks()):
        answer = await http.post(owner.path(), content=content)
        assert (answer.status_code, answer.json()["code"]) == (413, "TOO_LARGE")
    assert owner.requests == []
    assert forwarded(edge) == {"invalid": 2}


async def test_half_a_body_is_sent_to_nobody(owner: FakeOwner, edge: RunningServer) -> None:
    host, port = edge.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"POST {owner.path()} HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf".encode())
    await writer.drain()
    writer.close()
    await eventually(lambda: forwarded(edge) == {"aborted": 1})
    assert owner.requests == []


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


async def test_an_owner_that_has_left_is_unknown_at_once(
    http: httpx.AsyncClient, owner: FakeOwner, edge: RunningServer
) -> None:
    never = make_sid(new_boot(), owner.directory.keys[0])
    answer = await http.get(f"/socket.io/?EIO=4&transport=polling&sid={never}", headers={"Origin": edge.url})
    assert said(answer) == UNKNOWN_SESSION
    assert answer.headers["access-control-allow-origin"] == edge.url, "so that a page sees it"
    assert said(await http.post(f"/socket.io/?EIO=4&transport=polling&sid={never}", content=b"2")) == UNKNOWN_SESSION
    assert forwarded(edge) == {"unknown": 2}


async def test_an_address_that_somebody_else_has_by_now(
    http: httpx.AsyncClient, owner: FakeOwner, edge: RunningServer
) -> None:
    owner.answer = b"HTTP/1.1 410 Gone\r\nX-Tradecast-Refused: boot\r\nContent-Length: 0\r\n\r\n"
    for content in (None, b"4hello"):
        request = http.build_request("POST" if content else "GET", owner.path(), content=content)
        assert said(await http.send(request)) == UNKNOWN_SESSION
    assert forwarded(edge) == {"unknown": 2}


async def test_an_owner_that_does_not_take_our_signature_is_an_error(
    http: httpx.AsyncClient, owner: FakeOwner, edge: RunningServer
) -> None:
    owner.answer = b"HTTP/1.1 403 Forbidden\r\nX-Tradecast-Refused: signature\r\nContent-Length: 0\r\n\r\n"
    with capture_logs() as logs:
        for _ in range(3):
            answer = await http.get(owner.path())
            assert (answer.status_code, answer.json()["code"]) == (502, "OWNER_REFUSED")
    assert [entry["log_level"] for entry in logs] == ["warning"], "not for each"
    assert owner.boot not in str(logs)
    assert forwarded(edge) == {"refused": 3}


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_half_an_answer_is_an_error_and_nothing_is_asked_again(
    http: httpx.AsyncClient, owner: FakeOwner, edge: RunningServer, method: str, answer: bytes
) -> None:
    owner.answer, owner.closes = answer, True
    got = await http.request(method, owner.path(), content=b"4hello" if method == "POST" else None)
    assert (got.status_code, got.json()["code"]) == (502, "OWNER_UNREACHABLE")
    assert len(owner.requests) == 1
    assert forwarded(edge) == {"unreachable": 1}


async def test_a_kept_connection_that_breaks_is_an_error_too(http: httpx.AsyncClient, owner: FakeOwner) -> None:
    assert (await http.get(owner.path())).text == "ok"
    owner.answer, owner.closes = b"", True
    assert (await http.post(owner.path(), content=b"4once")).status_code == 502
    assert len([one for one in owner.requests if b"4once" in one]) == 1


async def test_a_long_answer_that_breaks_off_does_so_for_the_client(
    http: httpx.AsyncClient, owner: FakeOwner, edge: RunningServer
) -> None:
    owner.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 2_000_000
    owner.closes = True
    with pytest.raises(httpx.RemoteProtocolError):
        await http.get(owner.path())
    await eventually(lambda: forwarded(edge) == {"unreachable": 1})


async def test_an_owner_that_is_not_there_is_an_error(
    http: httpx.AsyncClient, owner: FakeOwner, edge: RunningServer
) -> None:
    await owner.stop()
    for _ in range(2):
        answer = await http.get(owner.path())
        assert (answer.status_code, answer.json()["code"]) == (502, "OWNER_UNREACHABLE")
    assert forwarded(edge) == {"unreachable": 2}


async def test_an_owner_that_never_answers_is_an_error_after_a_poll_s_time(
    make_server: MakeServer, own_redis: RedisServer, redis: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradecast.bootstrap.relay.POLL_MARGIN", 0.2)
    (edge,) = await make_fleet(make_server, own_redis, 1, ping_interval=0.2, ping_timeout=0.2)
    async with FakeOwner(redis) as owner, httpx.AsyncClient(base_url=edge.url, timeout=60, trust_env=False) as http:
        owner.answer = None
        answer = await http.get(owner.path())
        assert (answer.status_code, answer.json()["code"]) == (504, "OWNER_TIMEOUT")
        await owner.dropped.wait()
        assert len(owner.requests) == 1
    assert forwarded(edge) == {"timeout": 1}


async def test_a_client_s_abort_reaches_the_owner(
    http: httpx.AsyncClient, owner: FakeOwner, edge: RunningServer
) -> None:
    owner.answer = None
    asking = asyncio.create_task(http.get(owner.path()))
    await eventually(lambda: owner.requests)
    asking.cancel()
    await asyncio.wait_for(owner.dropped.wait(), 30)
    await eventually(lambda: forwarded(edge) == {"aborted": 1})


async def test_no_more_than_so_many_are_under_way(
    make_server: MakeServer, own_redis: RedisServer, redis: RedisClient
) -> None:
    (edge,) = await make_fleet(make_server, own_redis, 1, max_connections=2)
    async with FakeOwner(redis) as owner, httpx.AsyncClient(base_url=edge.url, timeout=60, trust_env=False) as http:
        owner.answer = None
        asking = [asyncio.create_task(http.get(owner.path())) for _ in range(2)]
        await eventually(lambda: len(owner.requests) == 2)
        answer = await http.get(owner.path())
        assert (answer.status_code, answer.json()["code"]) == (503, "SERVER_BUSY")
        for one in asking:
            one.cancel()
        await eventually(lambda: forwarded(edge) == {"busy": 1, "aborted": 2})
        owner.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        assert (await http.get(owner.path())).text == "ok"


# -- without Redis


async def test_while_redis_is_away_known_owners_are_reached_and_others_are_an_error(
    http: httpx.AsyncClient, owner: FakeOwner, edge: RunningServer, own_redis: RedisServer
) -> None:
    await eventually(lambda: known_to(edge) == 1)
    await own_redis.stop()
    assert (await http.get(owner.path())).text == "ok"
    never = make_sid(new_boot(), owner.directory.keys[0])
    answer = await http.get(f"/socket.io/?EIO=4&transport=polling&sid={never}")
    assert (answer.status_code, answer.json()["code"]) == (503, "OWNER_UNKNOWN")
    await own_redis.start()
    await eventually(lambda: edge.app.components.relay and not edge.app.components.relay.announcement.addresses._away)
    assert said(await http.get(f"/socket.io/?EIO=4&transport=polling&sid={never}")) == UNKNOWN_SESSION
    assert (await http.get(owner.path())).text == "ok", "its lease is not over, though Redis lost it"


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


@pytest.mark.parametrize(
    ("answer", "status", "code", "result"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", 403, "REFUSED", "answered"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 502, "REFUSED", "answered"),
        (b"HTTP/1.1 403 F\r\nX-Tradecast-Refused: signature\r\n\r\n", 502, "OWNER_REFUSED", "refused"),
        (b"", 502, "OWNER_UNREACHABLE", "unreachable"),
        (b"junk\r\n\r\n", 502, "OWNER_UNREACHABLE", "unreachable"),
        (b"HTTP/1.1 101 S\r\nX: " + b"x" * 100_000, 502, "OWNER_UNREACHABLE", "unreachable"),
        (None, 504, "OWNER_TIMEOUT", "timeout"),
    ],
)
async def test_an_owner_that_does_not_upgrade(
    owner: FakeOwner,
    edge: RunningServer,
    monkeypatch: pytest.MonkeyPatch,
    answer: bytes | None,
    status: int,
    code: str,
    result: str,
) -> None:
    owner.answer, owner.closes = answer, answer is not None
    if answer is None:
        monkeypatch.setattr(websockets_module, "HANDSHAKE_WITHIN", 0.3)
    with pytest.raises(InvalidStatus) as refused:
        await connect(edge.url.replace("http", "ws") + owner.path("websocket"), proxy=None)
    response = refused.value.response
    assert (response.status_code, json.loads(response.body or b"{}").get("code")) == (status, code)
    await asyncio.wait_for(owner.dropped.wait(), 30)
    assert forwarded(edge, "websocket") == {result: 1}
    assert len(owner.requests) == 1
    assert metric(edge, "relayed_websockets") == 0


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


async def test_an_address_that_somebody_else_has_by_now_upgrades_nobody(owner: FakeOwner, edge: RunningServer) -> None:
    owner.answer = b"HTTP/1.1 410 Gone\r\nX-Tradecast-Refused: boot\r\nContent-Length: 0\r\n\r\n"
    with pytest.raises(InvalidStatus) as refused:
        await connect(edge.url.replace("http", "ws") + owner.path("websocket"), proxy=None)
    response = refused.value.response
    assert (response.status_code, json.loads(response.body or b"")) == UNKNOWN_SESSION
    assert forwarded(edge, "websocket") == {"unknown": 1}
