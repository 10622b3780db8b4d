"""Brokers of several servers over one memory, where a test says when what is published comes to each server."""

from __future__ import annotations

import asyncio
import zlib
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from copy import deepcopy
from functools import partial

from tradecast.config.runtime_settings import RuntimeSettings
from tradecast.delivery.broker import (
    ControlListener,
    ControlListeners,
    DeliveryListener,
    NullDeliveryListener,
    RecoveryState,
    Replay,
    Snapshot,
)
from tradecast.delivery.envelope import COUNTED, LATEST, VOLATILE, Envelope
from tradecast.delivery.ids import Offset, now_id
from tradecast.delivery.recovery import merge_histories


class Memory:
    """What the servers share. It forgets nothing.

    Args:
        partitions: How many independent orders there are.
        notifies: Whether a server learns that another one has claimed a recovery state of its own; asked each time.
        turns: For how many turns of the loop a request is under way, and its answer; asked each time.
    """

    def __init__(
        self, partitions: int = 1, notifies: Callable[[], bool] = lambda: True, turns: Callable[[], int] = lambda: 0
    ) -> None:
        self.partitions = partitions
        self.notifies = notifies
        self.turns = turns
        self.epoch = "0a0b0c0d"
        self.last = [now_id() + 7 * partition for partition in range(partitions)]
        self.events: dict[str, list[Envelope]] = {}
        self.latest: dict[tuple[str, str], Envelope] = {}
        self.sessions: dict[str, tuple[RecoveryState, SharedBroker]] = {}
        self.servers: list[SharedBroker] = []

    def partition_of(self, room: str) -> int:
        return zlib.crc32(room.encode()) % self.partitions

    def publish(self, envelope: Envelope) -> int:
        """In each partition that its rooms belong to; the last id."""
        parts = envelope.split(self.partition_of)
        elsewhere: dict[str, int] = {}
        last = 0
        for partition, rooms in parts:
            last = self._publish(partition, envelope.part(rooms, elsewhere) if len(parts) > 1 else envelope)
            elsewhere |= dict.fromkeys(rooms, last)
        return last

    def _publish(self, partition: int, envelope: Envelope) -> int:
        envelope.id = self.last[partition] = self.last[partition] + 1
        for room in envelope.rooms:
            if envelope.kind == COUNTED:
                self.events.setdefault(room, []).append(envelope)
            elif envelope.kind == LATEST:
                self.latest[room, envelope.event] = envelope
        for server in self.servers:
            # by their form it is known which rooms may be clients; those go to all servers
            if server.subscribed & set(envelope.rooms) or server.sid_rooms & set(envelope.rooms):
                server.coming[partition].append(envelope)
        return envelope.id


class SharedBroker:
    """`Broker` of one server.

    Attributes:
        subscribed: Rooms that it receives: a wanted room from `wait_subscribed` on, until `unsubscribe_idle`.
        coming: What is under way to this server, per partition.
    """

    unreachable_for = control_channel_down_for = 0.0
    is_local = False
    is_subscribed = True
    waiting = channels = 0
    trouble = redis = other = None
    has_snapshots = True

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.server_id = f"server{len(memory.servers)}"
        self.partitions = memory.partitions
        self.epoch: str | None = memory.epoch
        self.positions = list(memory.last)
        self.wanted: set[str] = set()
        self.subscribed: set[str] = set()
        self.sid_rooms: set[str] = set()
        self.coming: list[deque[Envelope]] = [deque() for _ in range(memory.partitions)]
        self._listener: DeliveryListener = NullDeliveryListener()
        self._control = ControlListeners()
        memory.servers.append(self)

    def tune(self, settings: RuntimeSettings) -> None:
        pass

    def partition_of(self, room: str) -> int:
        return self.memory.partition_of(room)

    def translate_offset(self, offset: Offset) -> Offset | None:
        return offset if offset.epoch == self.epoch else None

    def add_control_listener(self, listener: ControlListener) -> None:
        self._control.add(listener)

    def has_nothing_of(self, rooms: Collection[str]) -> bool:
        return False

    async def start(self, listener: DeliveryListener) -> None:
        self._listener = listener

    async def close(self) -> None:
        if self in self.memory.servers:
            self.memory.servers.remove(self)

    async def wait_until_subscribed(self) -> None:
        pass

    def set_eviction(self, may_evict: bool | None) -> None:
        pass

    def give_up(self) -> None:
        pass

    async def publish(self, envelope: Envelope) -> int:
        return self.memory.publish(envelope)

    # -- called by the test

    def come(self, partition: int, count: int = 1) -> None:
        """Let the next events of a partition come."""
        while count and self.coming[partition]:
            envelope = self.coming[partition].popleft()
            self.positions[partition] = envelope.id
            self._listener.deliver(envelope)
            count -= 1

    def tick(self, partition: int) -> None:
        """Let all events of a partition come, and then its position."""
        self.come(partition, len(self.coming[partition]))
        self.positions[partition] = self.memory.last[partition]

    def unsubscribe_idle(self) -> None:
        self.subscribed &= self.wanted

    # -- rooms and history

    def subscribe(self, room: str) -> None:
        self.wanted.add(room)

    def unsubscribe(self, room: str) -> None:
        self.wanted.discard(room)

    async def _on_the_way(self) -> None:
        for _ in range(self.memory.turns()):
            await asyncio.sleep(0)

    def subscribe_sid(self, room: str) -> None:
        self.sid_rooms.add(room)

    def unsubscribe_sid(self, room: str) -> None:
        self.sid_rooms.discard(room)

    async def wait_subscribed(self, rooms: Collection[str], sid_rooms: Collection[str] = ()) -> bool:
        await self._on_the_way()
        fresh = not set(rooms) <= self.subscribed
        self.subscribed |= set(rooms) & self.wanted
        if fresh:
            await self._on_the_way()
        return fresh

    async def read_positions(self, rooms: Collection[str]) -> Mapping[str, int]:
        await self._on_the_way()
        found = {room: self.memory.last[self.partition_of(room)] for room in rooms}
        await self._on_the_way()
        return found

    async def read_snapshots(self, rooms: Mapping[str, int]) -> Mapping[str, Snapshot]:
        await self._on_the_way()
        found = {
            room: Snapshot(
                self.memory.last[self.partition_of(room)],
                [one for (where, _), one in self.memory.latest.items() if where == room],
                self.memory.events.get(room, [])[-count:] if count else (),
            )
            for room, count in rooms.items()
        }
        await self._on_the_way()
        return found

    async def read(self, starts: Mapping[str, int]) -> Replay:
        await self._on_the_way()
        parts: dict[int, list[list[Envelope]]] = {}
        asked: list[int | None] = [None] * self.partitions
        for room, start in starts.items():
            asked[self.partition_of(room)] = self.memory.last[self.partition_of(room)]
            newest = [one for (where, _), one in self.memory.latest.items() if where == room]
            part = [one for one in self.memory.events.get(room, ()) if one.id > start]
            part += [one for one in newest if one.id > start or one.state_key is not None]
            parts.setdefault(self.partition_of(room), []).append(part)
        # Ids of different partitions may be the same.
        replay = sorted((one for some in parts.values() for one in merge_histories(some)), key=lambda one: one.id)
        assert all(one.kind != VOLATILE for one in replay)
        await self._on_the_way()
        return Replay(replay, asked)

    # -- sessions

    async def save(self, session: RecoveryState) -> bool:
        await self._on_the_way()
        if not self._owns(session):
            return False
        self.memory.sessions[session.pid] = (deepcopy(session), self)
        return True

    async def save_join(self, session: RecoveryState, *rooms: str) -> bool:
        positions = {room: session.joins[room] for room in rooms}
        return await self._change(session, lambda kept: kept.joins.update(positions))

    async def save_leave(self, session: RecoveryState, room: str) -> bool:
        return await self._change(session, lambda kept: kept.joins.pop(room, None))

    async def touch(self, sessions: Sequence[RecoveryState]) -> Sequence[bool]:
        return [await self._change(session, partial(_confirm, session.confirmed)) for session in sessions]

    async def drop(self, session: RecoveryState) -> None:
        if self._owns(session):
            self.memory.sessions.pop(session.pid, None)

    async def claim(self, pid: str, user: str) -> RecoveryState | None:
        await self._on_the_way()
        if pid not in self.memory.sessions or self.memory.sessions[pid][0].user != user:
            return None
        saved, owner = self.memory.sessions[pid]
        saved.generation += 1
        self.memory.sessions[pid] = (saved, self)
        if owner in self.memory.servers and (owner is self or self.memory.notifies()):
            owner._listener.on_session_claimed(pid, saved.generation)
        found = deepcopy(saved)
        await self._on_the_way()
        return found

    async def send_to_server(self, server_id: str, data: bytes) -> None:
        for server in self.memory.servers:
            if server.server_id == server_id:
                server._control.on_control_message(data)

    async def send_to_all(self, data: bytes) -> None:
        for server in list(self.memory.servers):
            server._control.on_control_message(data)

    def _owns(self, session: RecoveryState) -> bool:
        if session.pid not in self.memory.sessions:
            return True
        kept, owner = self.memory.sessions[session.pid]
        return kept.generation < session.generation or (kept.generation == session.generation and owner is self)

    async def _change(self, session: RecoveryState, change: Callable[[RecoveryState], object]) -> bool:
        await self._on_the_way()
        if session.pid not in self.memory.sessions:
            return await self.save(session)
        if self._owns(session):
            change(self.memory.sessions[session.pid][0])
            await self._on_the_way()
            return True
        return False


def _confirm(confirmed: tuple[int, ...], kept: RecoveryState) -> None:
    kept.confirmed = confirmed
