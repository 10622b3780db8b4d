"""Publishes events in Redis: into one partition, and into all that an event's rooms belong to."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tradecast.delivery.envelope import COUNTED, LATEST, Envelope, Origin
from tradecast.delivery.errors import AdapterUnavailable, PublishUncertain
from tradecast.delivery.redis.connections.batch_queue import BatchQueue
from tradecast.delivery.redis.connections.endpoints import PartitionEndpoint, find_partition, list_endpoints
from tradecast.delivery.redis.connections.script_connection import Argument, ScriptConnection
from tradecast.delivery.redis.cursor import PartitionCursor
from tradecast.delivery.redis.options import PartitionConfig, PublishObserver
from tradecast.delivery.retention import Retention
from tradecast.packets.room_names import is_sid_room
from tradecast.redis_client.client import RedisClient
from tradecast.redis_client.script import Script

if TYPE_CHECKING:  # pydantic is only needed where settings are read
    from tradecast.config.runtime_settings import RuntimeSettings

# Behind the kind of an event of which one of the rooms may be a client.
DIRECT = "D"
# An event as it goes to the script: its producer's number, what comes before the body, the body; and the event itself.
_Encoded = tuple[int, tuple[str | int | bytes, ...], bytes, Envelope]


class PartitionWriter:
    """Publishes into one partition, in batches, as their `BatchSender`.

    Attributes:
        prefix: Of the partition's keys and channels.
        cursor: How far the history is known here.
        queue: Events that wait.

    Args:
        endpoint: Where the partition is.
        retention: How much is kept, and for how long.
        config: How to talk to Redis.
        observer: Observes what becomes of events.
        cursor: Shared with the partition's reader; a process that only publishes has one of its own.
    """

    def __init__(
        self,
        endpoint: PartitionEndpoint,
        retention: Retention,
        config: PartitionConfig,
        observer: PublishObserver,
        cursor: PartitionCursor,
    ) -> None:
        settings = config.settings
        self.prefix = endpoint.prefix
        self.cursor = cursor
        # What all scripts about events begin with.
        self._common_keys = (f"{self.prefix}clock", f"{self.prefix}n")
        self._commands = endpoint.commands
        self.retention = retention
        self._observer = observer
        self._producer = secrets.token_hex(8)
        self._numbers = itertools.count(1)
        # The batch under way, and the instances that were given it and did not say that they refuse.
        self._given: tuple[int, set[str]] = (0, set())
        self._connection = ScriptConnection(endpoint.connector)
        self.queue: BatchQueue[_Encoded, int] = BatchQueue(
            self,
            what="publish",
            place=endpoint.place,
            timeout=settings.publish_timeout,
            patience=config.timeout,
            max_batch=settings.publish_batch,
            window=settings.batch_window_ms / 1000,
            capacity=settings.publish_buffer,
        )

    def tune(self, settings: RuntimeSettings) -> None:
        """Apply other settings. Nothing that is in progress is restarted."""
        self.retention = replace(self.retention, events_per_room=settings.history_events)
        self.queue.tune(
            timeout=settings.publish_timeout,
            max_batch=settings.publish_batch,
            window=settings.batch_window_ms / 1000,
            capacity=settings.publish_buffer,
        )

    def start(self) -> None:
        """Start; the connection is opened with the first event."""
        # Of those that were made before a fork, and started after it, each has a name of its own.
        self._producer = secrets.token_hex(8)
        self.queue.start()

    async def close(self) -> None:
        await self.queue.close()
        await self._connection.close()

    def give_up(self) -> None:
        """Fail every event that is queued while Redis accepts none."""
        self.queue.give_up("the server shuts down")

    async def publish(self, envelope: Envelope) -> int:
        """Publish an event whose rooms are all in this partition, and return its id. Raises as `Broker.publish`."""
        # Encoded here: what cannot be fails alone, and not the batch that it is in.
        body = envelope.encode()
        rooms = [room.encode() for room in envelope.rooms]
        kind = f"{envelope.kind}{DIRECT}" if any(map(is_sid_room, envelope.rooms)) else envelope.kind
        # A room keeps the newest of each event and key.
        field = f"{envelope.event}\t{envelope.key}" if envelope.key else envelope.event
        head: tuple[str | int | bytes, ...] = (kind, field, len(rooms), *rooms)
        try:
            return await self.queue.run((next(self._numbers), head, body, envelope), len(body))
        except AdapterUnavailable as error:
            self._observer.redis_published("uncertain" if isinstance(error, PublishUncertain) else "failed", 1)
            raise

    async def send_batch(self, batch: Sequence[_Encoded], number: int) -> Sequence[int]:
        """Publish a batch, and return the ids of its events."""
        if self._given[0] != number:
            self._given = (number, set())
        given = self._given[1]
        before = set(given)
        (answer,) = await self._connection.run_all([_PublishBatch(self, batch, number)])
        if isinstance(answer, Exception):
            given.intersection_update(before)
            raise answer
        if not isinstance(answer, list):
            raise TypeError("no answer of the script's")
        last_id = int(answer[1])
        self.cursor.floor = max(self.cursor.floor, last_id)
        self._observer.redis_published("ok", len(batch))
        return range(last_id - len(batch) + 1, last_id + 1)

    def encode_batch(self, batch: Sequence[_Encoded], number: int, instance: str) -> tuple[Script, Sequence[Argument]]:
        """The script and its arguments that publish a batch at an instance of Redis."""
        given = self._given[1]
        keys = [*self._common_keys, f"{self.prefix}p:{self._producer}"]
        if self._commands.names_all_keys:
            keys += dict.fromkeys(key for _, _, _, envelope in batch for key in self._history_keys(envelope))
        arguments: list[Any] = [
            *(len(keys), *keys),
            *(*self.cursor.script_arguments(instance), self.prefix, number),
            *(self.retention.events_per_room, round(self.retention.seconds * 1000)),
        ]
        again = bool(given - {instance})
        given.add(instance)
        producer = self._producer.encode()
        for event_number, head, body, envelope in batch:
            marked = envelope.encode(again=True) if again else body
            arguments += (*head, Origin(instance, producer, event_number).encode() + marked)
        return self._commands.publish, arguments

    def _history_keys(self, envelope: Envelope) -> list[str]:
        """The keys that an event is kept in."""
        mark = {COUNTED: "h:", LATEST: "l:"}.get(envelope.kind)
        return [] if mark is None else [f"{self.prefix}{mark}{room}" for room in envelope.rooms]


class _PublishBatch:
    """`ScriptRequest` that publishes a batch."""

    __slots__ = ("_batch", "_number", "_writer")

    def __init__(self, writer: PartitionWriter, batch: Sequence[_Encoded], number: int) -> None:
        self._writer = writer
        self._batch = batch
        self._number = number

    def encode(self, instance: str) -> tuple[Script, Sequence[Argument]]:
        return self._writer.encode_batch(self._batch, self._number, instance)


class RedisWriter:
    """Publishes events as a server does, without a subscription: for a process without clients, or a second Redis.

    Attributes:
        redis: As given; it is closed with the writer.
    """

    def __init__(
        self, redis: RedisClient, retention: Retention, config: PartitionConfig, observer: PublishObserver
    ) -> None:
        self.redis = redis
        self._writers = [
            PartitionWriter(endpoint, retention, config, observer, PartitionCursor())
            for endpoint in list_endpoints(redis)
        ]
        self._started = False

    @property
    def waiting(self) -> int:
        """Events that wait to be published."""
        return sum(len(writer.queue) for writer in self._writers)

    def tune(self, settings: RuntimeSettings) -> None:
        """See `Broker.tune`."""
        for writer in self._writers:
            writer.tune(settings)

    def start(self) -> None:
        """Start; the connection is opened with the first event. It may be called again."""
        if self._started:
            return
        self._started = True
        for writer in self._writers:
            writer.start()

    def give_up(self) -> None:
        """See `Broker.give_up`."""
        for writer in self._writers:
            writer.give_up()

    async def close(self) -> None:
        for writer in self._writers:
            await writer.close()
        await self.redis.aclose()

    async def publish(self, envelope: Envelope) -> int:
        """See `Broker.publish`."""
        return await publish_in_partitions(self._writers, envelope)


async def publish_in_partitions(writers: Sequence[PartitionWriter], envelope: Envelope) -> int:
    """Publish an event in each partition that its rooms belong to, one after the other. Returns its id in the last one.

    Each part says where in the earlier ones the event is, so that who is in rooms of both is given one of them.

    Raises:
        PublishUncertain: Some rooms have it, and others do not or may not.
        AdapterUnavailable: It has not been published.
    """
    parts = envelope.split(lambda room: find_partition(room, len(writers)))
    if len(parts) == 1:
        return await writers[parts[0][0]].publish(envelope)
    elsewhere: dict[str, int] = {}
    last = 0
    for number, rooms in parts:
        try:
            last = await writers[number].publish(envelope.part(rooms, elsewhere))
        except AdapterUnavailable as error:
            if elsewhere:
                raise PublishUncertain("some of its rooms have it, and the others do not") from error
            raise
        elsewhere |= dict.fromkeys(rooms, last)
    return last


async def publish_to_other_mode(writer: RedisWriter, envelope: Envelope) -> None:
    """Publish an event that is in one mode's Redis to the other mode's Redis as well.

    Raises:
        PublishUncertain: That failed: servers on the first have it, and those on the other do not, or may not.
    """
    try:
        await writer.publish(envelope)
    except AdapterUnavailable as error:
        raise PublishUncertain("servers of one mode have it, and those of the other do not or may not") from error
