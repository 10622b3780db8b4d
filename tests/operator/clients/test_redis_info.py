"""What a real Redis says, asked as the documentation says."""

from __future__ import annotations

import asyncio
import contextlib
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from kit.network.tls import make_certificates
from kit.servers.redis_cluster import RedisCluster
from kit.servers.redis_sentinel import SERVICE, SentinelServer
from kit.servers.redis_server import RedisServer
from tradecast_operator.clients.redis_info import LARGEST, Access, RedisInfoClient, RedisSilent, facts_of

ALLOWED = ("+info", "+cluster|slots", "+command")
pytestmark = pytest.mark.redis


async def test_a_redis_reports_its_facts(redis_server: RedisServer) -> None:
    with Redis.from_url(redis_server.url) as admin:
        admin.config_set("maxmemory", "100mb")
        facts = await RedisInfoClient().read_facts(redis_server.url)
        admin.config_set("maxmemory", 0)
    assert facts.max_memory == 100 * 1024 * 1024
    assert 0 < (facts.memory or 0) < 1
    assert facts.clients >= 1
    assert facts.cpu_seconds is not None
    assert facts.cpu_seconds[0] > 0
    assert not facts.cluster


async def test_a_user_that_may_only_ask_for_info_is_enough(redis_server: RedisServer) -> None:
    with Redis.from_url(redis_server.url) as admin:
        admin.execute_command("ACL", "SETUSER", "operator", "reset", "on", ">secret", "-@all", "+info")
        try:
            host = redis_server.url.removeprefix("redis://")
            assert (await RedisInfoClient().read_facts(f"redis://operator:secret@{host}")).used_memory > 0
            with pytest.raises(RedisSilent) as refused:
                await RedisInfoClient().read_facts(f"redis://operator:wrong@{host}")
            assert "wrong" not in str(refused.value)
        finally:
            admin.execute_command("ACL", "DELUSER", "operator")


async def test_every_primary_of_a_cluster_is_asked_though_the_first_that_is_named_is_away(
    redis_cluster: RedisCluster,
) -> None:
    for node in redis_cluster.nodes:
        with Redis(port=node.port) as admin:
            admin.execute_command("ACL", "SETUSER", "operator", "reset", "on", ">secret", "-@all", *ALLOWED)
    facts = await RedisInfoClient().read_facts(redis_cluster.url.replace("://", "://operator:secret@127.0.0.1:1,"))
    assert facts.cluster
    assert facts.cpu_seconds is not None
    assert len(facts.cpu_seconds) == 3


async def test_the_master_that_sentinels_name_is_asked(redis_server: RedisServer) -> None:
    host, _, port = redis_server.url.removeprefix("redis://").partition("/")[0].rpartition(":")
    assert host == "127.0.0.1"
    sentinel = SentinelServer(int(port), "user watcher on >spw ~* &* +@all", "user default off")
    sentinel.start_now()
    try:
        # The first that is named is away.
        url = f"redis+sentinel://127.0.0.1:1,127.0.0.1:{sentinel.port}/0/{SERVICE}"
        access = Access(sentinel_username="watcher", sentinel_password="spw")
        assert (await RedisInfoClient().read_facts(url, access)).used_memory > 0
        for wrong, which in ((Access(), url), (access, url.replace(SERVICE, "other"))):
            with pytest.raises(RedisSilent):
                await RedisInfoClient().read_facts(which, wrong)
    finally:
        sentinel.close()


async def test_a_private_authority(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    authority = (tmp_path / "ca.pem").read_text(encoding="utf-8")
    server = RedisServer(
        *("--tls-cert-file", made.server_cert, "--tls-key-file", made.server_key),
        *("--tls-ca-cert-file", made.ca, "--tls-auth-clients", "no"),
        tls=True,
    )
    async with server:
        assert (await RedisInfoClient().read_facts(server.url, Access(ca=authority))).used_memory > 0
        with pytest.raises(RedisSilent):
            await RedisInfoClient().read_facts(server.url)


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:1",
        "nonsense",
        "redis+cluster://127.0.0.1:1",
        "",
        "redis+sentinel://127.0.0.1:1/0/x",
        "redis+sentinel://:",
        "unix:///var/run/redis.sock",
        "file:///etc/passwd",
        "redis://127.0.0.1:99999",
        "redis://[::1",
        "redis://127.0.0.1:1\r\nINFO",
        "redis+cluster://" + ",".join(["127.0.0.1:1"] * 500),
        "x" * 8_000,
    ],
)
async def test_no_answer_is_said_to_be_none(url: str) -> None:
    with pytest.raises(RedisSilent):
        await RedisInfoClient().read_facts(url)


def node(**figures: Any) -> dict[str, Any]:
    return {
        "used_memory": 10,
        "maxmemory": 100,
        "evicted_keys": 1,
        "instantaneous_ops_per_sec": 5,
        "connected_clients": 3,
        "used_cpu_user_main_thread": 1.5,
        "used_cpu_sys_main_thread": 0.5,
        "cluster_enabled": 1,
        **figures,
    }


def test_of_a_cluster_the_worst_counts() -> None:
    facts = facts_of([node(used_memory=90), node(used_memory=95, maxmemory=200, instantaneous_ops_per_sec=9)])
    assert (facts.used_memory, facts.max_memory, facts.evicted_keys, facts.ops_per_second) == (90, 100, 2, 9)
    assert facts.cluster
    assert facts.cpu_seconds == (2, 2)


@pytest.mark.parametrize("wrong", [float("inf"), float("nan"), -1, "many", None, [], 10**400])
@pytest.mark.parametrize("figure", ["used_memory", "maxmemory", "evicted_keys", "used_cpu_user_main_thread"])
def test_what_is_no_figure_is_an_error(figure: str, wrong: Any) -> None:
    with pytest.raises(ValueError, match="number"):
        facts_of([node(**{figure: wrong})])


@contextlib.asynccontextmanager
async def answering(answer: Iterable[bytes], pause: float = 0) -> AsyncIterator[int]:
    """The port of something that says this to each command, whatever it is."""
    serving: dict[asyncio.Task[None] | None, asyncio.StreamWriter] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving[asyncio.current_task()] = writer
        with contextlib.suppress(ConnectionError):
            while b"INFO" not in await reader.read(4_096):
                writer.write(b"+OK\r\n" * 3)
            for part in answer:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause)
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task, writer in serving.items():
            writer.transport.abort()
            if task is not None:
                task.cancel()
        await asyncio.gather(*(task for task in serving if task is not None), return_exceptions=True)


def bulk(text: bytes) -> list[bytes]:
    return [b"$%d\r\n" % len(text), text, b"\r\n"]


HOSTILE: dict[str, list[bytes]] = {
    "large": [b"$500000000\r\n", *[b"x" * 1_000_000] * 500],
    "many lines": [b"$500000000\r\n", *[b"used_memory:1\r\n" * 70_000] * 500],
    "infinite": bulk(b"used_memory:1e999\r\nmaxmemory:1\r\n"),
    "deep": [b"*1\r\n" * 200_000],
    "wide": [b"*1000000000\r\n"],
    "no UTF-8": bulk(b"\xff\xfe:1\r\n"),
    "nothing of ours": bulk(b"# Server\r\n"),
    "no protocol": [b"HTTP/1.1 400 Bad Request\r\n\r\n"],
    "an error": [b"-ERR " + b"x" * 100_000 + b"\r\n"],
    "a number": [b":7\r\n"],
}


@pytest.mark.parametrize("how", HOSTILE)
async def test_what_answers_as_it_likes_is_silent(how: str) -> None:
    async with answering(HOSTILE[how]) as port:
        tracemalloc.start()
        try:
            with pytest.raises(RedisSilent):
                await RedisInfoClient().read_facts(f"redis://127.0.0.1:{port}?protocol=2")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 12 * LARGEST


async def test_options_of_the_client_are_not_taken_from_the_url(redis_server: RedisServer) -> None:
    began = time.monotonic()
    async with answering([b" "] * 1_000, pause=0.5) as port:
        with pytest.raises(RedisSilent):
            await RedisInfoClient().read_facts(
                f"redis://127.0.0.1:{port}?socket_timeout=9999&socket_connect_timeout=9999"
            )
    assert time.monotonic() - began < 15
    url = f"{redis_server.url}?credential_provider=x&nonsense=1&socket_read_size=99999999&ssl_cert_reqs=none"
    assert (await RedisInfoClient().read_facts(url.replace("&ssl_cert_reqs=none", ""))).used_memory > 0
