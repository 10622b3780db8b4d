"""Lua scripts on a real Redis: sent once, and again where Redis has lost them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.exceptions import ResponseError

from kit.servers.redis_server import RedisServer, open_client
from tradecast.redis_client.script import CHUNK, Script, decode_reply, user_tag
from tradecast.redis_client.single import SingleClient

pytestmark = pytest.mark.redis
COUNT = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")


@pytest.fixture
async def redis(redis_server: RedisServer) -> AsyncIterator[SingleClient]:
    async with open_client(redis_server.url) as client:
        yield client


async def sent_texts(redis: SingleClient) -> int:
    """How often a script was sent as text."""
    return int((await redis.info("commandstats")).get("cmdstat_eval", {}).get("calls", 0))


async def test_the_text_is_sent_only_where_redis_does_not_know_it(redis: SingleClient) -> None:
    await redis.script_flush()
    before = await sent_texts(redis)
    assert [await COUNT.run(redis, ["key"], [2]) for _ in range(3)] == [2, 4, 6]
    assert await sent_texts(redis) == before + 1
    await redis.script_flush()
    assert await COUNT.run(redis, ["key"], [1]) == 7
    assert await sent_texts(redis) == before + 2


async def test_many_keys_take_few_round_trips_and_each_its_own_arguments(redis: SingleClient) -> None:
    await redis.script_flush()
    many = CHUNK + 3
    assert await COUNT.run_many(redis, [([f"key{n}"], [n]) for n in range(many)]) == []
    assert await redis.mget([f"key{n}" for n in range(many)]) == [str(n).encode() for n in range(many)]


async def test_a_key_that_cannot_be_used_spoils_only_its_own_call(redis: SingleClient) -> None:
    await redis.rpush("list", "x")
    calls = [(["a"], [1]), (["list"], [1]), (["b"], [1])]
    assert await COUNT.run_many(redis, calls) == [(["list"], [1])]
    assert await redis.mget(["a", "b"]) == [b"1", b"1"]


async def test_what_is_wrong_with_redis_is_raised(redis: SingleClient) -> None:
    with pytest.raises(ResponseError):
        await Script("return redis.call('NONSENSE')").run_many(redis, [(["a"], [])])


def test_users_are_named_by_a_digest_that_keeps_their_keys_in_one_slot() -> None:
    assert user_tag("u1") == user_tag("u1") != user_tag("u2")
    for user_id in ("u1", "a" * 10_000, "}{", "\ud800"):
        tag = user_tag(user_id)
        assert (tag[0], tag[-1], len(tag)) == ("{", "}", 26)
        assert user_id not in tag


@pytest.mark.parametrize("reply", [b"7-a", "7-a"])
def test_replies_are_strings_whether_the_client_decodes_them_or_not(reply: bytes | str) -> None:
    assert decode_reply(reply) == "7-a"
    assert decode_reply(b"\xff") == "\ufffd"
