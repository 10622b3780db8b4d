"""Requests of a partition, on a real Redis: in order, and each with its own reply."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.exceptions import ResponseError

from kit.servers.redis_server import RedisServer, open_client
from tradecast.delivery.errors import AdapterUnavailable
from tradecast.delivery.redis.connections.endpoints import list_endpoints
from tradecast.delivery.redis.connections.script_queue import FixedRequest, ScriptQueue
from tradecast.redis_client.script import Script

pytestmark = pytest.mark.redis
APPEND = Script("redis.call('RPUSH', KEYS[1], ARGV[1]) return redis.call('LLEN', KEYS[1])")


class Skipped:
    """Counts what was not understood."""

    def __init__(self) -> None:
        self.whys: list[str] = []

    def message_skipped(self, why: str) -> None:
        self.whys.append(why)


@pytest.fixture
def skipped() -> Skipped:
    return Skipped()


@pytest.fixture
async def queue(redis_server: RedisServer, skipped: Skipped) -> AsyncIterator[ScriptQueue]:
    async with open_client(redis_server.url) as redis:
        (endpoint,) = list_endpoints(redis)
        made = ScriptQueue(endpoint, 10, skipped)
        made.start()
        yield made
        await made.close()


def append(key: str, word: str) -> FixedRequest:
    return FixedRequest(APPEND, (1, key, word))


async def test_requests_run_in_order_and_get_their_own_replies(queue: ScriptQueue, redis_server: RedisServer) -> None:
    assert queue.instance == ""
    replies = await asyncio.gather(*(queue.run(append("list", str(n))) for n in range(300)))
    assert replies == list(range(1, 301))
    assert await redis_server.ask("LRANGE", "list", 0, -1) == [str(n) for n in range(300)]
    assert queue.instance


async def test_a_request_that_fails_alone_is_counted_and_spoils_no_other(
    queue: ScriptQueue, skipped: Skipped, redis_server: RedisServer
) -> None:
    await redis_server.ask("SET", "text", "x")
    good, bad, other = await asyncio.gather(
        *(queue.run(append(key, "1")) for key in ("list", "text", "list")), return_exceptions=True
    )
    assert (good, other) == (1, 2)
    assert isinstance(bad, AdapterUnavailable)
    assert skipped.whys == ["malformed entry"]
    assert isinstance(await queue.run_raw(append("text", "1")), ResponseError)
    assert skipped.whys == ["malformed entry"], "whoever asks for it sees the error"


async def test_after_its_connection_was_closed_a_request_makes_another(queue: ScriptQueue) -> None:
    assert await queue.run(append("list", "1")) == 1
    await queue.close_connection()
    assert queue.instance == ""
    assert await queue.run(append("list", "2")) == 2
