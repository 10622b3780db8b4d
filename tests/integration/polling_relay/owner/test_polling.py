"""One request of a polling client, relayed to the owner of its connection, and the answer on its way back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from kit.servers.fleet import FakeOwner, forwarded, make_fleet
from kit.servers.in_process import MakeServer, RunningServer
from kit.servers.redis_server import RedisServer
from kit.waiting import eventually
from tradecast.redis_client.client import RedisClient

pytestmark = pytest.mark.redis


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
