"""Brokers on a Redis, as servers and publishers have them, and what they tell of themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Self

from kit.contracts.broker import RETENTION, RecordingListener
from kit.waiting import eventually
from tradecast.config.runtime_settings import RuntimeSettings
from tradecast.config.settings import load_settings
from tradecast.delivery.broker import Broker
from tradecast.delivery.redis.broker import RedisBroker
from tradecast.delivery.redis.options import BrokerObserver, NullBrokerObserver, PartitionConfig, PublishObserver
from tradecast.delivery.redis.partition import RedisPartition
from tradecast.delivery.redis.writer import RedisWriter
from tradecast.delivery.retention import Retention
from tradecast.delivery.writer_factory import create_adapter_redis


class RecordingObserver:
    """Counts what a broker tells.

    Attributes:
        room_messages: Messages of rooms.
        results: Events by what became of them.
        why_skipped: Messages and entries that were not understood.
        repairs: Events read back, each time.
        retained: Bytes retained, by partition.
        not_retained: Values that were too large, and rooms beyond the budget.
    """

    def __init__(self) -> None:
        self.messages = 0
        self.ticks = 0
        self.results: Counter[str] = Counter()
        self.why_skipped: Counter[str] = Counter()
        self.repairs: list[int] = []
        self.retained: dict[int, int] = {}
        self.not_retained: Counter[str] = Counter()
        self.is_subscribed: bool | None = None

    @property
    def room_messages(self) -> int:
        return self.messages - self.ticks

    def redis_subscribed(self, subscribed: bool) -> None:
        self.is_subscribed = subscribed

    def redis_published(self, result: str, count: int) -> None:
        self.results[result] += count

    def redis_message(self) -> None:
        self.messages += 1

    def redis_lag(self, seconds: float) -> None:
        self.ticks += 1

    def gap_repaired(self, events: int) -> None:
        self.repairs.append(events)

    def message_skipped(self, why: str) -> None:
        self.why_skipped[why] += 1

    def values_retained(self, partition: int, size: int, *, too_large: int, over_budget: int) -> None:
        self.retained[partition] = size
        self.not_retained += Counter(too_large=too_large, over_budget=over_budget)


class Brokers:
    """As many as are added, closed together.

    Args:
        url: Of the Redis.
        timeout: Seconds that one request may take.
    """

    def __init__(self, url: str, timeout: float = 10.0) -> None:
        self.url = url
        self.timeout = timeout
        self._made: list[RedisBroker | RedisWriter] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        for one in self._made:
            await one.close()

    async def add(
        self,
        url: str | None = None,
        *,
        retention: Retention = RETENTION,
        watch: BrokerObserver | None = None,
        subscribed: bool = True,
        **settings: Any,
    ) -> tuple[RedisBroker, RecordingListener]:
        """One more server; if `subscribed`, it receives the others' events already."""
        broker = RedisBroker(self._client(url), retention, self._config(**settings), watch or NullBrokerObserver())
        listener = RecordingListener()
        broker.add_control_listener(listener)
        self._made.append(broker)
        await broker.start(listener)
        if subscribed:
            await broker.wait_until_subscribed()
        return broker, listener

    async def add_writer(
        self, url: str | None = None, watch: PublishObserver | None = None, **settings: Any
    ) -> RedisWriter:
        """One more process that only publishes."""
        writer = RedisWriter(self._client(url), RETENTION, self._config(**settings), watch or NullBrokerObserver())
        self._made.append(writer)
        writer.start()
        return writer

    def _config(self, timeout: float | None = None, **settings: Any) -> PartitionConfig:
        runtime_settings = RuntimeSettings(**{"publish_timeout": 20, **settings})
        return PartitionConfig(self.timeout if timeout is None else timeout, runtime_settings)

    def _client(self, url: str | None) -> Any:
        settings = {"REDIS_URL": url or self.url, "REDIS_TIMEOUT": str(self.timeout)}
        return create_adapter_redis(load_settings(settings))


async def until_delivered(broker: Broker) -> None:
    """Until a server has delivered all that Redis has.

    An event that is published then comes to its clients behind those before. Else, of a Redis Cluster, only events of
    one partition come in their order.
    """
    if isinstance(broker, RedisBroker):
        last = [await partition.read_position() for partition in partitions_of(broker)]
        await eventually(lambda: all(at >= id_ for at, id_ in zip(broker.positions, last, strict=True)))


def partitions_of(broker: RedisBroker) -> Sequence[RedisPartition]:
    """The parts of a broker, one for each key slot that it uses: tests look at their prefixes, queues and cursors."""
    return broker._partitions
