"""A real Redis Cluster for tests: masters only, on free loopback ports, each ended by its process id.

`redis_cluster` is one test's alone. Resharding while it is used: `move_slots`. A node that is killed is back with what
it held (`start`); there are no replicas, so that nobody takes its place meanwhile.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from types import TracebackType

import pytest
from redis.crc import key_slot
from redis.exceptions import RedisError

from kit.network.ports import free_port
from kit.servers.redis_server import DURABLE, RedisMissing, RedisServer
from kit.waiting import wait_until

SLOTS = 16_384
# Longer than a busy machine holds up a node: else the others would count it as gone, and refuse.
NODE_TIMEOUT_MS = 5_000
MIGRATE_TIMEOUT_MS = 10_000


class ClusterNode(RedisServer):
    """One redis-server in cluster mode. It keeps its id, slots and data over `kill` and `start`."""

    def __init__(self, *extra_args: str) -> None:
        super().__init__(*DURABLE, *extra_args)
        self.bus_port = 0

    def command(self) -> list[str]:
        if not self._started_once:
            self.bus_port = free_port()
        return [
            *super().command(),
            *("--cluster-enabled", "yes", "--cluster-config-file", str(self.folder / "nodes.conf")),
            *("--cluster-port", str(self.bus_port), "--cluster-node-timeout", str(NODE_TIMEOUT_MS)),
        ]

    @property
    def node_id(self) -> str:
        """Its id in the cluster."""
        return str(self.ask_now("CLUSTER", "MYID"))

    def info(self) -> dict[str, str]:
        """CLUSTER INFO."""
        text = str(self.ask_now("CLUSTER", "INFO"))
        return dict(line.split(":", 1) for line in text.split())

    def slots(self) -> list[int]:
        """The slots that this node says are its own."""
        (line,) = [line for line in self._lines() if "myself" in line[2]]
        found: list[int] = []
        for part in line[8:]:
            if part.startswith("["):  # a slot on its way
                continue
            first, _, last = part.partition("-")
            found.extend(range(int(first), int(last or first) + 1))
        return found

    def peers(self) -> set[str]:
        """Ids of the nodes that it knows and is linked to, itself included."""
        return {line[0] for line in self._lines() if line[7] == "connected" and "handshake" not in line[2]}

    def used_slots(self) -> list[int]:
        """Slots of this node that hold keys, in order."""
        found: set[int] = set()
        cursor = "0"
        while True:
            cursor, keys = self.ask_now("SCAN", cursor, "COUNT", 1_000)
            found.update(key_slot(key.encode()) for key in keys)
            if str(cursor) == "0":
                return sorted(found)

    def _lines(self) -> list[list[str]]:
        text = (self.folder / "nodes.conf").read_text() if not self.running else self._nodes_text()
        return [line.split() for line in text.splitlines() if line and not line.startswith("vars ")]

    def _nodes_text(self) -> str:
        return str(self.ask_now("CLUSTER", "NODES"))


class RedisCluster:
    """Masters that share the slots evenly.

    Args:
        masters: How many; Redis wants three or more.
        extra_args: Further arguments of each redis-server.
    """

    def __init__(self, masters: int = 3, *extra_args: str) -> None:
        self.nodes = [ClusterNode(*extra_args) for _ in range(masters)]

    @property
    def url(self) -> str:
        """`redis+cluster://host:port,…`: every node, so that any of them may be away."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    # -- from tests

    async def start(self, node: ClusterNode | None = None) -> None:
        """Start what does not run (or this node alone), and wait until every node finds the cluster in order."""
        await asyncio.to_thread(self.start_now, node)

    async def kill(self, node: ClusterNode) -> None:
        """End one node by SIGKILL; its slots are out of reach until `start`."""
        await node.kill()

    async def move_slots(self, count: int, draw: random.Random | None = None) -> list[int]:
        """Move slots between two masters while they are used, those that hold keys first; the slots that moved."""
        return await asyncio.to_thread(self.move_slots_now, count, draw)

    async def __aenter__(self) -> RedisCluster:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    # -- the same without an event loop

    def start_now(self, node: ClusterNode | None = None) -> None:
        """As `start`, blocking.

        Raises:
            RuntimeError: A node did not start, or they did not find together.
        """
        first_time = not any(each._started_once for each in self.nodes)
        for each in self.nodes if node is None else [node]:
            each.start_now()
        if first_time:
            self._form()
        self._wait_until_in_order()

    def move_slots_now(self, count: int, draw: random.Random | None = None) -> list[int]:
        """As `move_slots`, blocking."""
        draw = draw or random.Random(0)
        owned = {node.port: node.slots() for node in self.nodes}
        # the fullest gives to another, so that slots never gather on one node
        source = max(self.nodes, key=lambda node: len(owned[node.port]))
        used = [slot for slot in source.used_slots() if slot in set(owned[source.port])]
        if not used:  # else nothing of what is stored would ever move
            source = max(self.nodes, key=lambda node: len(node.used_slots()))
            used = source.used_slots()
        target = draw.choice([node for node in self.nodes if node is not source])
        empty = [slot for slot in owned[source.port] if slot not in set(used)]
        chosen = draw.sample(used, min(count, len(used)))
        chosen += draw.sample(empty, min(count - len(chosen), len(empty)))
        for slot in chosen:
            self._move(slot, source, target)
        return chosen

    def owners(self) -> dict[int, ClusterNode]:
        """Whose each slot is, by the nodes' own word."""
        return {slot: node for node in self.nodes for slot in node.slots()}

    def close(self) -> None:
        """End all nodes and remove their files."""
        for node in self.nodes:
            node.close()

    def _form(self) -> None:
        first = self.nodes[0]
        share = -(-SLOTS // len(self.nodes))
        for number, node in enumerate(self.nodes):
            node.ask_now("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            last = min(SLOTS, (number + 1) * share) - 1
            node.ask_now("CLUSTER", "ADDSLOTSRANGE", number * share, last)
            if node is not first:
                node.ask_now("CLUSTER", "MEET", "127.0.0.1", first.port, first.bus_port)

    def _wait_until_in_order(self) -> None:
        try:
            wait_until(self._is_in_order, RedisServer.start_within, what="a cluster", every=0.05)
        except AssertionError as late:
            raise RuntimeError(f"{late}:\n{self.nodes[0]._nodes_text()}") from None

    def _is_in_order(self) -> bool:
        try:
            return all(
                node.info()["cluster_state"] == "ok" and len(node.peers()) == len(self.nodes) for node in self.nodes
            )
        except RedisError:
            return False

    def _move(self, slot: int, source: ClusterNode, target: ClusterNode) -> None:
        # https://redis.io/docs/latest/commands/cluster-setslot/
        source_id, target_id = source.node_id, target.node_id
        target.ask_now("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
        source.ask_now("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
        while keys := source.ask_now("CLUSTER", "GETKEYSINSLOT", slot, 100):
            source.ask_now(*("MIGRATE", "127.0.0.1", target.port, "", 0, MIGRATE_TIMEOUT_MS, "REPLACE", "KEYS", *keys))
        # the new owner first: whoever is sent on by the old one must not be sent back
        for node in (target, source, *(node for node in self.nodes if node not in (target, source))):
            node.ask_now("CLUSTER", "SETSLOT", slot, "NODE", target_id)


def started_cluster(masters: int = 3) -> RedisCluster:
    """A running cluster; the test is skipped where there is no redis-server."""
    try:
        cluster = RedisCluster(masters)
    except RedisMissing as missing:
        pytest.skip(str(missing))
    try:
        cluster.start_now()
    except RuntimeError:
        cluster.close()
        raise
    return cluster


@pytest.fixture
def redis_cluster() -> Iterator[RedisCluster]:
    """Three masters of this test's own."""
    cluster = started_cluster()
    yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def cluster_of_module() -> Iterator[RedisCluster]:
    """Three masters for the tests of a module; ask for `empty_cluster`."""
    cluster = started_cluster()
    yield cluster
    cluster.close()


@pytest.fixture
def empty_cluster(cluster_of_module: RedisCluster) -> RedisCluster:
    """The module's cluster, empty. Not to be killed, and its slots not to be moved."""
    for node in cluster_of_module.nodes:
        node.ask_now("FLUSHALL")
    return cluster_of_module
