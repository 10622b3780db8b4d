from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis import exceptions
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from integration.redis_client.opening import client
from kit.network.ports import free_port
from kit.network.tls import Certificates, make_certificates
from kit.servers.redis_sentinel import SERVICE, SentinelServer
from kit.servers.redis_server import RedisServer, started
from kit.waiting import eventually
from tradecast.config.settings import SettingsError, load_settings
from tradecast.redis_client.client import check_database, create_redis
from tradecast.server import WebSocketServer

pytestmark = pytest.mark.redis


async def acl(redis: Redis, *arguments: str) -> Any:
    return await redis.execute_command("ACL", *arguments)  # type: ignore[no-untyped-call]  # redis-py leaves it so


@pytest.mark.parametrize("place", ["url", "settings"])
async def test_acl_user(own_redis: RedisServer, place: str) -> None:
    async with client(own_redis.url) as admin:
        await acl(admin, "SETUSER", "caster", "on", ">s3cr:t/%", "~tc:*", "+@all")
        await acl(admin, "SETUSER", "default", "off")
    if place == "url":
        url, environ = own_redis.url.replace("://", "://caster:s3cr%3At%2F%25@"), None
    else:
        url, environ = own_redis.url, {"REDIS_USERNAME": "caster", "REDIS_PASSWORD": "s3cr:t/%"}
    async with client(url, environ) as redis:
        await redis.set("tc:key", "x")
        assert await redis.get("tc:key") == b"x"
        with pytest.raises(NoPermissionError):
            await redis.get("other")
    started_at = time.monotonic()
    async with client(own_redis.url, {"REDIS_USERNAME": "caster", "REDIS_PASSWORD": "wrong"}) as redis:
        with pytest.raises(AuthenticationError):
            await redis.ping()
    assert time.monotonic() - started_at < 5


async def test_the_url_wins_over_the_settings(own_redis: RedisServer) -> None:
    async with client(own_redis.url) as admin:
        await acl(admin, "SETUSER", "one", "on", ">pw1", "~*", "+@all")
    url = own_redis.url.replace("://", "://one:pw1@")
    async with client(url, {"REDIS_USERNAME": "two", "REDIS_PASSWORD": "pw2"}) as redis:
        assert await acl(redis, "WHOAMI") == b"one"


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return make_certificates(tmp_path)


@pytest.fixture
async def tls_redis(redis_process: RedisServer, certificates: Certificates) -> AsyncIterator[RedisServer]:
    server = RedisServer(
        *("--tls-cert-file", certificates.server_cert, "--tls-key-file", certificates.server_key),
        *("--tls-ca-cert-file", certificates.ca, "--tls-auth-clients", "yes"),
        tls=True,
    )
    async with server:
        yield server


async def test_tls_with_client_certificate(tls_redis: RedisServer, certificates: Certificates) -> None:
    own = {"REDIS_CERT_FILE": certificates.client_cert, "REDIS_KEY_FILE": certificates.client_key}
    async with client(tls_redis.url, {"REDIS_CA_FILE": certificates.ca, **own}) as redis:
        await redis.set("key", "x")
        assert await redis.get("key") == b"x"
    async with client(tls_redis.url, own) as redis:
        with pytest.raises(exceptions.ConnectionError, match="certificate verify failed"):
            await redis.ping()
    async with client(tls_redis.url, {"REDIS_CA_FILE": certificates.ca}) as redis:
        with pytest.raises(RedisError):
            await redis.ping()
    # the certificate is for 127.0.0.1 alone
    elsewhere = tls_redis.url.replace("127.0.0.1", "localhost")
    async with client(elsewhere, {"REDIS_CA_FILE": certificates.ca, **own}) as redis:
        with pytest.raises(exceptions.ConnectionError):
            await redis.ping()


async def test_sentinel_failover(own_redis: RedisServer) -> None:
    replica = started("--replicaof", "127.0.0.1", str(own_redis.port))
    sentinel = SentinelServer(
        own_redis.port,
        "user caster on >spw ~* &* +@all",
        "user default off",
        f"sentinel auth-user {SERVICE} default",
        f"sentinel down-after-milliseconds {SERVICE} 3000",  # longer than a busy machine holds Redis up
    )
    sentinel.start_now()
    try:
        url = f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{sentinel.port}/0/{SERVICE}"
        credentials = {"REDIS_SENTINEL_USERNAME": "caster", "REDIS_SENTINEL_PASSWORD": "spw"}
        async with client(url, credentials) as redis, client(replica.url) as direct:

            async def works() -> bool:
                try:
                    await redis.incr("count")
                except RedisError:
                    return False
                return True

            async def replicated() -> bool:
                return await direct.get("count") == b"1"

            async def known() -> bool:
                slaves = await redis.connection_pool.sentinel_manager.discover_slaves(SERVICE)  # type: ignore[attr-defined]  # of a Sentinel's pool
                return bool(slaves == [("127.0.0.1", replica.port)])

            assert await works()
            assert (await redis.info("server"))["tcp_port"] == own_redis.port
            await eventually(replicated, 60, what="the replica has the write")
            await eventually(known, 60, what="the Sentinel knows the replica")
            await own_redis.kill()
            await eventually(works, 60, what="writes work after the failover")
            assert (await redis.info("server"))["tcp_port"] == replica.port
            assert await direct.get("count") == b"2"
        async with client(url, {**credentials, "REDIS_SENTINEL_PASSWORD": "no"}) as redis:
            with pytest.raises(RedisError):
                await redis.ping()
    finally:
        sentinel.close()
        replica.close()


@pytest.mark.serial
async def test_a_refused_connection_is_tried_four_times(own_redis: RedisServer) -> None:
    async with client(own_redis.url) as redis:
        await redis.ping()
        await own_redis.stop()
        for _ in range(2):  # first with the dead connection, then with none
            begun = time.monotonic()
            with pytest.raises(exceptions.ConnectionError):
                await redis.ping()
            # 50 + 100 + 150 ms; nested retries would be more than twice that
            assert 0.29 < time.monotonic() - begun < 0.75
        await own_redis.start()
        assert await redis.ping()


async def test_requests_time_out(own_redis: RedisServer) -> None:
    async with client(own_redis.url, {"REDIS_TIMEOUT": "0.2"}) as redis:

        async def answers() -> bool:  # 0.2 s may be too short for a Redis that is only busy
            try:
                return bool(await redis.ping())
            except RedisError:
                return False

        await eventually(answers)
        await own_redis.pause(30)
        begun = time.monotonic()
        with pytest.raises(exceptions.TimeoutError):
            await redis.ping()
        assert 0.2 <= time.monotonic() - begun < 10
        own_redis.resume()
        await eventually(answers)


async def test_overrides_win(redis_server: RedisServer) -> None:
    async with client(redis_server.url, socket_timeout=None, decode_responses=True) as redis:
        await redis.set("key", "x")
        assert await redis.get("key") == "x"
        assert redis.connection_pool.connection_kwargs["socket_timeout"] is None


async def test_more_requests_than_connections_wait_their_turn(redis_server: RedisServer) -> None:
    async with client(redis_server.url, max_connections=3, client_name="of-this-test") as redis:
        answers = await asyncio.gather(*(redis.incr("count") for _ in range(200)))
        assert sorted(answers) == list(range(1, 201))
        # Those of the test before may still be closing.
        clients = [one for one in await redis.client_list() if one["name"] == "of-this-test"]
        assert 0 < len(clients) <= 3


@pytest.mark.parametrize("word", ["none", "CERT_NONE"])
async def test_tls_that_nobody_looks_at(tls_redis: RedisServer, certificates: Certificates, word: str) -> None:
    own = {"REDIS_CERT_FILE": certificates.client_cert, "REDIS_KEY_FILE": certificates.client_key}
    elsewhere = tls_redis.url.replace("127.0.0.1", "localhost")
    async with client(f"{elsewhere}?ssl_cert_reqs={word}", own) as redis:
        assert await redis.ping()


@pytest.mark.parametrize("where", ["/99999999", "?db=77777777"])
async def test_database_that_redis_does_not_have_stops_the_start(redis_server: RedisServer, where: str) -> None:
    url = redis_server.url.removesuffix("/0")
    for wrong in (f"{url}{where}", redis_server.unix_url.replace("?db=0", f"?db={where.strip('/?db=')}")):
        server = WebSocketServer(load_settings({"REDIS_URL": wrong}))
        with pytest.raises(SettingsError, match=r"^REDIS_URL: Redis refuses database \d{8}: .*index"):
            await server.initialize()


async def test_database_of_a_redis_that_is_away_is_no_error(redis_server: RedisServer) -> None:
    redis = create_redis(load_settings({"REDIS_URL": f"redis://127.0.0.1:{free_port()}/99"}))
    await check_database(redis, 0.2)
    await redis.aclose()
    redis = create_redis(load_settings({"REDIS_URL": f"{redis_server.url.removesuffix('/0')}/15"}))
    await check_database(redis, 5)
    await redis.aclose()
