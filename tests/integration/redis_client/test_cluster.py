"""The client of a Redis Cluster, on a real one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import AuthenticationError, NoScriptError, RedisError

from kit.network.ports import free_port
from kit.network.tls import make_certificates
from kit.servers.redis_cluster import ClusterNode, RedisCluster
from kit.servers.redis_server import RedisServer
from kit.servers.scripted_redis import scripted_redis
from kit.waiting import eventually
from tradecast.config.settings import load_settings
from tradecast.redis_client import redis_py_internals
from tradecast.redis_client.client import create_redis
from tradecast.redis_client.cluster import ClusterClient

pytestmark = pytest.mark.redis
KEYS = [f"key:{number}" for number in range(60)]


@asynccontextmanager
async def client(url: str, environ: dict[str, str] | None = None, **overrides: Any) -> AsyncIterator[ClusterClient]:
    # A busy machine may hold up a Redis that is there for longer than the usual two seconds.
    settings = load_settings({"REDIS_URL": url, "REDIS_TIMEOUT": "20", **(environ or {})})
    redis = create_redis(settings, **overrides)
    assert isinstance(redis, ClusterClient)
    try:
        yield redis
    finally:
        await redis.aclose()


async def fill(redis: ClusterClient) -> None:
    await redis.run_all([(key, ("SET", key, key)) for key in KEYS])


async def read(redis: ClusterClient) -> list[Any]:
    return await redis.run_all([(key, ("GET", key)) for key in KEYS])


VALUES = [key.encode() for key in KEYS]


async def test_keys_of_all_nodes_in_bytes(redis_cluster: RedisCluster) -> None:
    async with client(redis_cluster.url) as redis:
        for key in KEYS[:9]:
            await redis.set(key, key)
        assert [await redis.get(key) for key in KEYS[:9]] == VALUES[:9]
        await fill(redis)
        assert await read(redis) == VALUES
    assert all(node.used_slots() for node in redis_cluster.nodes)


async def test_one_node_is_enough_to_find_the_others(redis_cluster: RedisCluster) -> None:
    async with client(f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{redis_cluster.nodes[1].port}") as redis:
        await fill(redis)
        assert await read(redis) == VALUES


async def test_errors_of_single_commands_are_among_the_answers(redis_cluster: RedisCluster) -> None:
    async with client(redis_cluster.url) as redis:
        commands = [("a", ("SET", "a", 1)), ("b", ("EVALSHA", "0" * 40, 1, "b")), ("a", ("GET", "a"))]
        first, second, third = await redis.run_all(commands)
    assert (first, third) == (True, b"1")
    assert isinstance(second, NoScriptError)


async def test_keys_whose_slots_have_moved_are_found(redis_cluster: RedisCluster) -> None:
    async with client(redis_cluster.url) as redis:
        await fill(redis)
        moved = await redis_cluster.move_slots(20)
        there = [key for key in KEYS if key_slot(key.encode()) in moved]
        assert len(there) >= 8
        assert [await redis.get(key) for key in there] == [key.encode() for key in there]
        await redis_cluster.move_slots(20)
        assert await read(redis) == VALUES


async def test_a_move_while_it_is_used_loses_nothing(redis_cluster: RedisCluster) -> None:
    async with client(redis_cluster.url) as redis:
        await fill(redis)
        moving = asyncio.create_task(redis_cluster.move_slots(40))
        rounds = 0
        while not moving.done() or rounds < 2:
            await asyncio.gather(*(redis.incr(f"count:{number}") for number in range(60)))
            rounds += 1
        await moving
        counts = await asyncio.gather(*(redis.get(f"count:{number}") for number in range(60)))
    assert set(counts) == {str(rounds).encode()}


async def test_a_slot_that_is_under_way_is_asked_for_where_its_keys_are(redis_cluster: RedisCluster) -> None:
    tag = "{under way}"
    slot = key_slot(tag.encode())
    source = redis_cluster.owners()[slot]
    target = next(node for node in redis_cluster.nodes if node is not source)
    keys = [f"{tag}{number}" for number in range(50)]
    async with client(redis_cluster.url) as redis:
        await redis.set(keys[0], "there")
        target.ask_now("CLUSTER", "SETSLOT", slot, "IMPORTING", source.node_id)
        source.ask_now("CLUSTER", "SETSLOT", slot, "MIGRATING", target.node_id)
        await asyncio.gather(*(redis.set(key, "here") for key in keys[1:25]))
        await redis.run_all([(key, ("SET", key, "here")) for key in keys[25:]])
        assert await asyncio.gather(*(redis.get(key) for key in keys)) == [b"there", *[b"here"] * 49]
        assert await redis.run_all([(key, ("GET", key)) for key in keys]) == [b"there", *[b"here"] * 49]
    assert source.ask_now("CLUSTER", "COUNTKEYSINSLOT", slot) == 1
    assert target.ask_now("CLUSTER", "COUNTKEYSINSLOT", slot) == 49


async def test_a_node_that_is_killed_and_comes_back(redis_cluster: RedisCluster) -> None:
    victim = redis_cluster.nodes[0]
    async with client(redis_cluster.url, {"REDIS_TIMEOUT": "1"}) as redis:
        await fill(redis)
        await redis_cluster.kill(victim)
        for _ in range(3):
            started_at = time.monotonic()
            with pytest.raises(RedisError):
                await read(redis)
            assert time.monotonic() - started_at < 15, "it does not wait for the node to come back"
        await redis_cluster.start(victim)
        assert await read(redis) == VALUES
        assert [await redis.get(key) for key in KEYS] == VALUES


async def test_a_client_that_starts_while_a_node_is_away_has_the_others(redis_cluster: RedisCluster) -> None:
    for node in redis_cluster.nodes:
        node.ask_now("CONFIG", "SET", "cluster-require-full-coverage", "no")
    for victim in redis_cluster.nodes:
        served = [key for key in KEYS if redis_cluster.owners()[key_slot(key.encode())] is not victim]
        await redis_cluster.kill(victim)
        async with client(redis_cluster.url) as redis:
            for key in served:
                await redis.set(key, "x")
        await redis_cluster.start(victim)


@pytest.mark.parametrize("kept", [0.0, 60.0])
async def test_a_node_that_left_while_a_request_was_on_its_way_there_is_closed(
    monkeypatch: pytest.MonkeyPatch, kept: float
) -> None:
    """Whoever reads all nodes, one after the other, may ask one that has left the cluster meanwhile."""
    monkeypatch.setattr(redis_py_internals, "TRUSTED_FOR", 0.0)
    monkeypatch.setattr(redis_py_internals, "REMOVED_FOR", kept)
    async with scripted_redis() as node:
        async with client(node.url) as redis:
            await redis.initialize()
            left = redis.find_node("key")
            node.to_slots = b"*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$9\r\n127.0.0.1\r\n:1\r\n$1\r\nx\r\n"
            await redis.refresh_slots()
            assert redis.find_node("key").port == 1
            await redis.run_on(left, "PING")
            if not kept:
                await redis.refresh_slots()
                await redis.refresh_slots()
            connected = [one for one in left._connections if one.is_connected]
            assert bool(connected) == bool(kept)
        assert not any(one.is_connected for one in left._connections)


@pytest.mark.serial
async def test_hanging_nodes_take_no_longer_than_one_redis(redis_cluster: RedisCluster) -> None:
    async with client(redis_cluster.url, {"REDIS_TIMEOUT": "0.2"}) as redis:
        await fill(redis)
        for node in redis_cluster.nodes:
            await node.pause(60)
        try:
            started_at = time.monotonic()
            with pytest.raises(RedisError):
                await redis.get("key:1")
            # four tries, each 0.2 s to connect and 0.2 s for the answer, and the pauses
            assert time.monotonic() - started_at < 4 * 0.4 + 0.3 + 0.5
            started_at = time.monotonic()
            with pytest.raises(RedisError):
                await read(redis)
            assert time.monotonic() - started_at < 4 * 0.4 + 0.3 + 0.5
        finally:
            for node in redis_cluster.nodes:
                node.resume()

        async def works() -> bool:
            try:
                return await read(redis) == VALUES
            except RedisError:
                return False

        await eventually(works, 60, what="the client is back")


@pytest.mark.serial
async def test_no_retries_where_that_is_asked_for() -> None:
    url = f"redis+cluster://127.0.0.1:{free_port()}"
    async with client(url, retry=Retry(NoBackoff(), 0)) as redis:
        started_at = time.monotonic()
        with pytest.raises(RedisError):
            await redis.get("key")
        assert time.monotonic() - started_at < 0.25
    async with client(url) as redis:
        started_at = time.monotonic()
        with pytest.raises(RedisError):
            await redis.get("key")
        assert time.monotonic() - started_at >= 0.3


async def test_what_is_no_cluster_is_an_error_of_redis(redis_server: RedisServer) -> None:
    async with client(f"redis+cluster://127.0.0.1:{redis_server.port}") as redis:
        with pytest.raises(RedisError):
            await redis.get("key")


@pytest.mark.serial
async def test_a_refused_log_in_is_not_repeated(redis_cluster: RedisCluster) -> None:
    for node in redis_cluster.nodes:
        node.ask_now("ACL", "SETUSER", "caster", "on", ">right", "~*", "&*", "+@all")
    nodes = redis_cluster.url.partition("://")[2]
    async with client(f"redis+cluster://caster:right@{nodes}") as redis:
        await fill(redis)
    async with client(f"redis+cluster://caster:wrong@{nodes}") as redis:
        started_at = time.monotonic()
        with pytest.raises(AuthenticationError):
            await redis.get("key")
        assert time.monotonic() - started_at < 0.3


async def test_more_requests_than_connections_wait_their_turn(redis_cluster: RedisCluster) -> None:
    async with client(redis_cluster.url, max_connections=3) as redis:
        await asyncio.gather(*(redis.set(key, key) for key in KEYS))
        assert await read(redis) == VALUES
        connected = [len(node._connections) for node in redis.get_nodes()]
    assert max(connected) <= 4
    async with client(redis_cluster.url, max_connections=1, timeout=0.1) as redis:
        await redis.get("key")
        await redis_cluster.nodes[0].pause(60)
        try:
            key = next(key for key in KEYS if redis.get_node_from_key(key).port == redis_cluster.nodes[0].port)  # type: ignore[union-attr]
            waiting: asyncio.Task[Any] = asyncio.create_task(redis.execute_command("GET", key))
            await asyncio.sleep(0)
            with pytest.raises(RedisError, match="No connection available"):
                await redis.get("other")
            waiting.cancel()
            await asyncio.wait([waiting])
        finally:
            redis_cluster.nodes[0].resume()


async def test_a_request_that_is_given_up_leaves_no_answer_behind(redis_cluster: RedisCluster) -> None:
    async with client(redis_cluster.url) as redis:
        await fill(redis)
        for _ in range(30):
            tasks: list[asyncio.Task[Any]] = [asyncio.create_task(redis.execute_command("GET", key)) for key in KEYS]
            tasks.append(asyncio.create_task(read(redis)))
            await asyncio.sleep(0.002)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            assert [await redis.get(key) for key in KEYS[:5]] == VALUES[:5]
        assert await read(redis) == VALUES


async def test_a_replica_that_takes_over(redis_cluster: RedisCluster) -> None:
    victim = redis_cluster.nodes[0]
    replica = ClusterNode()
    try:
        replica.start_now()
        replica.ask_now("CLUSTER", "MEET", "127.0.0.1", victim.port, victim.bus_port)
        await eventually(lambda: asyncio.to_thread(lambda: len(replica.peers()) == 4))
        replica.ask_now("CLUSTER", "REPLICATE", victim.node_id)
        async with client(redis_cluster.url) as redis, client(redis_cluster.url) as other:
            await fill(redis)
            assert await read(other) == VALUES
            stored = victim.ask_now("DBSIZE")
            await eventually(lambda: asyncio.to_thread(lambda: replica.ask_now("DBSIZE") == stored))
            await redis_cluster.kill(victim)

            async def reads() -> bool:
                try:
                    return await read(redis) == VALUES
                except RedisError:
                    return False

            await eventually(reads)
            assert [await other.get(key) for key in KEYS] == VALUES
            await redis.check()
            victim.start_now()  # as a replica of the one that has taken over
            await eventually(lambda: asyncio.to_thread(lambda: "slave" in victim.ask_now("ROLE")[0]))
            await eventually(reads)
            await redis.check()
    finally:
        replica.close()


async def test_tls_with_client_certificate(redis_process: RedisServer, tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    cluster = RedisCluster(
        3,
        *("--tls-cert-file", made.server_cert, "--tls-key-file", made.server_key),
        *("--tls-ca-cert-file", made.ca, "--tls-auth-clients", "yes", "--tls-cluster", "yes"),
    )
    ports = [free_port() for _ in cluster.nodes]
    for node, port in zip(cluster.nodes, ports, strict=True):
        node.extra_args += ("--tls-port", str(port))
    url = f"rediss+cluster://127.0.0.1:{ports[0]}"
    own = {"REDIS_CERT_FILE": made.client_cert, "REDIS_KEY_FILE": made.client_key}
    async with cluster:
        async with client(url, {"REDIS_CA_FILE": made.ca, **own}) as redis:
            await fill(redis)
            assert await read(redis) == VALUES
            await redis.check()
            assert {node.port for node in redis.get_nodes()} == set(ports)
        for wrong in (own, {"REDIS_CA_FILE": made.ca}):
            async with client(url, wrong) as redis:
                with pytest.raises(RedisError):
                    await redis.get("key")
