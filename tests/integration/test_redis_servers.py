"""The tests' own Redis servers: what the other tests rely on when they break them."""

from __future__ import annotations

import pytest
from redis.crc import key_slot
from redis.exceptions import MovedError, RedisError

from kit.servers.redis_cluster import SLOTS, ClusterNode, RedisCluster
from kit.servers.redis_server import DURABLE, started

pytestmark = pytest.mark.redis


@pytest.fixture
def keys(redis_cluster: RedisCluster) -> dict[str, ClusterNode]:
    """Keys that the cluster holds, each with its value of the same name, and their owners."""
    owners = redis_cluster.owners()
    made = {name: owners[key_slot(name.encode())] for name in (f"key:{number}" for number in range(60))}
    for key, node in made.items():
        node.ask_now("SET", key, f"value of {key}")
    return made


async def test_a_durable_server_has_what_it_took_after_a_kill() -> None:
    server = started(*DURABLE)
    try:
        await server.ask("XADD", "stream", "1-1", "name", "value")
        port = server.port
        await server.kill()
        assert not server.running
        await server.start()
        assert server.port == port
        assert await server.ask("XRANGE", "stream", "-", "+") == [("1-1", {"name": "value"})]
    finally:
        server.close()


async def test_each_slot_of_the_cluster_has_one_master(redis_cluster: RedisCluster) -> None:
    slots = [slot for node in redis_cluster.nodes for slot in node.slots()]
    assert sorted(slots) == list(range(SLOTS))
    sizes = [len(node.slots()) for node in redis_cluster.nodes]
    assert len(sizes) == 3
    assert max(sizes) - min(sizes) <= 2
    assert redis_cluster.url == "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in redis_cluster.nodes)


async def test_slots_move_with_their_keys(redis_cluster: RedisCluster, keys: dict[str, ClusterNode]) -> None:
    moved = await redis_cluster.move_slots(8)
    there = [key for key in keys if key_slot(key.encode()) in moved]
    assert len(moved) == len({key_slot(key.encode()) for key in there}) == 8, "slots that hold keys go first"
    owners = redis_cluster.owners()
    assert sorted(owners) == list(range(SLOTS))
    for key, before in keys.items():
        owner = owners[key_slot(key.encode())]
        assert (owner is not before) == (key in there)
        assert await owner.ask("GET", key) == f"value of {key}"
    with pytest.raises(MovedError):
        await keys[there[0]].ask("GET", there[0])


async def test_a_killed_node_is_back_with_its_keys(redis_cluster: RedisCluster, keys: dict[str, ClusterNode]) -> None:
    victim, other = redis_cluster.nodes[0], redis_cluster.nodes[1]
    identity, slots, held = victim.node_id, victim.slots(), victim.used_slots()
    assert held
    await redis_cluster.kill(victim)
    assert not victim.running
    with pytest.raises(RedisError):
        await victim.ask("PING")
    assert other.running
    await redis_cluster.start(victim)
    assert (victim.node_id, victim.slots(), victim.used_slots()) == (identity, slots, held)
