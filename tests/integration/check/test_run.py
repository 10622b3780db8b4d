"""`tradecast check` against real things that work, and that do not."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import pytest

from kit.network.tls import make_certificates, sign_certificate
from kit.servers.mongo_server import MongoDatabase
from kit.servers.process import serving, tradecast
from kit.servers.redis_cluster import RedisCluster
from kit.servers.redis_server import RedisServer
from kit.servers.troubles import MONGODB_TROUBLES, PLANTED, REDIS_TROUBLES, in_trouble, running
from tradecast.causes import Code
from tradecast.check.report import Finding, Report
from tradecast.check.run import run_check
from tradecast.config.settings import load_settings
from tradecast.publishing.publisher import Publisher

# As docs/check.md message it.
IN_SHORT = "~tradecast:* ~sess:* &tradecast:* +@all -@admin -@dangerous +info".split()  # noqa: SIM905 as it is typed
ANY_PORT = {"PORT": "0", "ADMIN_PORT": "0", "INTERNAL_PORT": "0"}


class SlowChecks:
    """Nobody waits."""

    def check_is_slow(self, what: str) -> None: ...


async def check(**environ: str) -> Report:
    async with asyncio.timeout(60):
        return await run_check(load_settings({**ANY_PORT, **environ}), environ, SlowChecks())


def errors(report: Report) -> list[Finding]:
    return [finding for finding in report.findings if finding.state == "error"]


def named(report: Report, name: str) -> Finding:
    (found,) = [finding for finding in report.findings if finding.name == name]
    return found


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


@pytest.mark.mongodb
@pytest.mark.parametrize("name", MONGODB_TROUBLES)
async def test_what_is_wrong_with_mongodb_is_said_with_address_and_remedy(name: str, tmp_path: Path) -> None:
    with in_trouble(name, tmp_path) as trouble:
        report = await check(**trouble.environ)
    (found,) = errors(report)
    assert (found.cause, trouble.at in found.message) == (trouble.code, True), found
    assert trouble.about in f"{found.message} {found.remedy}"
    assert PLANTED not in report.text() + json.dumps(report.as_dict())


@pytest.mark.redis
async def test_redis_that_works(redis_server: RedisServer) -> None:
    report = await check(REDIS_URL=redis_server.url)
    assert errors(report) == []
    assert named(report, "REDIS_URL permissions").state == "ok"
    assert named(report, "REDIS_URL sessions").state == "warning"  # there are none yet
    assert report.plan["events"] == f"through Redis at 127.0.0.1:{redis_server.port} (REDIS_URL)"
    assert await redis_server.ask("DBSIZE") == 0  # nothing is left there


@pytest.mark.redis
async def test_a_cluster_that_works(redis_cluster: RedisCluster) -> None:
    report = await check(REDIS_URL=redis_cluster.url)
    assert errors(report) == []
    assert report.plan["mode"] == "sharded"


@pytest.mark.mongodb
async def test_mongodb_that_works_and_has_no_sessions_yet(mongo_server: MongoDatabase) -> None:
    report = await check(MONGODB_URI=mongo_server.uri, MONGODB_DATABASE=mongo_server.database)
    assert errors(report) == []
    assert "nothing in `sessions`" in named(report, "SESSION_COLLECTION").message


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
async def test_what_follows_from_a_refused_command_is_not_told(own_redis: RedisServer) -> None:
    own_redis.ask_now("ACL", "SETUSER", "caster", "on", ">right", *IN_SHORT, "-xadd")
    report = await check(REDIS_URL=own_redis.url.replace("://", "://caster:right@"))
    (finding,) = errors(report)  # and not that there is no stream, which nobody could make
    assert "the command XADD" in finding.message


@pytest.mark.redis
@pytest.mark.parametrize("name", ["replica", "memory_full"])
async def test_each_cause_is_told_once_and_not_what_follows_from_it(name: str, tmp_path: Path) -> None:
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


async def test_a_port_that_is_taken_and_one_that_a_server_of_ours_has() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        report = await check(HOST="127.0.0.1", PORT=port)
        assert [finding.name for finding in errors(report)] == ["PORT"]
        assert f"127.0.0.1:{port}" in errors(report)[0].message
    async with serving() as server:
        port = server.url.rpartition(":")[2]
        report = await check(HOST="127.0.0.1", PORT=port)
        assert named(report, "PORT").message == f"a tradecast server already listens on port {port}"


async def test_certificates_of_our_own(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    good = await check(SSL_CERTFILE=made.server_cert, SSL_KEYFILE=made.server_key)
    assert (named(good, "SSL_CERTFILE").state, "days" in named(good, "SSL_CERTFILE").message) == ("warning", True)
    old = sign_certificate(tmp_path, "old", "subjectAltName=IP:127.0.0.1", -1)
    expired = await check(SSL_CERTFILE=old[0], SSL_KEYFILE=old[1])
    assert errors(expired)[0].cause == "tls_certificate_expired"
    other = await check(SSL_CERTFILE=made.server_cert, SSL_KEYFILE=made.client_key)
    assert "SSL_CERTFILE and SSL_KEYFILE" in errors(other)[0].message
    long = sign_certificate(tmp_path, "long", "subjectAltName=IP:127.0.0.1", 60)
    assert named(await check(SSL_CERTFILE=long[0], SSL_KEYFILE=long[1]), "SSL_CERTFILE").state == "ok"


@pytest.mark.redis
async def test_the_command(redis_server: RedisServer) -> None:
    await redis_server.ask("SET", "sess:1", "{}")
    done = await tradecast("check", REDIS_URL=redis_server.url, SESION_SECRETS=PLANTED, **ANY_PORT)
    assert done.code == 0, done.err
    assert "Is it SESSION_SECRETS?" in done.out
    assert "no errors, 1 warning" in done.out
    done = await tradecast("check", "--json", REDIS_URL=redis_server.url, **ANY_PORT)
    assert json.loads(done.out)["ok"] is True
    assert PLANTED not in done.out + done.err


async def test_the_command_where_something_is_wrong(tmp_path: Path) -> None:
    with in_trouble("closed_port", tmp_path) as trouble:
        done = await tradecast("check", **trouble.environ, **ANY_PORT)
    assert done.code == 1
    assert f"error    REDIS_URL: Redis at {trouble.at} refuses the connection" in done.out
    with in_trouble("silent", tmp_path) as trouble:
        slow = await tradecast("check", **{**trouble.environ, "REDIS_TIMEOUT": "4"}, **ANY_PORT)
    assert "checking REDIS_URL …" in slow.err
    assert slow.code == 1


@pytest.mark.parametrize("flags", [(), ("--json",)])
async def test_the_command_with_settings_that_make_no_sense(flags: tuple[str, ...]) -> None:
    url = f"redis://:{PLANTED}@127.0.0.1/mydb"
    done = await tradecast("check", *flags, REDIS_URL=url, MAX_CONNECTIONS="0")
    assert done.code == 2
    assert "MAX_CONNECTIONS" in done.out + done.err
    done = await tradecast("check", *flags, REDIS_URL=url)
    assert done.code == 2
    assert "REDIS_URL: the path is the number of a database" in done.out + done.err
    assert PLANTED not in done.out + done.err
