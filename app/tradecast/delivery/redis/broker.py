"""Events and recovery states of many servers, through Redis: modes `pubsub` (one partition) and `sharded` (sixteen)."""

from __future__ import annotations

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from tradecast.config.runtime_settings import RuntimeSettings
from tradecast.delivery.broker import (
    ControlListener,
    ControlListeners,
    DeliveryListener,
    RecoveryState,
    Replay,
    Snapshot,
)
from tradecast.delivery.envelope import Envelope
from tradecast.delivery.ids import Offset
from tradecast.delivery.redis.connections.endpoints import find_partition, list_endpoints
from tradecast.delivery.redis.control_channel import ALL, ControlChannel
from tradecast.delivery.redis.cursor import PartitionCursor
from tradecast.delivery.redis.epochs import join_epochs, split_epochs, translate_offset, write_epochs
from tradecast.delivery.redis.options import BrokerObserver, NullBrokerObserver, PartitionConfig
from tradecast.delivery.redis.partition import RedisPartition
from tradecast.delivery.redis.writer import RedisWriter, publish_in_partitions, publish_to_other_mode
from tradecast.delivery.retention import Retention
from tradecast.redis_client.client import RedisClient


class RedisBroker:
    """`Broker` over Redis.

    Attributes:
        redis: As given.
        other: As given.
        publishes_both: Whether events are published to the other mode's Redis as well.

    Args:
        redis: A client without retries of its own; it is closed with the broker.
        retention: How much is kept, and for how long.
        config: How to talk to Redis.
        observer: Observes subscriptions and what becomes of events.
        other: Publishes to the Redis of another mode as well, while `publish_both` is 1; it is closed with the broker.
        control_redis: The Redis through which servers of both modes send each other control messages, where that is
            another one; closed as well.
    """

    is_local = False

    def __init__(
        self,
        redis: RedisClient,
        retention: Retention,
        config: PartitionConfig,
        observer: BrokerObserver,
        *,
        other: RedisWriter | None = None,
        control_redis: RedisClient | None = None,
    ) -> None:
        self.redis = redis
        self.other = other
        self.publishes_both = False
        self.retention = retention
        self.server_id = secrets.token_hex(8)
        self._control_listeners = ControlListeners()
        endpoints = list_endpoints(redis)
        self._partitions = [
            RedisPartition(
                endpoint,
                retention,
                config,
                observer,
                self._control_listeners,
                server_id=self.server_id,
                number=number,
                partitions=len(endpoints),
            )
            for number, endpoint in enumerate(endpoints)
        ]
        self._writers = [partition.writer for partition in self._partitions]
        self._control_redis = control_redis
        self._control: ControlChannel = self._partitions[0]
        if control_redis is not None:
            (endpoint,) = list_endpoints(control_redis)
            self._control = ControlChannel(
                endpoint,
                config,
                NullBrokerObserver(),
                PartitionCursor(),
                self._control_listeners,
                server_id=self.server_id,
            )

    @property
    def partitions(self) -> int:
        return len(self._partitions)

    @property
    def positions(self) -> Sequence[int]:
        return [partition.cursor.position for partition in self._partitions]

    @property
    def epoch(self) -> str | None:
        return join_epochs(self._epochs)

    @property
    def _epochs(self) -> Sequence[str | None]:
        return [partition.cursor.epoch for partition in self._partitions]

    @property
    def unreachable_for(self) -> float:
        return max(partition.unreachable_for for partition in self._partitions)

    @property
    def control_channel_down_for(self) -> float:
        return self._control.unreachable_for

    @property
    def is_subscribed(self) -> bool:
        return all(channel.live.is_set() for channel in self._channels)

    @property
    def trouble(self) -> Exception | None:
        found = (channel.trouble for channel in self._channels if not channel.live.is_set())
        return next((trouble for trouble in found if trouble is not None), None)

    @property
    def _channels(self) -> Sequence[ControlChannel]:
        return (*self._partitions, self._control)

    @property
    def waiting(self) -> int:
        return sum(len(writer.queue) for writer in self._writers)

    @property
    def channels(self) -> int:
        return sum(partition.channels for partition in self._partitions)

    def tune(self, settings: RuntimeSettings) -> None:
        for partition in self._partitions:
            partition.tune(settings)
        self.publishes_both = bool(settings.publish_both) and self.other is not None
        if self.other is not None:
            self.other.tune(settings)
            if self.publishes_both:
                self.other.start()

    def add_control_listener(self, listener: ControlListener) -> None:
        self._control_listeners.add(listener)

    def partition_of(self, room: str) -> int:
        return find_partition(room, len(self._partitions))

    def translate_offset(self, offset: Offset) -> Offset | None:
        if offset.epoch == self.epoch:
            return offset
        return translate_offset(offset, self._epochs, [partition.cursor.lineage for partition in self._partitions])

    async def start(self, listener: DeliveryListener) -> None:
        for partition in self._partitions:
            partition.deliver_to(listener)
        if self._control_redis is not None:
            self._control.start()

    async def wait_until_subscribed(self) -> None:
        await asyncio.gather(*(channel.live.wait() for channel in self._channels))

    async def close(self) -> None:
        for partition in self._partitions:
            await partition.close()
        await self.redis.aclose()
        if self._control_redis is not None:
            await self._control.close()
            await self._control_redis.aclose()
        if self.other is not None:
            await self.other.close()

    def set_eviction(self, may_evict: bool | None) -> None:
        for partition in self._partitions:
            partition.history.may_evict = may_evict

    def give_up(self) -> None:
        for writer in self._writers:
            writer.give_up()
        if self.other is not None:
            self.other.give_up()

    async def publish(self, envelope: Envelope) -> int:
        event_id = await publish_in_partitions(self._writers, envelope)
        # Read only now: what waited while the setting changed reaches whoever has come by the new one.
        if self.publishes_both and self.other is not None:
            await publish_to_other_mode(self.other, envelope)
        return event_id

    def subscribe(self, room: str) -> None:
        self._of(room).subscribe(room)

    def unsubscribe(self, room: str) -> None:
        self._of(room).unsubscribe(room)

    def subscribe_sid(self, room: str) -> None:
        self._of(room).subscribe_sid(room)

    def unsubscribe_sid(self, room: str) -> None:
        self._of(room).unsubscribe_sid(room)

    async def wait_subscribed(self, rooms: Collection[str], sid_rooms: Collection[str] = ()) -> bool:
        by_partition: dict[int, list[str]] = {self.partition_of(room): [] for room in sid_rooms}
        by_partition |= self._split(rooms)
        fresh = False
        for number, some in by_partition.items():
            fresh |= await self._partitions[number].wait_subscribed(some)
        return fresh

    async def read_positions(self, rooms: Collection[str]) -> Mapping[str, int]:
        by_partition = self._split(rooms)
        answers = await asyncio.gather(*(self._partitions[number].read_position() for number in by_partition))
        return {room: position for some, position in zip(by_partition.values(), answers, strict=True) for room in some}

    def has_nothing_of(self, rooms: Collection[str]) -> bool:
        return False

    @property
    def has_snapshots(self) -> bool:
        return self.retention.retain.seconds > 0

    async def read_snapshots(self, rooms: Mapping[str, int]) -> Mapping[str, Snapshot]:
        by_partition = self._split(rooms)
        if len(by_partition) == 1:
            return await self._partitions[next(iter(by_partition))].snapshots.read(rooms)
        answers = await asyncio.gather(
            *(
                self._partitions[number].snapshots.read({room: rooms[room] for room in some})
                for number, some in by_partition.items()
            )
        )
        return {room: snapshot for found in answers for room, snapshot in found.items()}

    async def read(self, starts: Mapping[str, int]) -> Replay:
        by_partition = self._split(starts)
        answers = await asyncio.gather(
            *(
                self._partitions[number].read({room: starts[room] for room in some})
                for number, some in by_partition.items()
            )
        )
        positions: list[int | None] = [None] * len(self._partitions)
        for number, (_, position, _) in zip(by_partition, answers, strict=True):
            positions[number] = position
        broken = frozenset().union(*(missing for _, _, missing in answers))
        # Not `merge`: ids of different partitions may be the same.
        envelopes = sorted((one for found, _, _ in answers for one in found), key=lambda one: one.id)
        return Replay(envelopes, positions, broken)

    # -- recovery states

    async def save(self, session: RecoveryState) -> bool:
        rooms: list[str | int] = []
        for room, position in session.joins.items():
            rooms += (room, position)
        confirmed = " ".join(map(str, session.confirmed))
        epochs = write_epochs(self._epochs)
        about = (session.user, session.sid, session.connection_id, epochs, confirmed, session.slow_closes)
        done = await self._of(session.pid).store.change(session, "save", *about, *rooms) != 0
        session.epochs = epochs
        return done

    async def save_join(self, session: RecoveryState, *rooms: str) -> bool:
        pairs: list[str | int] = []
        for room in rooms:
            pairs += (room, session.joins[room])
        return await self._change(session, "join", *pairs)

    async def save_leave(self, session: RecoveryState, room: str) -> bool:
        return await self._change(session, "leave", room)

    async def touch(self, sessions: Sequence[RecoveryState]) -> Sequence[bool]:
        return await asyncio.gather(
            *(self._change(session, "touch", " ".join(map(str, session.confirmed))) for session in sessions)
        )

    async def drop(self, session: RecoveryState) -> None:
        await self._of(session.pid).store.change(session, "drop")

    async def claim(self, pid: str, user: str) -> RecoveryState | None:
        claimed = await self._of(pid).claim(pid, user)
        if claimed is None:
            return None
        session = claimed.state
        epochs = split_epochs(claimed.epochs, len(self._partitions))
        if epochs is None or (session.confirmed and len(session.confirmed) != len(epochs)):
            return None
        was_cut = False
        of_rooms = {self.partition_of(room) for room in session.joins}
        for partition, epoch in zip(self._partitions, epochs, strict=True):
            unknown = epoch is None or partition.cursor.epoch is None
            if epoch == partition.cursor.epoch or (unknown and partition.number not in of_rooms):
                continue
            if epoch not in partition.cursor.lineage:  # another server may have seen it first
                await partition.read_position()
            if epoch != partition.cursor.epoch:
                if epoch is None or epoch not in partition.cursor.lineage:
                    return None
                session.cut(self.partition_of, partition.number, partition.cursor.lineage[epoch])
                was_cut = True
        session.epochs = claimed.epochs
        if was_cut:  # what it joins from now on must not be cut as what it had
            await self.save(session)
        return session

    async def send_to_server(self, server_id: str, data: bytes) -> None:
        await self._control.send_to_server(server_id, data)

    async def send_to_all(self, data: bytes) -> None:
        await self._control.send_to_server(ALL, data)

    async def _change(self, session: RecoveryState, change: str, *arguments: str | int) -> bool:
        if session.epochs != write_epochs(self._epochs):  # Redis has answered in a partition since: its positions count
            return await self.save(session)
        done = await self._of(session.pid).store.change(session, change, *arguments)
        # Gone: Redis lost it, or it expired while Redis was away. What is known here is the truth.
        return await self.save(session) if done < 0 else done > 0

    def _of(self, name: str) -> RedisPartition:
        return self._partitions[self.partition_of(name)]

    def _split(self, rooms: Collection[str]) -> dict[int, list[str]]:
        found: dict[int, list[str]] = defaultdict(list)
        for room in rooms:
            found[self.partition_of(room)].append(room)
        return found
