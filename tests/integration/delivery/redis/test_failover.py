"""What the adapter notices when another Redis takes over and the one before lives on."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator

import pytest
from redis.asyncio.connection import AbstractConnection, Connection

from kit.servers.redis_server import RedisServer, started
from kit.waiting import eventually
from tradecast.config.runtime_settings import RuntimeSettings
from tradecast.delivery.broker import ControlListeners
from tradecast.delivery.envelope import Envelope, encode_envelope
from tradecast.delivery.errors import AdapterUnavailable
from tradecast.delivery.redis import control_channel
from tradecast.delivery.redis.command_sets import PUBSUB
from tradecast.delivery.redis.connections.endpoints import PartitionEndpoint
from tradecast.delivery.redis.connections.script_connection import ScriptConnection
from tradecast.delivery.redis.connections.script_queue import FixedRequest
from tradecast.delivery.redis.cursor import PartitionCursor
from tradecast.delivery.redis.options import NullBrokerObserver, PartitionConfig
from tradecast.delivery.redis.partition import RedisPartition
from tradecast.delivery.redis.writer import PartitionWriter
from tradecast.delivery.retention import Retention
from tradecast.redis_client.script import Script

pytestmark = pytest.mark.redis
PREFIX = "tradecast:events:0:{0}:"
RETENTION = Retention(window=60, dead_after=5, refresh=15, events_per_room=100)
WRITE = Script("return redis.call('INCR', KEYS[1])")


@pytest.fixture
def other_redis() -> Iterator[RedisServer]:
    server = started()
    yield server
    server.close()


class Directory:
    """Where connections lead from now on, as a Sentinel would say."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.made = 0

    async def connect(self) -> AbstractConnection:
        self.made += 1
        connection = Connection(host="127.0.0.1", port=self.server.port, protocol=2)
        await connection.connect()  # type: ignore[no-untyped-call]
        return connection


class Deliveries:
    """A listener that keeps what comes."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.again: list[bool] = []

    def deliver(self, envelope: Envelope) -> None:
        self.events.append(envelope.event)
        self.again.append(envelope.again)

    def on_history_gap(self, rooms: Collection[str]) -> None: ...
    def on_epoch_change(self, partition: int, top: int) -> None: ...
    def on_session_claimed(self, pid: str, generation: int) -> None: ...


def create_partition(directory: Directory, timeout: float = 2) -> RedisPartition:
    endpoint = PartitionEndpoint(directory, PREFIX, PUBSUB)
    config = PartitionConfig(timeout, RuntimeSettings())
    return RedisPartition(endpoint, RETENTION, config, NullBrokerObserver(), ControlListeners(), server_id="s1")


def create_writer(directory: Directory, timeout: float = 2) -> PartitionWriter:
    endpoint = PartitionEndpoint(directory, PREFIX, PUBSUB)
    config = PartitionConfig(timeout, RuntimeSettings())
    return PartitionWriter(endpoint, RETENTION, config, NullBrokerObserver(), PartitionCursor())


async def test_a_master_without_replicas_is_left(own_redis: RedisServer, other_redis: RedisServer) -> None:
    directory = Directory(own_redis)
    wire = ScriptConnection(directory)
    try:
        assert await wire.run_all([FixedRequest(WRITE, [1, "x"])]) == [1]
        await own_redis.ask("CONFIG", "SET", "min-replicas-to-write", "1")
        directory.server = other_redis
        (refused,) = await wire.run_all([FixedRequest(WRITE, [1, "x"])])
        assert str(refused).startswith("NOREPLICAS")
        assert await wire.run_all([FixedRequest(WRITE, [1, "x"])]) == [1]
        assert await other_redis.ask("GET", "x") == "1"
    finally:
        await wire.close()


async def test_a_subscription_does_not_stay_with_a_master_that_is_in_charge_no_more(
    own_redis: RedisServer, other_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_channel, "STALLED_AFTER", 10**6)  # which finds it as well, later
    directory = Directory(own_redis)
    deliveries = Deliveries()
    partition = create_partition(directory)
    writer = create_writer(directory)
    try:
        partition.deliver_to(deliveries)
        await partition.live.wait()
        partition.subscribe("room")
        await partition.wait_subscribed(["room"])
        writer.start()
        await writer.publish(encode_envelope("first", [1], ["room"], "C"))
        await eventually(lambda: deliveries.events == ["first"])
        directory.server = other_redis
        await own_redis.ask("CLIENT", "KILL", "TYPE", "normal")  # requests go elsewhere; the subscription stands
        await writer.publish(encode_envelope("second", [2], ["room"], "C"))
        await eventually(lambda: deliveries.events == ["first", "second"])
    finally:
        await writer.close()
        await partition.close()


async def test_who_only_listens_leaves_a_master_without_replicas_too(
    own_redis: RedisServer, other_redis: RedisServer
) -> None:
    directory = Directory(own_redis)
    partition = create_partition(directory)
    writer = create_writer(directory)
    deliveries = Deliveries()
    try:
        partition.deliver_to(deliveries)
        await partition.live.wait()
        partition.subscribe("room")
        await partition.wait_subscribed(["room"])
        directory.server = other_redis
        await own_redis.ask("CONFIG", "SET", "min-replicas-to-write", "1")
        writer.start()
        await writer.publish(encode_envelope("event", [1], ["room"], "C"))
        await eventually(lambda: deliveries.events == ["event"])
    finally:
        await writer.close()
        await partition.close()


async def test_an_event_that_another_redis_may_have_taken_before_is_marked(
    own_redis: RedisServer, other_redis: RedisServer
) -> None:
    first, then = Directory(own_redis), Directory(other_redis)
    partition = create_partition(then)
    writer = create_writer(first, 0.5)
    deliveries = Deliveries()
    try:
        partition.deliver_to(deliveries)
        await partition.live.wait()
        partition.subscribe("room")
        await partition.wait_subscribed(["room"])
        writer.start()
        await writer.publish(encode_envelope("elsewhere", [0], ["room"], "C"))
        await own_redis.pause(60)
        before = writer._given[0]
        unanswered = asyncio.create_task(writer.publish(encode_envelope("unanswered", [1], ["room"], "C")))
        await eventually(lambda: writer._given[0] != before and writer._given[1])  # it is on its way to the paused one
        first.server = other_redis
        await unanswered
        own_redis.resume()
        await writer.publish(encode_envelope("new", [2], ["room"], "C"))
        first.server = own_redis
        await other_redis.ask("CLIENT", "KILL", "TYPE", "normal")
        await own_redis.ask("CONFIG", "SET", "min-replicas-to-write", "1")
        refused = asyncio.create_task(writer.publish(encode_envelope("refused", [3], ["room"], "C")))
        await eventually(lambda: has_refused(own_redis))
        first.server = other_redis
        await refused
        await eventually(lambda: deliveries.events == ["unanswered", "new", "refused"])
        assert deliveries.again == [True, False, False]
    finally:
        await writer.close()
        await partition.close()


async def has_refused(redis: RedisServer) -> bool:
    """Whether it has told somebody that it has too few replicas."""
    return "errorstat_NOREPLICAS" in await redis.ask("INFO", "errorstats")


async def test_what_was_missed_is_asked_for_until_redis_answers(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = Directory(own_redis)
    deliveries = Deliveries()
    partition = create_partition(directory)
    asked = partition.read_position
    calls = iter(range(100))

    async def read_position() -> int:
        if next(calls) < 2:
            raise AdapterUnavailable("Redis did not answer in time")
        return await asked()

    monkeypatch.setattr(partition, "read_position", read_position)
    try:
        partition.deliver_to(deliveries)
        await asyncio.wait_for(partition.live.wait(), 30)
        assert next(calls) == 3
    finally:
        await partition.close()
