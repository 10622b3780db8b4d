"""Events and sessions of many servers, through Redis: mode `pubsub` (one partition)."""

from __future__ import annotations

import asyncio
import secrets
import zlib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection

from tradecast.adapter.broker import Listener, Replay, SavedSession
from tradecast.adapter.envelope import Envelope
from tradecast.adapter.history import Retention
from tradecast.adapter.ids import Offset
from tradecast.adapter.redis_partition import Figures, PartitionWriter, RedisPartition, Watch
from tradecast.adapter.wire import Connect


def prefix_of(redis: Redis, tag: str = "0") -> str:
    """Of the keys and channels of a partition.

    Pub/sub knows no databases: without the number, deployments on one Redis would hear each other.
    """
    database = redis.connection_pool.connection_kwargs.get("db") or 0
    return f"tradecast:events:{database}:{{{tag}}}:"


def connector(redis: Redis) -> Connect:
    """Makes connections as the client's pool would, outside of it."""

    async def connect() -> AbstractConnection:
        connection: AbstractConnection = redis.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        await connection.connect()  # type: ignore[no-untyped-call]
        return connection

    return connect


class RedisBroker:
    """`Broker` over Redis.

    Args:
        redis: A client without retries of its own; it is closed with the broker.
        retention: How much is kept, and for how long.
    """

    def __init__(self, redis: Redis, retention: Retention, figures: Figures, watch: Watch | None = None) -> None:
        self._redis = redis
        self.retention = retention
        self.server_id = secrets.token_hex(8)

        self._partitions = [
            RedisPartition(
                connector(redis),
                prefix_of(redis),
                retention,
                figures,
                watch or Watch(),
                server_id=self.server_id,
            )
        ]

    @property
    def partitions(self) -> int:
        return len(self._partitions)

    @property
    def positions(self) -> Sequence[int]:
        return [partition.position for partition in self._partitions]

    @property
    def epoch(self) -> str | None:
        return self._partitions[0].epoch

    @property
    def away_for(self) -> float:
        return max(partition.away_for for partition in self._partitions)

    @property
    def hears(self) -> bool:
        """Whether events of other servers come here."""
        return all(partition.live.is_set() for partition in self._partitions)

    @property
    def waiting(self) -> int:
        """Events that wait to be published."""
        return sum(partition.waiting for partition in self._partitions)

    @property
    def channels(self) -> int:
        """Channels that are listened to."""
        return sum(partition.channels for partition in self._partitions)

    def partition_of(self, room: str) -> int:
        count = len(self._partitions)
        return 0 if count == 1 else zlib.crc32(room.encode()) % count

    def valid(self, offset: Offset) -> Offset | None:
        if offset.epoch == self.epoch:
            return offset
        top = self._partitions[0].lineage.get(offset.epoch)
        return None if top is None or self.epoch is None else Offset(self.epoch, (min(offset.ids[0], top),))

    async def start(self, listener: Listener) -> None:
        for partition in self._partitions:
            partition.begin(listener)

    async def until_heard(self) -> None:
        """Wait until events of other servers come here."""
        await asyncio.gather(*(partition.live.wait() for partition in self._partitions))

    async def close(self) -> None:
        for partition in self._partitions:
            await partition.close()
        await self._redis.aclose()

    def give_up(self) -> None:
        for partition in self._partitions:
            partition.give_up()

    async def publish(self, envelope: Envelope) -> int:
        return await self._of(envelope.rooms[0]).publish(envelope)

    def want(self, room: str) -> None:
        self._of(room).want(room)

    def unwant(self, room: str) -> None:
        self._of(room).unwant(room)

    async def listening(self, rooms: Collection[str]) -> bool:
        by_partition = self._split(rooms)
        fresh = False
        for number, some in by_partition.items():
            fresh |= await self._partitions[number].listening(some)
        return fresh

    async def now(self, rooms: Collection[str]) -> Mapping[str, int]:
        by_partition = self._split(rooms)
        answers = await asyncio.gather(*(self._partitions[number].now() for number in by_partition))
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

    async def save(self, session: SavedSession) -> bool:
        rooms: list[str | int] = []
        for room, position in session.joins.items():
            rooms += (room, position)
        confirmed = " ".join(map(str, session.confirmed))
        about = (session.user, session.sid, session.connection_id, self.epoch or "", confirmed)
        return await self._keeper(session.pid).session(session, "save", *about, *rooms) != 0

    async def save_join(self, session: SavedSession, room: str) -> bool:
        return await self._change(session, "join", room, session.joins[room])

    async def save_leave(self, session: SavedSession, room: str) -> bool:
        return await self._change(session, "leave", room)

    async def touch(self, sessions: Sequence[SavedSession]) -> Sequence[bool]:
        return await asyncio.gather(
            *(self._change(session, "touch", " ".join(map(str, session.confirmed))) for session in sessions)
        )

    async def drop(self, session: SavedSession) -> None:
        await self._keeper(session.pid).session(session, "drop")

    async def claim(self, pid: str, user: str) -> SavedSession | None:
        session, earlier = await self._keeper(pid).claim(pid, user)
        if session is not None and earlier:  # what it joins from now on must not be cut as what it had
            await self.save(session)
        return session

    async def _change(self, session: SavedSession, what: str, *arguments: str | int) -> bool:
        done = await self._keeper(session.pid).session(session, what, *arguments)
        # Gone: Redis lost it, or it expired while Redis was away. What is known here is the truth.
        return await self.save(session) if done < 0 else done > 0

    def _keeper(self, pid: str) -> RedisPartition:
        return self._of(pid)

    def _of(self, room: str) -> RedisPartition:
        return self._partitions[self.partition_of(room)]

    def _split(self, rooms: Collection[str]) -> Mapping[int, list[str]]:
        found: dict[int, list[str]] = defaultdict(list)
        for room in rooms:
            found[self.partition_of(room)].append(room)
        return found


class RedisWriter:
    """Publishes events as a server does, from a process without clients."""

    def __init__(self, redis: Redis, retention: Retention, figures: Figures, watch: Watch | None = None) -> None:
        self._redis = redis
        self._partition = PartitionWriter(connector(redis), prefix_of(redis), retention, figures, watch or Watch())

    def start(self) -> None:
        self._partition.start()

    async def close(self) -> None:
        await self._partition.close()
        await self._redis.aclose()

    async def publish(self, envelope: Envelope) -> int:
        """As `Broker.publish`."""
        return await self._partition.publish(envelope)
