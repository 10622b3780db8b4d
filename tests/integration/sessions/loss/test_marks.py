"""What servers on one Redis write for each other of lost and revoked sessions."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator

import pytest

from kit.network.ports import free_port
from kit.servers.redis_server import RedisServer, open_client
from tradecast.config.settings import load_settings
from tradecast.redis_client.client import create_redis
from tradecast.redis_client.single import SingleClient
from tradecast.sessions.errors import StoreUnavailable
from tradecast.sessions.loss.marks import CHUNK, EVERYTHING, LOST, PREFIX, StoreMarks, name_session, name_user
from tradecast.sessions.loss.mass_loss import LONGEST

pytestmark = pytest.mark.redis


@pytest.fixture
async def redis(redis_server: RedisServer) -> AsyncIterator[SingleClient]:
    async with open_client(redis_server.url) as client:
        yield client


@pytest.fixture
def marks(redis: SingleClient) -> StoreMarks:
    return StoreMarks(redis, patience=20)


async def test_the_first_server_says_until_when_sessions_are_lost(redis: SingleClient, marks: StoreMarks) -> None:
    assert await marks.lost_until() is None
    until = round(time.time() + 60, 3)
    assert await marks.mark_lost(until) == until
    assert await StoreMarks(redis, patience=20).mark_lost(until + 30) == until
    assert await marks.lost_until() == until
    assert 0 < await redis.pttl(LOST) <= 60_000


@pytest.mark.parametrize("written", ["", "soon", "5", "9e99"])
async def test_a_time_that_cannot_be_is_no_loss(redis: SingleClient, marks: StoreMarks, written: str) -> None:
    await redis.set(LOST, written)
    assert await marks.lost_until() is None


async def test_revocations_count_from_their_time_on(redis: SingleClient, marks: StoreMarks) -> None:
    before = time.time() - 1
    await marks.revoke([name_session("s1"), name_user("u1")])
    asked = [name_session("s1"), name_session("s2"), name_user("u1")]
    assert await marks.revoked(asked, before) == {name_session("s1"), name_user("u1")}
    assert await marks.revoked(asked, time.time() + 1) == set()
    keys = [key.decode() async for key in redis.scan_iter(f"{PREFIX}*")]
    assert len(keys) == 2
    assert all(re.fullmatch("[0-9a-f]{64}", key.removeprefix(PREFIX)) for key in keys), "no name of anybody"
    assert 0 < await redis.pttl(keys[0]) <= LONGEST * 1000


async def test_revoking_all_ends_the_loss(redis: SingleClient, marks: StoreMarks) -> None:
    before = time.time() - 1
    await marks.mark_lost(time.time() + 60)
    await marks.revoke_all()
    assert await marks.lost_until() is None
    assert await marks.revoked([EVERYTHING], before) == {EVERYTHING}


async def test_more_names_than_one_request_takes(marks: StoreMarks) -> None:
    names = [name_session(f"s{number}") for number in range(CHUNK + 5)]
    before = time.time() - 1
    await marks.revoke(names)
    assert await marks.revoked(names, before) == set(names)


async def test_a_key_that_cannot_be_read_says_nothing(redis: SingleClient, marks: StoreMarks) -> None:
    await redis.rpush(LOST, "x")
    assert await marks.lost_until() is None


async def test_redis_that_is_away_is_a_store_that_is() -> None:
    redis = create_redis(load_settings({"REDIS_URL": f"redis://127.0.0.1:{free_port()}"}))
    marks = StoreMarks(redis, patience=1)
    try:
        with pytest.raises(StoreUnavailable) as caught:
            await marks.lost_until()
    finally:
        await redis.aclose()
    assert caught.value.cause is not None
