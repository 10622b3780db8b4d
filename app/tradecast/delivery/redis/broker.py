"""Events and sessions of many servers, through Redis: modes `pubsub` (one partition) and `sharded` (sixteen)."""

from __future__ import annotations

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from tradecast.config.runtime_settings import RuntimeSettings
from tradecast.delivery.broker import Listener, RecoveryState, Replay
from tradecast.delivery.envelope import Envelope
from tradecast.delivery.errors import AdapterUnavailable, PublishUncertain
from tradecast.delivery.ids import Offset
from tradecast.delivery.redis.connections.endpoints import links_of, partition_of
from tradecast.delivery.redis.epochs import join_epochs, split_epochs, translate, write_epochs
from tradecast.delivery.redis.partition import ALL, BrokerObserver, PartitionConfig, PartitionWriter, RedisPartition
from tradecast.delivery.retention import Retention
from tradecast.redis_client.client import RedisClient


class RedisBroker:
    """`Broker` over Redis.

    Attributes:
        redis: As given.
        other: As given.

    Args:
        redis: A client without retries of its own; it is closed with the broker.
        retention: How much is kept, and for how long.
        other: Publishes to the Redis of another mode as well, while `publish_both` is 1; it is closed with the broker.
        posts: The Redis by which servers of both modes tell each other, where that is another one; closed as well.
    """

    def __init__(
        self,
        redis: RedisClient,
        retention: Retention,
        figures: PartitionConfig,
        watch: BrokerObserver | None = None,
        *,
        other: RedisWriter | None = None,
        posts: RedisClient | None = None,
    ) -> None:
        self.redis = redis
        self.other = other
        self._both = False
        self.retention = retention
        self.server_id = secrets.token_hex(8)
        self._partitions = [
            RedisPartition(link, retention, figures, watch or BrokerObserver(), server_id=self.server_id, number=number)
            for number, link in enumerate(links_of(redis))
        ]
        self._posts_redis = posts
        self._post = self._partitions[0]
        if posts is not None:
            (link,) = links_of(posts)
            self._post = RedisPartition(link, retention, figures, BrokerObserver(), server_id=self.server_id)

    @property
    def partitions(self) -> int:
        return len(self._partitions)

    @property
    def positions(self) -> Sequence[int]:
        return [partition.position for partition in self._partitions]

    @property
    def epoch(self) -> str | None:
        return join_epochs(self._epochs)

    @property
    def _epochs(self) -> Sequence[str | None]:
        return [partition.epoch for partition in self._partitions]

    @property
    def unreachable_for(self) -> float:
        return max(partition.unreachable_for for partition in self._partitions)

    @property
    def is_local(self) -> bool:
        return False

    @property
    def control_channel_down_for(self) -> float:
        return self._post.unreachable_for

    @property
    def is_subscribed(self) -> bool:
        """Whether events of other servers, and what they tell, come here."""
        return self._post.live.is_set() and all(partition.live.is_set() for partition in self._partitions)

    @property
    def trouble(self) -> Exception | None:
        """Why they do not; None: they do, or nobody knows."""
        found = (one.trouble for one in (*self._partitions, self._post) if not one.live.is_set())
        return next((trouble for trouble in found if trouble is not None), None)

    @property
    def publishes_both(self) -> bool:
        """Whether events go to the other Redis as well."""
        return self._both

    @property
    def waiting(self) -> int:
        """Events that wait to be published."""
        return sum(partition.waiting for partition in self._partitions)

    @property
    def channels(self) -> int:
        """Channels that are listened to."""
        return sum(partition.channels for partition in self._partitions)

    def tune(self, tuning: RuntimeSettings) -> None:
        for partition in self._partitions:
            partition.tune(tuning)
        self._both = bool(tuning.publish_both) and self.other is not None
        if self.other is not None:
            self.other.tune(tuning)
            if self._both:
                self.other.start()

    def partition_of(self, room: str) -> int:
        return partition_of(room, len(self._partitions))

    def translate_offset(self, offset: Offset) -> Offset | None:
        if offset.epoch == self.epoch:
            return offset
        return translate(offset, self._epochs, [partition.lineage for partition in self._partitions])

    async def start(self, listener: Listener) -> None:
        for partition in self._partitions:
            partition.begin(listener)
        if self._posts_redis is not None:
            self._post.begin(_ControlListener(listener))

    async def until_heard(self) -> None:
        """Wait until events of other servers, and what they tell, come here."""
        await asyncio.gather(*(partition.live.wait() for partition in (*self._partitions, self._post)))

    async def close(self) -> None:
        for partition in self._partitions:
            await partition.close()
        await self.redis.aclose()
        if self._posts_redis is not None:
            await self._post.close()
            await self._posts_redis.aclose()
        if self.other is not None:
            await self.other.close()

    def may_evict(self, may: bool | None) -> None:
        """Whether Redis evicts keys, as it says itself; None: it does not say."""
        for partition in self._partitions:
            partition.may_evict = may

    def give_up(self) -> None:
        for partition in self._partitions:
            partition.give_up()
        if self.other is not None:
            self.other.give_up()

    async def publish(self, envelope: Envelope) -> int:
        event_id = await _publish(self._partitions, envelope)
        # Looked at only now: what waited while the figure changed reaches whoever has come by the new one.
        if self._both and self.other is not None:
            await publish_further(self.other, envelope)
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

    # -- sessions

    async def save(self, session: RecoveryState) -> bool:
        rooms: list[str | int] = []
        for room, position in session.joins.items():
            rooms += (room, position)
        confirmed = " ".join(map(str, session.confirmed))
        epochs = write_epochs(self._epochs)
        about = (session.user, session.sid, session.connection_id, epochs, confirmed)
        done = await self._keeper(session.pid).session(session, "save", *about, *rooms) != 0
        session.epochs = epochs
        return done

    async def save_join(self, session: RecoveryState, room: str) -> bool:
        return await self._change(session, "join", room, session.joins[room])

    async def save_leave(self, session: RecoveryState, room: str) -> bool:
        return await self._change(session, "leave", room)

    async def touch(self, sessions: Sequence[RecoveryState]) -> Sequence[bool]:
        return await asyncio.gather(
            *(self._change(session, "touch", " ".join(map(str, session.confirmed))) for session in sessions)
        )

    async def drop(self, session: RecoveryState) -> None:
        await self._keeper(session.pid).session(session, "drop")

    async def claim(self, pid: str, user: str) -> RecoveryState | None:
        found = await self._keeper(pid).claim(pid, user)
        if found is None:
            return None
        session, written = found
        epochs = split_epochs(written, len(self._partitions))
        if epochs is None or (session.confirmed and len(session.confirmed) != len(epochs)):
            return None
        earlier = False
        of_rooms = {self.partition_of(room) for room in session.joins}
        for partition, epoch in zip(self._partitions, epochs, strict=True):
            unheard = epoch is None or partition.epoch is None
            if epoch == partition.epoch or (unheard and partition.number not in of_rooms):
                continue
            if epoch not in partition.lineage:  # perhaps another server has heard of it first
                await partition.read_position()
            if epoch != partition.epoch:
                if epoch is None or epoch not in partition.lineage:
                    return None
                session.cut(self.partition_of, partition.number, partition.lineage[epoch])
                earlier = True
        session.epochs = written
        if earlier:  # what it joins from now on must not be cut as what it had
            await self.save(session)
        return session

    async def send_to_server(self, server_id: str, data: bytes) -> None:
        await self._post.send_to_server(server_id, data)

    async def send_to_all(self, data: bytes) -> None:
        await self._post.send_to_server(ALL, data)

    async def _change(self, session: RecoveryState, what: str, *arguments: str | int) -> bool:
        if session.epochs != write_epochs(self._epochs):  # a partition has been heard of since: its positions count now
            return await self.save(session)
        done = await self._keeper(session.pid).session(session, what, *arguments)
        # Gone: Redis lost it, or it expired while Redis was away. What is known here is the truth.
        return await self.save(session) if done < 0 else done > 0

    def _keeper(self, pid: str) -> RedisPartition:
        return self._of(pid)

    def _of(self, name: str) -> RedisPartition:
        return self._partitions[self.partition_of(name)]

    def _split(self, rooms: Collection[str]) -> dict[int, list[str]]:
        found: dict[int, list[str]] = defaultdict(list)
        for room in rooms:
            found[self.partition_of(room)].append(room)
        return found


class _ControlListener:
    """`Listener` to the Redis by which servers tell each other; events do not come from there."""

    def __init__(self, listener: Listener) -> None:
        self.on_control_message = listener.on_control_message

    def deliver(self, envelope: Envelope) -> None:
        pass

    def on_history_gap(self, rooms: Collection[str]) -> None:
        pass

    def on_epoch_change(self, partition: int, top: int) -> None:
        pass

    def on_session_claimed(self, pid: str, generation: int) -> None:
        pass


class RedisWriter:
    """Publishes events as a server does, without listening: for a process without clients, or a second Redis.

    Attributes:
        redis: As given.
    """

    def __init__(
        self, redis: RedisClient, retention: Retention, figures: PartitionConfig, watch: BrokerObserver | None = None
    ) -> None:
        self.redis = redis
        self._partitions = [
            PartitionWriter(link, retention, figures, watch or BrokerObserver()) for link in links_of(redis)
        ]
        self._started = False

    @property
    def waiting(self) -> int:
        """Events that wait to be published."""
        return sum(partition.waiting for partition in self._partitions)

    def tune(self, tuning: RuntimeSettings) -> None:
        """As `Broker.tune`."""
        for partition in self._partitions:
            partition.tune(tuning)

    def start(self) -> None:
        """Be ready to publish; a connection is made with the first event. It may be called again."""
        if self._started:
            return
        self._started = True
        for partition in self._partitions:
            partition.start()

    def give_up(self) -> None:
        """As `Broker.give_up`."""
        for partition in self._partitions:
            partition.give_up()

    async def close(self) -> None:
        for partition in self._partitions:
            await partition.close()
        await self.redis.aclose()

    async def publish(self, envelope: Envelope) -> int:
        """As `Broker.publish`."""
        return await _publish(self._partitions, envelope)


async def publish_further(writer: RedisWriter, envelope: Envelope) -> None:
    """Publish an event, which one Redis has, to another one too.

    Raises:
        PublishUncertain: That failed: servers on the first have it, and those on the other do not, or may not.
    """
    try:
        await writer.publish(envelope)
    except AdapterUnavailable as error:
        raise PublishUncertain("servers of one mode have it, and those of the other do not or may not") from error


async def _publish(partitions: Sequence[PartitionWriter], envelope: Envelope) -> int:
    """Publish an event in each partition that its rooms belong to, one after the other; the last one's id.

    Each part says where in the earlier ones the event is, so that who is in rooms of both is given one of them.

    Raises:
        PublishUncertain: Some rooms have it, and others do not or may not.
        AdapterUnavailable: It has not been published.
    """
    parts = envelope.split(lambda room: partition_of(room, len(partitions)))
    if len(parts) == 1:
        return await partitions[parts[0][0]].publish(envelope)
    elsewhere: dict[str, int] = {}
    last = 0
    for number, rooms in parts:
        try:
            last = await partitions[number].publish(envelope.part(rooms, elsewhere))
        except AdapterUnavailable as error:
            if elsewhere:
                raise PublishUncertain("some of its rooms have it, and the others do not") from error
            raise
        elsewhere |= dict.fromkeys(rooms, last)
    return last
