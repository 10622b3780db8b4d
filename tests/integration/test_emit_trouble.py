"""`/api/emit` while Redis Cluster is in trouble of every kind: 202 or 503, and what became of each event."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from kit.servers.in_process import API_TOKEN, MakeServer, RunningServer
from kit.servers.redis_server import RedisServer
from kit.servers.scripted_redis import CLOSE, HANG, ScriptedRedis, scripted_redis
from kit.waiting import eventually
from tradecast.delivery.errors import AdapterUnavailable

BEARER = {"authorization": f"Bearer {API_TOKEN}"}
EVENTS: dict[str, Any] = {
    "events": [
        {"event": "notification", "userId": "u1", "notification": {"n": 1}},
        {"event": "trade:executed", "userId": "u2", "trade": {"symbol": "AAPL"}},
    ]
}
SCRIPTS: dict[str, bytes] = {
    "moved": b"-MOVED 1 127.0.0.1:1\r\n",
    "moved nowhere": b"-MOVED 1 :0\r\n",
    "moved malformed": b"-MOVED\r\n",
    "moved without a slot": b"-MOVED x y\r\n",
    "ask": b"-ASK 1 127.0.0.1:1\r\n",
    "ask malformed": b"-ASK 1\r\n",
    "clusterdown": b"-CLUSTERDOWN The cluster is down\r\n",
    "hash slot not served": b"-CLUSTERDOWN Hash slot not served\r\n",
    "tryagain": b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n",
    "crossslot": b"-CROSSSLOT Keys in request don't hash to the same slot\r\n",
    "loading": b"-LOADING Redis is loading the dataset in memory\r\n",
    "masterdown": b"-MASTERDOWN Link with MASTER is down\r\n",
    "readonly": b"-READONLY You can't write against a read only replica.\r\n",
    "noreplicas": b"-NOREPLICAS Not enough good replicas to write.\r\n",
    "oom": b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
    "misconf": b"-MISCONF Redis is configured to save RDB snapshots\r\n",
    "noperm": b"-NOPERM this user has no permissions to run the 'evalsha' command\r\n",
    "noauth": b"-NOAUTH Authentication required.\r\n",
    "noscript": b"-NOSCRIPT No matching script. Please use EVAL.\r\n",
    "busy": b"-BUSY Redis is busy running a script.\r\n",
    "wrongtype": b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
    "unknown": b"-ERR something new\r\n",
    "empty error": b"-\r\n",
    "null": b"$-1\r\n",
    "null array": b"*-1\r\n",
    "empty array": b"*0\r\n",
    "number": b":5\r\n",
    "text": b"+OK\r\n",
    "no number": b"*2\r\n$1\r\ne\r\n$1\r\nx\r\n",
    "error inside": b"*2\r\n$1\r\ne\r\n-ERR inside\r\n",
    "not text": b"*2\r\n$1\r\n\xff\r\n$1\r\n\xff\r\n",
    "no redis": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "closed": CLOSE,
    "hangs": HANG,
}
SLOTS: dict[str, bytes] = {
    "no slots": b"*0\r\n",
    "null": b"$-1\r\n",
    "text": b"+OK\r\n",
    "disabled": b"-ERR This instance has cluster support disabled\r\n",
    "clusterdown": b"-CLUSTERDOWN The cluster is down\r\n",
    "loading": b"-LOADING Redis is loading the dataset in memory\r\n",
    "noperm": b"-NOPERM this user has no permissions\r\n",
    "no node": b"*1\r\n*2\r\n:0\r\n:16383\r\n",
    "null node": b"*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$-1\r\n$-1\r\n$-1\r\n",
    "port 0": b"*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$9\r\n127.0.0.1\r\n:0\r\n$1\r\nx\r\n",
    "another node, away": b"*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$9\r\n127.0.0.1\r\n:1\r\n$1\r\nx\r\n",
    "one slot": b"*1\r\n*3\r\n:7\r\n:7\r\n*3\r\n$9\r\n127.0.0.1\r\n:1\r\n$1\r\nx\r\n",
    "numbers that are none": b"*1\r\n*3\r\n$1\r\nx\r\n$1\r\ny\r\n*3\r\n:1\r\n:2\r\n:3\r\n",
    "closed": CLOSE,
    "hangs": HANG,
}


@pytest.fixture
async def node() -> AsyncIterator[ScriptedRedis]:
    async with scripted_redis() as made:
        yield made


@pytest.fixture
async def troubled(node: ScriptedRedis, make_server: MakeServer) -> RunningServer:
    return await make_server(redis_url=node.url, session_store="memory", redis_timeout=0.4, publish_timeout=0.8)


async def emit(url: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        return await http.post(f"{url}/api/emit", json=EVENTS, headers=BEARER)


def assert_told(answer: httpx.Response) -> None:
    """It says what became of each event."""
    assert answer.status_code == 503, answer.text
    told = answer.json()
    assert told["code"] == "UNAVAILABLE"
    assert told["accepted"] == 0
    assert sorted([*told["failed"], *told["uncertain"]]) == [0, 1]


async def test_whatever_scripts_are_answered(node: ScriptedRedis, troubled: RunningServer) -> None:
    for why, answer in SCRIPTS.items():
        node.to_scripts = answer
        node.cut()
        try:
            assert_told(await emit(troubled.url))
        except AssertionError as error:
            raise AssertionError(why) from error
    node.to_scripts = b"*2\r\n$1\r\ne\r\n$3\r\n100\r\n"
    assert (await until_accepted(troubled)).json() == {"accepted": 2}


async def test_whatever_the_cluster_says_of_its_slots(node: ScriptedRedis, troubled: RunningServer) -> None:
    node.to_scripts = b"*2\r\n$1\r\ne\r\n$3\r\n100\r\n"
    for why, answer in SLOTS.items():
        node.to_slots = answer
        node.cut()
        await asyncio.sleep(0.25)  # what was found out stands for a moment
        try:
            told = await emit(troubled.url)
            if told.status_code != 202:  # it may go on by what it knew before
                assert_told(told)
        except AssertionError as error:
            raise AssertionError(why) from error
    node.to_slots = None
    await until_accepted(troubled)


@pytest.mark.parametrize("answer", [b"-NOPERM no\r\n", b"$-1\r\n", b":5\r\n", b"*0\r\n", CLOSE, HANG])
async def test_whatever_the_node_says_of_itself(node: ScriptedRedis, make_server: MakeServer, answer: bytes) -> None:
    node.to_info = answer
    server = await make_server(redis_url=node.url, session_store="memory", redis_timeout=0.2, publish_timeout=0.4)
    assert_told(await emit(server.url))


async def until_accepted(server: RunningServer) -> httpx.Response:
    """The first answer that says so; a busy machine does not answer within these short times at once."""
    async with asyncio.timeout(60):
        while (answer := await emit(server.url)).status_code != 202:
            assert answer.status_code == 503, answer.text  # one of the two may have been accepted
    return answer


async def test_an_error_that_nobody_foresaw_is_no_500(make_server: MakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await make_server()
    for error in (
        KeyError("x"),
        AttributeError("x"),
        asyncio.CancelledError(),
        TypeError("x"),
        AdapterUnavailable("x"),
    ):

        async def fail(*arguments: Any, error: BaseException = error, **options: Any) -> None:
            raise error

        monkeypatch.setattr(server.app.components.hub, "emit", fail)
        assert_told(await emit(server.url))


@pytest.mark.redis
async def test_a_server_that_stops_while_redis_hangs_says_503(make_server: MakeServer, own_redis: RedisServer) -> None:
    """Uvicorn cancels what is still under way then, and answers 500 where nobody else does."""
    server = await make_server(
        redis_url=own_redis.url, session_store="memory", redis_timeout=20, publish_timeout=60, shutdown_timeout=1
    )
    assert (await emit(server.url)).status_code == 202
    await own_redis.pause(60)
    under_way = asyncio.create_task(emit(server.url))
    await eventually(lambda: server.app.components.hub.broker.waiting)
    await server.stop_serving()
    assert_told(await under_way)
    own_redis.resume()
    await server.app.shutdown()
