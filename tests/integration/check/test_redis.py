"""`tradecast check` of a Redis: what it is, and what its user may do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from integration.check.checking import check, errors, named
from kit.servers.process import serving, tradecast
from kit.servers.redis_server import RedisServer
from kit.servers.troubles import PLANTED, REDIS_TROUBLES, in_trouble, running
from tradecast.causes import Code
from tradecast.config.settings import load_settings
from tradecast.publishing.publisher import Publisher

# As docs/check.md message it.
IN_SHORT = "~tradecast:* ~sess:* &tradecast:* +@all -@admin -@dangerous +info".split()  # noqa: SIM905 as it is typed


@pytest.mark.redis
@pytest.mark.parametrize("name", REDIS_TROUBLES)
async def test_what_is_wrong_with_redis_is_said_with_address_and_remedy(name: str, tmp_path: Path) -> None:
    with in_trouble(name, tmp_path) as trouble:
        report = await check(**trouble.environ)
    assert not report.ok
    found = next(finding for finding in errors(report) if finding.cause == trouble.code)
    assert trouble.at in found.message
    assert trouble.about.lower() in f"{found.message} {found.remedy}".lower()
    assert found.remedy
    assert PLANTED not in report.text() + json.dumps(report.as_dict())


@pytest.mark.redis
async def test_a_user_with_the_rule_that_is_given_can_do_all(own_redis: RedisServer) -> None:
    own_redis.ask_now("ACL", "SETUSER", "caster", "on", ">right", "+ping", "+get", "+publish", "resetchannels")
    url = own_redis.url.replace("://", "://caster:right@")
    report = await check(REDIS_URL=url)
    lacking = named(report, "REDIS_URL permissions")
    assert "the commands SET, " in lacking.message
    assert "the keys tradecast:*, sess:*" in lacking.message
    assert "the channel tradecast:*" in lacking.message
    own_redis.ask_now("ACL", "SETUSER", "caster", "reset", "on", ">right", *IN_SHORT)
    assert errors(await check(REDIS_URL=url)) == []
    rule = lacking.remedy.partition("ACL SETUSER NAME ")[2].replace("'>PASSWORD'", ">right").split()
    own_redis.ask_now("ACL", "SETUSER", "caster", "reset", *rule)
    assert errors(await check(REDIS_URL=url)) == []
    # and so it is: a server comes up on it, is told of events, and keeps sessions there
    async with serving(REDIS_URL=url, API_TOKEN="t") as server:
        await server.log("initialized")
        done = await tradecast("session", "create", "u1", REDIS_URL=url)
        assert done.code == 0, done.err
        async with Publisher(load_settings({"REDIS_URL": url})) as publisher:
            await publisher.emit_notification("u1", {"title": "Hello"})
        assert not any("no_permission" in line for line in server.err), server.err


@pytest.mark.redis
async def test_what_follows_from_a_refused_command_is_not_reported(own_redis: RedisServer) -> None:
    own_redis.ask_now("ACL", "SETUSER", "caster", "on", ">right", *IN_SHORT, "-xadd")
    report = await check(REDIS_URL=own_redis.url.replace("://", "://caster:right@"))
    (finding,) = errors(report)  # and not that there is no stream, which nobody could make
    assert "the command XADD" in finding.message


@pytest.mark.redis
@pytest.mark.parametrize("name", ["replica", "memory_full"])
async def test_each_cause_is_reported_once_and_not_what_follows_from_it(name: str, tmp_path: Path) -> None:
    with in_trouble(name, tmp_path) as trouble:
        causes = [finding.cause for finding in errors(await check(**trouble.environ))]
    assert len(causes) == len(set(causes))
    assert Code.ERROR not in causes


@pytest.mark.redis
async def test_a_policy_that_evicts_is_a_warning() -> None:
    with running("--maxmemory-policy", "volatile-lru") as server:
        report = await check(REDIS_URL=server.url)
    finding = named(report, "REDIS_URL policy")
    assert (finding.state, "volatile-lru" in finding.message, "noeviction" in finding.remedy) == ("warning", True, True)
    assert report.ok
